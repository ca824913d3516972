"""Laziness: what generator expressions, ``map``, ``filter``, ``zip`` and the like give is made when it is asked for.

Of what is symbolic a list is made instead, of all items at once, where the expression stands. The rule is that this is
done only where nobody can tell:

- The items are used up where they stand, by ``list``, ``sum``, ``join`` and the like.
- They are gone through once, by somebody who may stop, and nothing in them asks, does or may fail. If that somebody
  goes to the end, they may ask and fail, but do nothing whose order counts.
- ``zip``, ``enumerate`` and ``reversed``, which look at what may change meanwhile, have a name, and the next statement
  begins by going through them; and so have generator expressions that read a name which is bound anew further down.

Over what is concrete it is Python's own, in the one region that asks for its items. What is left is refused: a list may
be meant, or a loop::

    pairs = zip(names, ages)
    for name, age in pairs:     # the same; but were `pairs` read again, it would be empty

How often what an expression gives is gone through is read in the source, and noted at its node (:func:`mark_lazy`); the
rest is decided while tracing. ``any``, ``all`` and ``next``, which are loops that are left early, are in
:mod:`.searching`.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Sized
from typing import Any, Final, Literal, Never, TypeAlias

from orchestrator.cached import cached_property
from orchestrator.dsl import operations
from orchestrator.dsl.rewrite.arms import Arm, run
from orchestrator.dsl.rewrite.calling import function
from orchestrator.dsl.rewrite.comprehending import Further, Member, Test, concretely, list_of
from orchestrator.dsl.rewrite.plain import is_symbolic
from orchestrator.dsl.rewrite.scopes import COMPREHENSIONS, FUNCTIONS, SCOPES, last_assigned, own_nodes
from orchestrator.dsl.source.location import user_location
from orchestrator.dsl.tracing.scope import Scope
from orchestrator.dsl.tracing.tracer import Tracer, Value, current_tracer
from orchestrator.errors import TraceError

Use: TypeAlias = Literal["whole", "later", "once", "again"]
"""How it is gone through: to its end, where it stands, or later; once, by somebody who may stop; or more than once."""
_WHOLE: Final = frozenset({"list", "tuple", "set", "frozenset", "dict", "sum", "max", "min", "sorted"})
_WHOLE_BY_METHOD: Final = frozenset(
    {"join", "extend", "update", "union", "intersection", "difference", "symmetric_difference", "fromkeys"}
)
_DRAWING: Final = (map, filter)
_LOOKING: Final = frozenset({"zip", "enumerate", "reversed"})
_Function = ast.FunctionDef | ast.AsyncFunctionDef


# What the source tells


def mark_lazy(root: ast.AST, nodes: Sequence[ast.AST]) -> None:
    """Note at the lazy expressions of code how they are gone through, ``use``, or a name to refuse, ``kept_as``.

    ``nodes`` are all that are in it.
    """
    if any(map(_is_drawn, nodes)):
        _mark_uses(root)
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            _Kept(node).mark()


def _is_drawn(node: ast.AST) -> bool:
    """Whether it is a generator expression, or a call of ``map`` or ``filter``."""
    return isinstance(node, ast.GeneratorExp) or (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("map", "filter")
    )


def _mark_uses(function: ast.AST) -> None:
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


class _Kept:
    """The names that a function gives to what looks at things that may change."""

    def __init__(self, function: _Function) -> None:
        self._function = function
        self._own = [*own_nodes(*function.body)]

    def mark(self) -> None:
        """Mark the assignments of each name unless each of them is read once, at once."""
        names = {self._name_of(each) for each in self._own} - {None}
        if not names:
            return
        kept: dict[str, list[Any]] = {}
        taken: Counter[str] = Counter()
        for block in self._blocks():
            for position, node in enumerate(block):
                name = self._name_of(node)
                if name is not None and name in names:
                    kept.setdefault(name, []).append(node)
                    taken[name] += any(_is_taken(each, name) for each in block[position + 1 : position + 2])
        uses = Counter(each.id for each in ast.walk(self._function) if isinstance(each, ast.Name))
        for name, found in kept.items():
            if taken[name] < len(found) or uses[name] > 2 * len(found):
                for node in found:
                    node.value.kept_as = name

    def _blocks(self) -> Iterator[Sequence[ast.stmt]]:
        for each in (*self._own, self._function):
            for name in ("body", "orelse", "finalbody"):
                block = getattr(each, name, None)
                if isinstance(block, list):
                    yield block

    def _name_of(self, node: ast.AST) -> str | None:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                return name if node.value is not None and self._looks(node.value) else None
        return None

    def _looks(self, value: ast.expr) -> bool:
        if isinstance(value, ast.GeneratorExp):
            return self._reads_what_changes(value)
        return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in _LOOKING

    def _reads_what_changes(self, made: ast.GeneratorExp) -> bool:
        """Whether a generator expression asks for a name, for each item, that is assigned further down."""
        first, *_ = made.generators
        given = {id(each) for each in ast.walk(first.iter)}
        asked = {each.id for each in ast.walk(made) if isinstance(each, ast.Name) and id(each) not in given}
        return any(self._last_assigned.get(name, 0) > made.lineno for name in asked)

    @cached_property
    def _last_assigned(self) -> dict[str, int]:
        return last_assigned(*self._function.body)


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


# What is done while tracing


def drawn(use: Use, source: Any, test: Test, member: Member, further: Further = None) -> Any:
    """A generator expression."""
    tracer = current_tracer()
    is_known = not (is_symbolic(source) or isinstance(source, operations.SymbolicRange))
    if tracer is None or (is_known and not isinstance(source, Sized)):
        return concretely(source, test, member, further)
    return _drawn(
        tracer, use, lambda: list_of(source, test, member, further),
        (lambda: concretely(source, test, member, further)) if is_known else None,
    )  # fmt: skip


def drawn_by(use: Use, called: Callable[..., Any], *args: Any) -> Any:
    """``map(f, xs)`` or ``filter(f, xs)``, where that is what the name stands for."""
    tracer = current_tracer()
    made = function(called)
    if tracer is None or called not in _DRAWING or len(args) < 2:
        return made(*args)
    is_known = not any(is_symbolic(each) or isinstance(each, operations.SymbolicRange) for each in args[1:])
    return _drawn(tracer, use, lambda: made(*args), (lambda: made(*args)) if is_known else None)


def _drawn(tracer: Tracer, use: Use, whole: Callable[[], Any], lazily: Callable[[], Any] | None) -> Any:
    if use == "whole" or (use != "again" and is_unnoticed(tracer, whole, to_the_end=use == "later")):
        return whole()
    return (
        refused_drawing() if lazily is None else _here(tracer, iter(lazily()), tracer.scope if use == "again" else None)
    )


def _here(tracer: Tracer, items: Iterator[Any], scope: Scope | None) -> Iterator[Any]:
    """The items, as long as they are asked for in one region: this one, or else the one that asked for the first."""
    scope = scope or tracer.scope
    while True:
        if tracer.scope is not scope:
            refused_drawing()
        try:
            item = next(items)
        except StopIteration:
            return
        yield item


def refused_drawing() -> Never:
    """Raise the error of a generator that is neither used up where it stands nor a list."""
    raise TraceError(
        "ORCH-D050",
        "a generator expression, `map` or `filter` that is not used up where it stands cannot be compiled",
        where=user_location(),
        why="each of its items is made when it is asked for, and that can be told from what happens in which order",
        fix="write a list, [f(x) for x in xs], or a `for` loop that does both",
    )


def is_unnoticed(tracer: Tracer, whole: Callable[[], Any], *, to_the_end: bool = False) -> bool:
    """Whether nobody could tell that the items are made at once: nothing in them asks, does or may fail.

    If all of them will be needed (``to_the_end``), only the order of what they do could be told.
    """
    mark, demands = tracer.mark(), tracer.demands
    arm = Arm(tracer, "a generator expression")
    with arm.open():
        run(arm, lambda: _made(whole()), {})
    arm.drop()
    tracer.rollback(mark)
    return not arm.scope.in_order if to_the_end else tracer.demands == demands and not arm.scope.raises


def _made(items: Any) -> Any:
    return items if is_symbolic(items) or isinstance(items, list) else list(items)


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
