"""Do the types along an op's edges fit? As far as that can be told without the user's classes: here they are names.

``int`` fits ``float``, a member fits its union, ``Any`` fits everything, and two classes may be related. What is
reported is wrong for certain: a list where a number is wanted, or anything but a conversation where one is continued.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from orchestrator.ir.walk import python_type

if TYPE_CHECKING:
    from orchestrator.ir.walk import Node

_KNOWN: Final = frozenset({"str", "int", "float", "bool", "None", "bytes", "list", "dict", "tuple", "set", "Chat"})
_WIDER: Final = frozenset({("bool", "int"), ("bool", "float"), ("int", "float")})
_OPEN: Final = frozenset({"Any", "object", "Never"})
_MADE_BY: Final = {"prompt": "str", "chat": "Chat"}

Edge = tuple[str, Any, Any]
"""What it is, the type it has, and the type it should have: MLIR types, or the names of Python types."""


def fits(source: str, target: str) -> bool:
    """Whether a value of the first type may be one of the second."""
    if source == target or source in _OPEN or target in _OPEN:
        return True
    if " | " in source or " | " in target:
        if "[" in source or "[" in target:  # the bar may be inside of the brackets
            return True
        members = target.split(" | ")
        return any(fits(each, member) for each in source.split(" | ") for member in members)
    have, want = source.partition("[")[0], target.partition("[")[0]
    if have in _KNOWN and want in _KNOWN:
        return have == want or (have, want) in _WIDER
    return "Chat" not in (have, want)


def _prompt(node: Node) -> Iterator[Edge]:
    yield "the result", node.op.results[0].type, "str"


def _chat(node: Node) -> Iterator[Edge]:
    yield "the result", node.op.results[0].type, "Chat"


def _lowered_call(node: Node) -> Iterator[Edge]:
    made = _MADE_BY.get(node.op.attributes["kind"].value)
    if made is not None:
        yield "the result", node.op.results[0].type, made


def _given(node: Node) -> Iterator[Edge]:
    prompt, *others = node.op.operands
    if "Message" not in python_type(prompt.type):
        yield "the prompt", prompt.type, "str"
    for chat in others[:1]:  # behind it stand options that are values
        yield "the conversation", chat.type, "Chat"


def _made(node: Node) -> Iterator[Edge]:
    reply, chat = node.op.results
    returns, several = node.op.attributes["returns"].value, node.op.attributes["samples"].value > 1
    yield "the reply", reply.type, f"list[{returns}]" if several else returns
    yield "the new conversation", chat.type, "list[Chat]" if several else "Chat"


def _generate(node: Node) -> Iterator[Edge]:
    yield from _given(node)
    yield from _made(node)


def _branch(node: Node) -> Iterator[Edge]:
    yield "the condition", node.op.operands[0].type, "bool"
    for body in node.bodies:
        yield from _pairs("what an arm yields", _yields(body), _types(node.op.results))


def _switch(node: Node) -> Iterator[Edge]:
    for body in node.bodies:
        yield from _pairs("what a case yields", _yields(body), _types(node.op.results))


def _attempt(node: Node) -> Iterator[Edge]:
    handlers = len(node.op.attributes["catches"])
    for body in node.bodies[: handlers + 1]:
        yield from _pairs("what an arm yields", _yields(body), _types(node.op.results))
    for body in node.bodies[1 : handlers + 1]:
        yield from (("what a handler is given", "Error", argument.type) for argument in body.arguments)


def _race(node: Node) -> Iterator[Edge]:
    for arm in node.bodies[0].nodes:
        yield from _pairs("what an arm yields", _yields(arm.bodies[0]), _types(node.op.results))


def _loop(node: Node) -> Iterator[Edge]:
    results = _types(node.op.results)
    yield from _pairs("the initial state", _types(node.op.operands), results)
    yield from _pairs("the next state", _yields(node.bodies[1]), results)
    for body in node.bodies:
        yield from _pairs("the state", results, _types(body.arguments))
    yield "the condition", _yields(node.bodies[0])[0], "bool"


def _types(values: Iterable[Any]) -> list[Any]:
    return [value.type for value in values]


def _yields(body: Any) -> list[Any]:
    return [] if body.terminator is None else _types(body.terminator.operands)


def _pairs(what: str, sources: Sequence[Any], targets: Sequence[Any]) -> Iterator[Edge]:
    return ((what, source, target) for source, target in zip(sources, targets, strict=False))


EDGES: Final[dict[str, Callable[[Node], Iterator[Edge]]]] = {
    "agent.prompt": _prompt,
    "agent.chat": _chat,
    "agent.generate": _generate,
    "op.prefill": _given,
    "op.decode": _made,
    "op.call": _lowered_call,
    "agent.branch": _branch,
    "agent.switch": _switch,
    "agent.attempt": _attempt,
    "agent.race": _race,
    "agent.loop": _loop,
}
"""By op, the edges whose types are known from its definition; asked only of ops that are complete."""
