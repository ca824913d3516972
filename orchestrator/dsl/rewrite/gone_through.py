"""What is gone through later than it is made, or is changed meanwhile: where Python's laziness could be seen.

``zip``, ``enumerate`` and ``reversed`` give their items when they are asked for, and once. Of what is symbolic they are
lists, which is the same where the next thing that happens is that somebody goes through them::

    pairs = zip(names, ages)
    for name, age in pairs:     # the same; but were `pairs` read again, it would be empty

So are generator expressions where nothing in them can tell (:mod:`.drawing`), but for names that are bound anew before
they are asked.

A loop over a list sees what its body does to that list. Of what is symbolic it goes through what was there before.
Both are found in the source, here, and refused when the thing turns out to be symbolic.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from orchestrator.dsl.kinds import MUTATORS, class_of
from orchestrator.dsl.location import user_location
from orchestrator.dsl.rewrite.scopes import FUNCTIONS, assigned, own_nodes
from orchestrator.dsl.tracer import Tracer, Value, current_tracer
from orchestrator.dsl.typing import plain
from orchestrator.errors import TraceError

_LAZY: Final = frozenset({"zip", "enumerate", "reversed"})
_VIEWS: Final = frozenset({"enumerate", "zip", "reversed", "iter"})
"""Functions that look at what they are given while they are gone through."""
_CHANGEABLE: Final = (list, dict, set)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Changed(NamedTuple):
    """What a loop goes through and changes, in a way that it would see."""

    name: str
    has_items_assigned: bool
    """Whether all that the body does to it is to assign items, which the keys of a dict do not show."""


def mark_gone_through(root: ast.AST) -> None:
    """Mark lazy values that may be seen to be lazy, ``kept_as``, and what loops go through and change, ``changed``."""
    for node in ast.walk(root):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for name in {name for each in own_nodes(*node.body) if (name := _kept_as(each, node)) is not None}:
                _mark_kept(node, name)
        elif isinstance(node, ast.For):
            node.iter.changed = _changed(node)  # type: ignore[attr-defined]


def _kept_as(node: ast.AST, function: _Function) -> str | None:
    """The name that a lazy value is given."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name if node.value is not None and _is_lazy(node.value, function) else None
    return None


def _is_lazy(value: ast.expr, function: _Function) -> bool:
    if isinstance(value, ast.GeneratorExp):
        return _reads_what_changes(value, function)
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in _LAZY


def _reads_what_changes(made: ast.GeneratorExp, function: _Function) -> bool:
    """Whether a generator expression asks for a name, for each item, that is assigned further down."""
    first, *_ = made.generators
    given = {id(each) for each in ast.walk(first.iter)}
    asked = {each.id for each in ast.walk(made) if isinstance(each, ast.Name) and id(each) not in given}
    later = assigned(*(each for each in own_nodes(*function.body) if getattr(each, "lineno", 0) > made.lineno))
    return bool(asked & later.keys())


def _mark_kept(function: _Function, name: str) -> None:
    """Mark the assignments of a name unless each is read once, at once."""
    kept: list[Any] = []
    taken = 0
    for block in _blocks(function):
        for position, node in enumerate(block):
            if _kept_as(node, function) == name:
                kept.append(node)
                taken += any(_is_taken(each, name) for each in block[position + 1 : position + 2])
    uses = [each for each in ast.walk(function) if isinstance(each, ast.Name) and each.id == name]
    if taken < len(kept) or len(uses) > 2 * len(kept):
        for node in kept:
            node.value.kept_as = name


def _blocks(node: ast.AST) -> Iterator[Sequence[ast.stmt]]:
    for each in own_nodes(*node.body):  # type: ignore[attr-defined]
        for name in ("body", "orelse", "finalbody"):
            block = getattr(each, name, None)
            if isinstance(block, list):
                yield block
    yield node.body  # type: ignore[attr-defined]


def _is_taken(node: ast.stmt, name: str) -> bool:
    """Whether a statement begins by reading a name once."""
    match node:
        case ast.For():
            roots: list[ast.AST] = [node.iter]
        case ast.If() | ast.Match():
            roots = [node.test if isinstance(node, ast.If) else node.subject]
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign() | ast.Expr() | ast.Return():
            roots = [node]
        case _:
            return False
    todo, count = list(roots), 0
    while todo:
        each = todo.pop()
        if isinstance(each, ast.Name) and each.id == name:
            count += 1
        if isinstance(each, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            todo.append(each.generators[0].iter)
        elif not isinstance(each, FUNCTIONS):
            todo += ast.iter_child_nodes(each)
    return count == 1


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


def kept(value: Any, name: str) -> Any:
    """A lazy value that is given a name, and not gone through at once."""
    if current_tracer() is None or not isinstance(value, (Value, list)):
        return value
    raise TraceError(
        "ORCH-D050",
        f"`{name}` is not gone through at once, or more than once",
        where=user_location(),
        why="in Python it makes its items when it is asked for them, and once; here they are made where it stands",
        fix=f"make a list of it: {name} = [...], {name} = list(...)",
    )


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
