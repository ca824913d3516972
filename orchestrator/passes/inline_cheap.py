"""Inline cheap: decide what runs on the coordinator's event loop, before anything is placed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from orchestrator.ir.attributes import to_attribute
from orchestrator.ir.walk import attr, bodies, opts, tree
from orchestrator.passes.rewrite import editing

CHEAP_S: Final = 1e-3
"""A pure tool that typically takes less is called where it stands: handing it to a thread would cost more."""
_EXPRESSIONS: Final = frozenset({"const", "prompt", "chat", "field"})


@dataclass(frozen=True)
class InlineCheap:
    """Place expressions and cheap pure tools ``inline``, coroutines ``async``, questions ``human``.

    Before: ``"op.call"(%q) {kind = "prompt", place = "", …}``; after: ``place = "inline"``. What remains ``""`` is the
    planner's. A pure tool is cheap unless it has a timeout (which needs a thread to leave behind) or says otherwise.
    """

    name: ClassVar[str] = "inline-cheap"

    def run(self, module: Any) -> None:
        """Rewrite ``module`` in place."""
        with editing(module):
            for body in bodies(tree(module)):
                for node in body.nodes:
                    place = _place(node.op) if node.op.name == "op.call" else ""
                    if place:
                        node.op.attributes["place"] = to_attribute(place)


def _place(op: Any) -> str:
    kind = attr(op, "kind")
    if kind in _EXPRESSIONS or attr(op, "callee").startswith("builtin."):
        return "inline"
    if kind == "ask":
        return "human"
    options = opts(op)
    if options.get("is_async"):
        return "async"
    cheap = attr(op, "effects") == "pure" and options.get("typical_s", 0.0) < CHEAP_S
    return "inline" if cheap and "timeout_s" not in options else ""
