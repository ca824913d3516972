"""Canonicalise: fold, share equal ops without effects, drop unused ones that cannot fail.

MLIR's own CSE compares all attributes, and every op here has an ``id``: it would never find two equal ops. This one
leaves the id out. It is scoped: an op is replaced by an equal one that comes before it in its own region or in one
around it, never by one in a sibling region, which may not run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from orchestrator.ir.effects import has_effects
from orchestrator.ir.walk import Body, Node, attr, is_plain, opt
from orchestrator.passes.rewrite import editing, replace, sweep

_CONTAINERS: Final = frozenset({"builtin.tuple", "builtin.list", "builtin.dict"})

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Canonicalise:
    """Fold fields of tuples, lists and dicts, then common subexpression and dead code elimination.

    Before::

        %t = "agent.tool"(%a, %b) {callee = "builtin.tuple", effects = "pure", id = "tuple_1", …}
        %x = "agent.field"(%t) {id = "field_1", path = "0"}
        %r = "agent.tool"(%x) {callee = "run", effects = "once", id = "run_1", …}

    After::

        %r = "agent.tool"(%a) {callee = "run", effects = "once", id = "run_1", …}

    Ops with effects are never removed, nor shared: two equal ``once`` tools are two calls. What can fail is shared, and
    not removed (:mod:`orchestrator.ir.effects`).
    """

    name: ClassVar[str] = "canonicalise"

    def run(self, root: Node) -> None:
        """Rewrite the workflow in place."""
        with editing(root):
            body = root.bodies[0]
            _share(body, [], {})
            sweep(body)


def _share(body: Body, scopes: list[dict[Key, Any]], containers: dict[Any, dict[str, Any]]) -> None:
    """Fold and share in one forward pass; what is replaced stays out of ``body.nodes``."""
    scope: dict[Key, Any] = {}
    scopes.append(scope)
    kept = []
    for node in body.nodes:
        op = node.op
        folded = _fold(node, containers)
        if folded is not None:
            replace(op, [folded])
            continue
        if not node.bodies and not has_effects(node) and not _is_fresh(node):
            key = _key(op)
            equal = next((known[key] for known in scopes if key in known), None)
            if equal is not None:
                replace(op, list(equal.results))
                continue
            scope[key] = op
        kept.append(node)
        for inner in node.bodies:
            _share(inner, scopes, containers)
    body.nodes[:] = kept
    scopes.pop()


def _is_fresh(node: Node) -> bool:
    """Whether it gives each of its users an object of their own: a list that is written twice is two lists."""
    return node.name == "agent.const" and not is_plain(node.op.results[0])


def _fold(node: Node, containers: dict[Any, dict[str, Any]]) -> Any | None:
    """The element that a field takes out of a container built in sight, if it has the right type."""
    op = node.op
    if node.name == "agent.tool" and attr(op, "callee") in _CONTAINERS:
        containers[op.results[0]] = dict(zip(attr(op, "params"), op.operands, strict=True))
    elif node.name == "agent.field" and containers and not opt(op, "each"):
        element: Any = containers.get(op.operands[0], {}).get(attr(op, "path"))
        if element is not None and element.type == op.results[0].type:
            return element
    return None


def _key(op: Any) -> Key:
    """Equal for ops that compute the same: everything but the id."""
    attributes = tuple((name, value) for name, value in op.attributes.items() if name != "id")
    return (op.name, attributes, tuple(op.operands), tuple(value.type for value in op.results))
