"""Loops that change what they go through.

In Python each turn sees what the ones before have done to the list::

    for word in found:
        if len(found) < 5:
            found.append(word)

Of what is symbolic a loop goes through what was there before it. Such loops are found in the source, here, and refused
when what they go through turns out to be symbolic, or is a copy that a region has made.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from orchestrator.dsl.rewrite.scopes import own_nodes
from orchestrator.dsl.tracing.tracer import Tracer, Value, current_tracer
from orchestrator.dsl.types.kinds import MUTATORS, class_of
from orchestrator.dsl.types.typing import plain

_VIEWS: Final = frozenset({"enumerate", "zip", "reversed", "iter"})
"""Functions that look at what they are given while they are gone through."""
_CHANGEABLE: Final = (list, dict, set)


class Changed(NamedTuple):
    """What a loop goes through and changes, in a way that it would see."""

    name: str
    has_items_assigned: bool
    """Whether all that the body does to it is to assign items, which the keys of a dict do not show."""


def mark_changed(nodes: Iterable[ast.AST]) -> None:
    """Mark what loops go through and change, ``changed``."""
    for node in nodes:
        if isinstance(node, ast.For):
            node.iter.changed = _changed(node)  # type: ignore[attr-defined]


def _changed(loop: ast.For) -> Changed | None:
    source = loop.iter
    while isinstance(source, ast.Call) and isinstance(source.func, ast.Name) and source.func.id in _VIEWS:
        names = [each.id for each in source.args if isinstance(each, ast.Name)]
        if names or not source.args:
            break
        source = source.args[0]
    else:
        names = [source.id] if isinstance(source, ast.Name) else []
    for name in names:
        changes = [each for each in own_nodes(*loop.body) if _changes(each, name, loop)]
        if changes:
            return Changed(name, all(isinstance(each, ast.Subscript) for each in changes))
    return None


def _changes(node: ast.AST, name: str, loop: ast.For) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=attr)):
            return owner == name and attr in MUTATORS
        case ast.Delete(targets=targets):
            return any(isinstance(each, ast.Subscript) and _is_named(each.value, name) for each in targets)
        case ast.Subscript(value=ast.Name(id=owner), slice=key, ctx=ast.Store()):
            return owner == name and not _is_position(key, loop)
        case ast.AugAssign(target=ast.Name(id=owner)):
            return owner == name
    return False


def _is_named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _is_position(key: ast.expr, loop: ast.For) -> bool:
    """Whether it is the position of the item that the turn has been given, so that no other turn sees it."""
    match loop:
        case ast.For(
            target=ast.Tuple(elts=[ast.Name(id=position), *_]),
            iter=ast.Call(func=ast.Name(id="enumerate"), args=[_], keywords=[]),
        ):
            return _is_named(key, position)
    return False


def unchanged(source: Any, held: Any, name: str, has_items_assigned: bool) -> Any:
    """What a loop goes through whose body changes it; ``held`` is the object that is changed, or is in it."""
    tracer = current_tracer()
    if tracer is None:
        return source
    is_any = isinstance(held, Value) and plain(held._type) is Any
    kind = class_of(held._type) if isinstance(held, Value) else type(held)
    is_copied = isinstance(held, Value) or (tracer.scope.outer is not None and id(held) not in tracer.scope.made)
    if is_copied and (is_any or kind in _CHANGEABLE) and not (kind is dict and has_items_assigned):
        refuse_changed(tracer, name)
    return source


def refuse_changed(tracer: Tracer, name: str) -> None:
    """Report a loop that changes what it goes through, and would not see it."""
    tracer.report(
        "ORCH-D052",
        f"the loop goes through `{name}`, and changes it",
        why="in Python each turn sees what the ones before have done to it; this loop has what was there before it",
        fix=f"go through a copy: for item in list({name})",
    )
