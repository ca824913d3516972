"""Do tokens stand where they may? Only ops with ordered effects give one, as their last result; it is taken behind all
other operands, by ops of the same region."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from orchestrator.ir.tokens import DONE, is_token, tokens
from orchestrator.ir.walk import Body, Node

_CALLS: Final = frozenset({"agent.tool", "agent.retrieve", "op.call"})
_ORDERED: Final = frozenset({DONE, "agent.ask", "agent.sleep", "agent.fail", *_CALLS})


def misplaced(root: Node) -> Iterator[tuple[Node, str]]:
    """The ops at which a token is wrong, and what is wrong with it."""
    return _in_body(root, root.bodies[0], set())


def _in_body(owner: Node, body: Body, around: set[Any]) -> Iterator[tuple[Node, str]]:
    """``around`` has the tokens of the regions outside."""
    own: set[Any] = set()
    if any(map(is_token, body.arguments)):
        yield owner, "a token is an argument of its region"
    for node in body.nodes:
        if own or around:
            yield from ((node, what) for what in _taken(node, own, around))
        made = list(node.op.results)
        if made:
            given = [value for value in (made if node.bodies else made[-1:]) if is_token(value)]
            if given and not _may_give(node):
                yield node, "it gives a token, and has no effects"
            elif len(given) > 1 or (given and given[0] != made[-1]):
                yield node, "a token is not its last result"
            own.update(given)
        for inner in node.bodies:
            yield from _in_body(node, inner, around | own)
    if body.terminator is not None and not own.isdisjoint(body.terminator.operands):
        yield owner, "a token leaves its region"


def _taken(node: Node, own: set[Any], around: set[Any]) -> Iterator[str]:
    given = list(node.op.operands)
    if not around.isdisjoint(given):
        yield "it takes a token from outside of its region"
    elif not own.isdisjoint(given) and len(tokens(given)) < sum(value in own for value in given):
        yield "a token stands before another operand"


def _may_give(node: Node) -> bool:
    if node.name in _CALLS:
        return bool(node.op.attributes["effects"].value != "pure")
    return bool(node.bodies) or node.name in _ORDERED
