"""The types along an op's edges, by op: what is given, and what is wanted of it.

:class:`orchestrator.ir.subtypes.Subtypes` says what fits; what follows from a declaration or from the type of an
operand is in :mod:`orchestrator.ir.signatures`. Tokens, which only order effects, come last and are no part of this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from orchestrator.ir.dialect import MOVES
from orchestrator.ir.tokens import is_token, operands, results
from orchestrator.ir.walk import opt, python_type, to_python

if TYPE_CHECKING:
    from orchestrator.ir.walk import Node

KV: Final = "!op.kv"
MOMENT: Final = "datetime"


PROMPT: Final = "a prompt"
"""Stands for what a model may be asked: text, a message or a list of messages."""


class Edge(NamedTuple):
    """What it is, the type it has, and the type it should have: MLIR types, or the names of Python types."""

    what: str
    have: Any
    want: Any
    is_same: bool = False
    """Whether it must be that very type, and not one that fits."""


def _prompt(node: Node) -> Iterator[Edge]:
    yield Edge("the result", node.op.results[0].type, "str", True)


def _chat(node: Node) -> Iterator[Edge]:
    for text in node.op.operands:
        yield Edge("what the conversation begins with", text.type, PROMPT)
    yield Edge("the result", node.op.results[0].type, "Chat", True)


def _ask(node: Node) -> Iterator[Edge]:
    yield Edge("the question", node.op.operands[0].type, "str")
    yield Edge("the answer", node.op.results[0].type, given(node, "returns"), True)


def _sleep(node: Node) -> Iterator[Edge]:
    """It takes seconds, or the moment at which it is over."""
    for value in operands(node.op):
        if python_type(value.type) != MOMENT:
            yield Edge("the duration", value.type, "float")
    yield Edge("the result", node.op.results[0].type, "None", True)


def _given(node: Node) -> Iterator[Edge]:
    prompt, *others = node.op.operands
    others = [each for each in others if not is_token(each)]
    yield Edge("the prompt", prompt.type, PROMPT)
    for chat in others[:1]:
        yield Edge("the conversation", chat.type, "Chat")
    for name, value in zip(opt(node.op, "late", ()), others[1:], strict=False):
        yield Edge(f"the {name}", value.type, "float" if name == "temperature" else "str")


def _made(node: Node) -> Iterator[Edge]:
    reply, chat, *scores = node.op.results
    returns, several = given(node, "returns"), given(node, "samples") > 1
    yield Edge("the reply", reply.type, f"list[{returns}]" if several else returns, True)
    yield Edge("the new conversation", chat.type, "list[Chat]" if several else "Chat", True)
    for each in scores:
        yield Edge("the probabilities", each.type, "list[Logprobs]" if several else "Logprobs", True)


def _generate(node: Node) -> Iterator[Edge]:
    yield from _given(node)
    yield from _made(node)


def _prefill(node: Node) -> Iterator[Edge]:
    yield from _given(node)
    yield Edge("the result", node.op.results[0].type, KV, True)


def _decode(node: Node) -> Iterator[Edge]:
    yield Edge("the operand", node.op.operands[0].type, KV, True)
    yield from _made(node)


def _workflow(node: Node) -> Iterator[Edge]:
    given = node.op.attributes["opts"]
    if "returns" in given:
        yield from pairs("the result", yields(node.bodies[0]), [str(to_python(given["returns"]))])


def _branch(node: Node) -> Iterator[Edge]:
    yield Edge("the condition", node.op.operands[0].type, "bool")
    for body in node.bodies:
        yield from pairs("what an arm yields", yields(body), types_of(results(node.op)))


def _switch(node: Node) -> Iterator[Edge]:
    for body in node.bodies:
        yield from pairs("what a case yields", yields(body), types_of(results(node.op)))


def _attempt(node: Node) -> Iterator[Edge]:
    handlers = len(node.op.attributes["catches"])
    for body in node.bodies[: handlers + 1]:
        yield from pairs("what an arm yields", yields(body), types_of(results(node.op)))
    for body in node.bodies[1 : handlers + 1]:
        for argument in body.arguments:
            yield Edge("what a handler is given", argument.type, "Error", True)


def _fail(node: Node) -> Iterator[Edge]:
    is_new = bool(node.op.attributes["kind"].value)
    message, *written = types_of(operands(node.op))
    yield Edge("the message", message, "str" if is_new else "Error")
    yield from (Edge("how it is written", each, "str" if is_new else "nothing") for each in written)


def _race(node: Node) -> Iterator[Edge]:
    for arm in node.bodies[0].nodes:
        yield from pairs("what an arm yields", yields(arm.bodies[0]), types_of(results(node.op)))


def _loop(node: Node) -> Iterator[Edge]:
    made = types_of(results(node.op))
    yield from pairs("the initial state", types_of(operands(node.op)), made)
    yield from pairs("the next state", yields(node.bodies[1]), made)
    for body in node.bodies:
        for argument, result in zip(body.arguments, made, strict=False):
            yield Edge("the state inside", argument.type, result, True)
    yield Edge("the condition", yields(node.bodies[0])[0], "bool")


def _move(node: Node) -> Iterator[Edge]:
    """Values arrive as what they were."""
    for have, want in zip(node.op.operands, node.op.results, strict=False):
        yield Edge("what arrives", want.type, have.type, True)


def types_of(values: Iterable[Any]) -> list[Any]:
    """The types of values."""
    return [value.type for value in values]


def yields(body: Any) -> list[Any]:
    """The types of what a region yields."""
    return [] if body.terminator is None else types_of(body.terminator.operands)


def pairs(what: str, sources: Sequence[Any], targets: Sequence[Any]) -> Iterator[Edge]:
    """Edges between types that belong together."""
    return (Edge(what, source, target) for source, target in zip(sources, targets, strict=False))


def given(node: Node, name: str) -> Any:
    """A required attribute's value, which level 2 has among the options."""
    attributes = node.op.attributes
    return (attributes if name in attributes else attributes["opts"])[name].value


def _call(node: Node) -> Iterator[Edge]:
    find = OF_KIND.get(node.op.attributes["kind"].value)
    return iter(()) if find is None else find(node)


OF_KIND: Final[dict[str, Callable[[Node], Iterator[Edge]]]] = {
    "prompt": _prompt,
    "chat": _chat,
    "ask": _ask,
    "sleep": _sleep,
}
"""It has the edges of the ops of level 1 that level 2 knows as ``op.call``, by their kind."""
EDGES: Final[dict[str, Callable[[Node], Iterator[Edge]]]] = {
    **{f"agent.{kind}": edges for kind, edges in OF_KIND.items()},
    "agent.workflow": _workflow,
    "agent.generate": _generate,
    "op.prefill": _prefill,
    "op.decode": _decode,
    "op.call": _call,
    **dict.fromkeys(MOVES, _move),
    "agent.branch": _branch,
    "agent.switch": _switch,
    "agent.attempt": _attempt,
    "agent.fail": _fail,
    "agent.race": _race,
    "agent.loop": _loop,
}
"""It has the edges of each op whose types are known from its definition; it is asked only of ops that are complete."""
