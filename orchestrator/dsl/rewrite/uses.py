"""How often what a generator expression, ``map`` or ``filter`` gives is gone through, as far as the source tells."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

from orchestrator.dsl.rewrite.scopes import COMPREHENSIONS, SCOPES

Use: TypeAlias = Literal["whole", "later", "once", "again"]
"""To its end, where it stands, or later; once, by somebody who may stop; or more than once."""
_WHOLE: Final = frozenset({"list", "tuple", "set", "frozenset", "dict", "sum", "max", "min", "sorted"})
_WHOLE_BY_METHOD: Final = frozenset(
    {"join", "extend", "update", "union", "intersection", "difference", "symmetric_difference", "fromkeys"}
)


def mark_uses(function: ast.AST) -> None:
    """Note on each generator expression and call of ``map`` or ``filter`` in a function how it is used (``use``)."""
    loads: dict[str, list[tuple[ast.Name, int]]] = {}
    kept: list[tuple[ast.AST, str, int]] = []

    def see(node: ast.AST, place: int) -> None:
        """``place`` is what the node is done again with: a loop, a function, a comprehension."""
        match node:
            case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in _WHOLE:
                _note(first, "whole")
            case ast.Call(func=ast.Attribute(attr=name), args=args) if name in _WHOLE_BY_METHOD:
                for each in args:
                    _note(each, "whole")
            case ast.Starred(value=taken) | ast.Assign(targets=[ast.Tuple() | ast.List()], value=taken):
                _note(taken, "whole")
            case ast.Assign(targets=targets, value=value):
                kept.extend((value, each.id, place) for each in targets if isinstance(each, ast.Name))
            case (
                ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                | ast.NamedExpr(target=ast.Name(id=name), value=value)
            ):
                kept.append((value, name, place))
            case ast.Name(id=name, ctx=ast.Load()):
                loads.setdefault(name, []).append((node, place))
        for child, again in _children(node):
            see(child, id(node) if again else place)

    see(function, 0)
    for value, name, place in kept:
        match loads.get(name, []):
            case [(load, where)] if where == place:
                _note(value, "later" if getattr(load, "use", None) == "whole" else "once")
            case _:
                _note(value, "again")


def _note(node: ast.AST, use: Use) -> None:
    node.use = use  # type: ignore[attr-defined]


def _children(node: ast.AST) -> Iterator[tuple[ast.AST, bool]]:
    """What is in a node, and whether it may be done more than once for each time that the node is."""
    first = node.iter if isinstance(node, ast.For) else None
    if isinstance(node, COMPREHENSIONS):
        first = node.generators[0].iter
        inner: list[ast.AST] = [each for each in ast.iter_child_nodes(node) if not isinstance(each, ast.comprehension)]
        for generator in node.generators:
            inner += [generator.target, generator.iter, *generator.ifs]
    else:
        inner = [*ast.iter_child_nodes(node)]
    repeats = isinstance(node, (ast.For, ast.While, *SCOPES)) or first is not None
    for each in inner:
        yield each, repeats and each is not first
