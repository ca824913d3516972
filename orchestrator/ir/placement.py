"""Does everything stand where it may: ops in their regions, and values before their uses?

A value is there behind the op that gives it, in the same region and in those inside. MLIR would have it so only of ops
that are registered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from orchestrator.ir.walk import Body, Node

_BESIDE: Final = frozenset({"agent.workflow", "agent.type", "agent.declare_tool"})
Misplaced = tuple[Any, str, str]
"""An op, a code, and what is wrong."""


def misplaced(root: Node) -> Iterator[Misplaced]:
    """The ops that stand where they may not, or use what is not there."""
    return _in_body(root, root.bodies[0], set())


def _in_body(owner: Node, body: Body, there: set[Any]) -> Iterator[Misplaced]:
    """``there`` has the values of the regions around."""
    own = set(body.arguments)
    there |= own
    for node in body.nodes:
        op = node.op
        if node.name in _BESIDE or (node.name == "agent.arm") != (owner.name == "agent.race"):
            yield op, "ORCH-I017", f"{node.name} stands in {owner.name}"
        if not there.issuperset(op.operands):
            yield op, "ORCH-I030", "it uses a value that is not there yet"
        for inner in node.bodies:
            yield from _in_body(node, inner, there)
        made = list(op.results)
        own.update(made)
        there.update(made)
    if body.terminator is not None and not there.issuperset(body.terminator.operands):
        yield body.terminator, "ORCH-I030", f"{owner.name} yields a value that is not there"
    there -= own
