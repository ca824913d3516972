"""Changing ops in place of others: the few moves that all passes share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from orchestrator.ir._mlir import ir
from orchestrator.ir.attributes import to_attribute
from orchestrator.ir.walk import Body, Node, has_effects


def editing(root: Node) -> AbstractContextManager[Any]:
    """Make the context of the workflow and an unknown location current."""
    context, stack = root.op.context, ExitStack()
    stack.enter_context(context)
    stack.enter_context(ir.Location.unknown(context))
    return stack


def before(
    op: Any, name: str, operands: Sequence[Any], results: Sequence[Any], attrs: Mapping[str, object], *, at: Any = None
) -> Any:
    """A new op in front of ``at`` (by default ``op``), with the location of ``op``; attributes may be Python values."""
    attributes = {
        key: value if isinstance(value, ir.Attribute) else to_attribute(value) for key, value in attrs.items()
    }
    point = ir.InsertionPoint(op if at is None else at)
    return ir.Operation.create(
        name, results=list(results), operands=list(operands), attributes=attributes, loc=op.location, ip=point
    )


def replace(op: Any, values: Sequence[Any]) -> None:
    """Use ``values`` instead of the results of ``op``, and erase it."""
    for old, new in zip(op.results, values, strict=True):
        old.replace_all_uses_with(new)
    op.erase()


def sweep(body: Body, live: set[Any] | None = None) -> set[Any]:
    """Dead code elimination: erase ops that nothing needs, last ones first; gives the values that are needed.

    An op stays if it or anything in it has effects, or if a result is needed. One backward pass is enough, because
    whatever uses a value comes after it.
    """
    live = set() if live is None else live
    if body.terminator is not None:
        live.update(body.terminator.operands)
    kept = []
    for node in reversed(body.nodes):
        if not (has_effects(node) or node.name == "agent.arm" or not live.isdisjoint(node.op.results)):
            node.op.erase()
            continue
        kept.append(node)
        for inner in node.bodies:
            sweep(inner, live)
        live.update(node.op.operands)
    body.nodes[:] = reversed(kept)
    return live


def defining(node_by_value: Mapping[Any, Node], value: Any, name: str) -> Node | None:
    """The op called ``name`` that produces ``value``, if that is what produces it."""
    node = node_by_value.get(value)
    return node if node is not None and node.name == name else None
