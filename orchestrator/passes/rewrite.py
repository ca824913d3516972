"""Changing ops in place of others: the few moves that all passes share.

One tree of the module serves all passes, so what changes in the module changes in the tree, too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from orchestrator.ir._mlir import ir
from orchestrator.ir.attributes import to_attribute
from orchestrator.ir.effects import is_droppable
from orchestrator.ir.walk import Body, Node, bodies, entries


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


class Additions:
    """New ops in front of others. They enter the tree together in the end, so that positions in it hold meanwhile."""

    def __init__(self) -> None:
        self._in_front_of: dict[int, list[Node]] = {}
        """Its keys are identities: MLIR hashes an op by its attributes, which may change."""

    def before(
        self, op: Any, name: str, operands: Sequence[Any], results: Sequence[Any], attrs: Mapping[str, object], *,
        at: Any = None,
    ) -> Any:  # fmt: skip
        """As the function."""
        made = before(op, name, operands, results, attrs, at=at)
        self._in_front_of.setdefault(id(op if at is None else at), []).append(Node(made, name, []))
        return made

    def enter(self, root: Node) -> None:
        """Put them where they belong in the tree of ``root``."""
        for body in bodies(root):
            found = [each for node in body.nodes for each in (*self._in_front_of.get(id(node.op), ()), node)]
            body.nodes[:] = [*found, *self._in_front_of.get(id(body.terminator), ())]


def note(op: Any, noted: Mapping[str, object]) -> None:
    """Add to the optional attributes of an op."""
    new = {name: to_attribute(value) for name, value in noted.items()}
    op.attributes["opts"] = ir.DictAttr.get(entries(op.attributes["opts"]) | new)


def replace(op: Any, values: Sequence[Any]) -> None:
    """Use ``values`` instead of the results of ``op``, and erase it."""
    for old, new in zip(op.results, values, strict=True):
        old.replace_all_uses_with(new)
    op.erase()


def sweep(body: Body, live: set[Any] | None = None, spent: Collection[int] = ()) -> set[Any]:
    """Dead code elimination: erase ops that nothing needs, last ones first; gives the values that are needed.

    An op stays if a result is needed, or if it or anything in it has effects or can fail, unless it is ``spent`` (by
    the identity of its node): others do what it did. One backward pass is enough, because whatever uses a value comes
    after it.
    """
    live = set() if live is None else live
    if body.terminator is not None:
        live.update(body.terminator.operands)
    kept = []
    for node in reversed(body.nodes):
        is_needed = node.name == "agent.arm" or not live.isdisjoint(node.op.results)
        if not is_needed and (id(node) in spent or is_droppable(node)):
            node.op.erase()
            continue
        kept.append(node)
        for inner in node.bodies:
            sweep(inner, live, spent)
        live.update(node.op.operands)
    body.nodes[:] = reversed(kept)
    return live


def made_by(root: Node, names: Collection[str]) -> dict[Any, Node]:
    """The ops of these names, by the values that they give."""
    found = (node for body in bodies(root) for node in body.nodes if node.name in names)
    return {value: node for node in found for value in node.op.results}
