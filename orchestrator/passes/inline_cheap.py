"""Inline cheap: decide what runs on the coordinator's event loop, before anything is placed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from orchestrator.ir.attributes import to_attribute
from orchestrator.ir.walk import Node, attr, bodies, opt
from orchestrator.passes.rewrite import editing

ELSEWHERE: Final = {"ask": "human", "sleep": "timer"}
"""Where what happens that nothing executes."""
_EXPRESSIONS: Final = frozenset({"const", "prompt", "chat", "field"})


@dataclass(frozen=True)
class InlineCheap:
    """Place expressions and tools that are declared cheap ``inline``, isolated ones in a ``process``, coroutines
    ``async``, questions ``human``, sleeps ``timer``.

    Before: ``"op.call"(%q) {kind = "prompt", place = "", …}``; after: ``place = "inline"``. What remains ``""`` is the
    planner's: that a tool is pure says nothing of how long it takes.
    """

    name: ClassVar[str] = "inline-cheap"

    def run(self, root: Node) -> None:
        """Rewrite the workflow in place."""
        with editing(root):
            for body in bodies(root):
                for node in body.nodes:
                    place = _place(node.op) if node.name == "op.call" else ""
                    if place:
                        node.op.attributes["place"] = to_attribute(place)


def _place(op: Any) -> str:
    kind = attr(op, "kind")
    if kind in _EXPRESSIONS or attr(op, "callee").startswith("builtin."):
        return "inline"
    if kind in ELSEWHERE:
        return ELSEWHERE[kind]
    isolation = opt(op, "isolation")
    if isolation:
        return str(isolation)
    if opt(op, "is_async"):
        return "async"
    cheap = opt(op, "cheap") and attr(op, "effects") == "pure" and opt(op, "timeout_s") is None
    return "inline" if cheap else ""
