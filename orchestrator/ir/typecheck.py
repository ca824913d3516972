"""Do the types along an op's edges fit? As far as that can be told without the user's classes: here they are names.

``int`` fits ``float``, a member fits its union, ``Any`` fits everything, and two classes may be related. What is
reported is wrong for certain: a list where a number is wanted, or anything but a conversation where one is continued.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from orchestrator.ir.walk import Node

_KNOWN: Final = frozenset({"str", "int", "float", "bool", "None", "bytes", "list", "dict", "tuple", "set", "Chat"})
_WIDER: Final = frozenset({("bool", "int"), ("bool", "float"), ("int", "float")})
_OPEN: Final = frozenset({"Any", "object", "Never"})

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


def edges(node: Node) -> Iterator[Edge]:
    """Every edge of an op whose type is known from the op's definition."""
    op, name = node.op, node.name
    results = [value.type for value in op.results]
    if name in ("agent.prompt", "agent.chat"):
        yield "the result", results[0], "str" if name == "agent.prompt" else "Chat"
    if name in ("agent.generate", "op.prefill"):
        given = [value.type for value in op.operands]
        yield "the prompt", given[0], "str"
        yield from (("the conversation", each, "Chat") for each in given[1:])
    if name in ("agent.generate", "op.decode"):
        returns, several = op.attributes["returns"].value, op.attributes["samples"].value > 1
        yield "the reply", results[0], f"list[{returns}]" if several else returns
        yield "the new conversation", results[1], "list[Chat]" if several else "Chat"
    if node.bodies:
        yield from _region_edges(node, results)


def _region_edges(node: Node, results: Sequence[Any]) -> Iterator[Edge]:
    given = [value.type for value in node.op.operands]
    match node.name:
        case "agent.branch":
            yield "the condition", given[0], "bool"
            yield from (edge for body in node.bodies for edge in _pairs("what an arm yields", _yields(body), results))
        case "agent.race":
            arms = [body for arm in node.bodies[0].nodes for body in arm.bodies]
            yield from (edge for arm in arms for edge in _pairs("what an arm yields", _yields(arm), results))
        case "agent.loop":
            yield from _pairs("the initial state", given, results)
            yield from _pairs("the next state", _yields(node.bodies[1]), results)
            for body in node.bodies:
                yield from _pairs("the state", results, [value.type for value in body.arguments])
            yield from (("the condition", each, "bool") for each in _yields(node.bodies[0]))


def _yields(body: Any) -> list[Any]:
    return [] if body.terminator is None else [value.type for value in body.terminator.operands]


def _pairs(what: str, sources: Sequence[Any], targets: Sequence[Any]) -> Iterator[Edge]:
    return ((what, source, target) for source, target in zip(sources, targets, strict=False))
