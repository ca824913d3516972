"""Comprehensions: Python's own over what is concrete, else maps; a symbolic test gives parts of one item or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import CellType
from typing import Any

from orchestrator.dsl import operations
from orchestrator.dsl.regions.cells import Kept, cells_of, hold, plain_name
from orchestrator.dsl.regions.control import map_op
from orchestrator.dsl.regions.unbound import BY_AN_ITEM, unbound
from orchestrator.dsl.rewrite.deciding import decide
from orchestrator.dsl.rewrite.owning import drawable_in_region, fresh
from orchestrator.dsl.rewrite.plain import as_value, is_symbolic
from orchestrator.dsl.rewrite.values import bound_of, iterated
from orchestrator.dsl.tracing.lifting import lift
from orchestrator.dsl.tracing.tracer import Tracer, Value, current_tracer

Names = Sequence[str]
Test = Callable[[Any], Any] | None
Member = Callable[[Any], Any] | None
Further = Callable[[Any], tuple[Any, ...]] | None
"""What gives, for an item, a further source and its test, member and further sources."""


def list_of(source: Any, test: Test, member: Member, further: Further = None, *, names: Names = ()) -> Any:
    """``[member for item in source if test]``, in which ``names`` are bound by ``:=``."""
    tracer = current_tracer()
    if tracer is None:
        return list(concretely(source, test, member, further))
    return _listed(tracer, source, test, member, further, names)


def _handing_nothing_on(tracer: Tracer, functions: tuple[Any, ...], traced: Callable[[], Any]) -> Any:
    """What ``traced`` gives, which calls these functions within a region; names that they bind anew are reported."""
    kept = Kept(cells_of(functions))
    try:
        return traced()
    finally:
        kept.check(tracer, "a comprehension")


def set_of(source: Any, test: Test, member: Member, further: Further = None, *, names: Names = ()) -> Any:
    """A set comprehension."""
    members = list_of(source, test, member, further, names=names)
    if isinstance(members, Value) or any(map(is_symbolic, members)):
        return operations.builtin_call(set, (members,), {})
    return fresh(set(members))


def dict_of(source: Any, test: Test, member: Member, further: Further = None, *, names: Names = ()) -> Any:
    """A dict comprehension, whose members are pairs."""
    pairs = list_of(source, test, member, further, names=names)
    if isinstance(pairs, Value) or any(is_symbolic(key) for key, _ in pairs):
        return operations.builtin_call(dict, (pairs,), {})
    return fresh(dict(pairs))


def concretely(source: Any, test: Test, member: Member, further: Further) -> Iterator[Any]:
    """Python's own generator."""
    if not drawable_in_region(source):
        return
    for item in source:
        if test is None or test(item):
            if further is None:
                assert member is not None
                yield member(item)
            else:
                following, *rest = further(item)
                yield from concretely(following, *_three(rest))


def _listed(  # noqa: PLR0917
    tracer: Tracer, source: Any, test: Test, member: Member, further: Further, names: Names
) -> Any:
    if is_symbolic(source) or isinstance(source, operations.SymbolicRange):
        return _mapped(tracer, source, test, member, further, names)
    parts: list[Any] = []
    if not drawable_in_region(source):
        return parts
    for item in source:
        passed = True if test is None else test(item)
        if is_symbolic(passed):
            parts.append(_taken(tracer, passed, item, member, further, names))
        elif passed:
            parts.append(_part(tracer, item, member, further, names))
    if any(isinstance(part, Value) for part in parts):
        return operations.concat(lift(tracer, parts))
    return fresh([each for part in parts for each in part])


def _taken(  # noqa: PLR0917
    tracer: Tracer, passed: Any, item: Any, member: Member, further: Further, names: Names
) -> Any:
    """What an item contributes if a symbolic test holds, which says what it and the names in the member are."""
    drawn = CellType(item)

    def part() -> Any:
        return _part(tracer, drawn.cell_contents, member, further, names)

    cells = {**cells_of((member, further)), "(item)": drawn}
    return decide(passed, partial(_handing_nothing_on, tracer, (member, further), part), list, names, cells)


def _part(tracer: Tracer, item: Any, member: Member, further: Further, names: Names) -> Any:
    """What an item contributes, as a list."""
    if further is not None:
        following, *rest = further(item)
        return _listed(tracer, following, *_three(rest), names)
    return [_member(item, member)]


def _member(item: Any, member: Member) -> Any:
    assert member is not None
    return member(item)


def _three(rest: list[Any]) -> tuple[Any, Any, Any]:
    test, member, *others = rest
    return test, member, others[0] if others else None


def _mapped(  # noqa: PLR0917
    tracer: Tracer, source: Any, test: Test, member: Member, further: Further, names: Names
) -> Any:
    if isinstance(source, operations.SymbolicRange):
        values, most = source.as_list(), tracer.max_iterations
    else:
        values = iterated(as_value(source))
        most = bound_of(tracer, values)
    functions = (test, member, further)

    def given(item: Any) -> Any:
        return lift(tracer, _handing_nothing_on(tracer, functions, lambda: _of_item(item)))

    def _of_item(item: Any) -> Any:
        if test is None and further is None:
            return _member(item, member)
        passed = True if test is None else test(item)
        if is_symbolic(passed):
            return _taken(tracer, passed, item, member, further, names)
        return _part(tracer, item, member, further, names) if passed else []

    with _of_each_item(tracer, functions, names):
        mapped = map_op(tracer, given, [values], most, in_order=True)
    return mapped if test is None and further is None else operations.concat(mapped)


@contextmanager
def _of_each_item(tracer: Tracer, functions: tuple[Any, ...], names: Names) -> Iterator[None]:
    """What a comprehension binds is, for each item, nobody's before it is bound, and nobody's behind it."""
    cells = cells_of(functions) if names else {}
    bound = [name for name in map(plain_name, names) if name in cells]
    for name in bound:
        hold(cells[name], unbound(tracer, name, BY_AN_ITEM))
    yield
    for name in bound:
        hold(cells[name], unbound(tracer, name, BY_AN_ITEM))
