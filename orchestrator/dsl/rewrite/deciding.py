"""``if``, ``and``, ``or``, ``not``, ``a if c else b``: Python's own on a concrete condition, else a branch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from orchestrator.dsl import operations
from orchestrator.dsl.operations.expressions import binary, negate
from orchestrator.dsl.regions.cells import Cells, cells_of, held, plain_name
from orchestrator.dsl.rewrite.arms import RETURNED, Arm, emit, trace
from orchestrator.dsl.rewrite.plain import compare, is_symbolic, is_truth
from orchestrator.dsl.rewrite.values import narrowed
from orchestrator.dsl.tracing.lifting import template_of
from orchestrator.dsl.tracing.narrowing import said
from orchestrator.dsl.tracing.tracer import Fact, Value, current_tracer

Thunk = Callable[[], Any]


def if_(test: Any, then: Thunk, otherwise: Thunk | None, names: Sequence[str]) -> None:
    """The statement ``if``."""
    if not is_symbolic(test):
        chosen = then if test else otherwise
        if chosen is not None:
            chosen()
        return
    decide(test, then, otherwise or _nothing, names)


def choose(test: Any, then: Thunk, otherwise: Thunk, *, names: Sequence[str] = ()) -> Any:
    """``then() if test else otherwise()``."""
    if not is_symbolic(test):
        return then() if test else otherwise()
    return decide(test, then, otherwise, names)


def decide(test: Any, then: Thunk, otherwise: Thunk, names: Sequence[str], cells: Cells | None = None) -> Any:
    """A branch over a symbolic condition. ``cells`` are the names, by default those of the two functions."""
    condition = operations.truth(test)
    if isinstance(condition, bool):  # its type says so
        return then() if condition else otherwise()
    tracer = condition._tracer
    cells = cells_of((then, otherwise)) if cells is None else cells
    where = tracer.here().line
    called = {f"the `if` at line {where}": then, f"the `else` of line {where}": otherwise}
    arms = trace(tracer, called, cells, narrower=narrowings(condition, cells))
    return emit(tracer, "branch", [condition], arms, names, cells, {})


def narrowings(condition: Value[Any], cells: Cells) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What names are known to hold where a condition is true, and where it is false."""
    true: dict[str, Any] = {}
    false: dict[str, Any] = {}
    facts = said(condition)
    for name, cell in cells.items():
        content = held(cell)
        if not isinstance(content, Value):
            continue
        for value, if_true, if_false in facts:
            if value is content:
                for known, tp in ((true, if_true), (false, if_false)):
                    if tp is not None and tp != value._type:
                        known[name] = tp
    return true, false


def and_(first: Any, *others: Thunk, names: Sequence[str] = (), cells: Cells | None = None) -> Any:
    """``first and other() and …``, of which the others bind ``names``; ``cells`` are by default those of the others."""
    return _short_circuit(first, others, names, cells, stops=False)


def or_(first: Any, *others: Thunk, names: Sequence[str] = ()) -> Any:
    """``first or other() or …``, of which the others bind ``names``."""
    return _short_circuit(first, others, names, None, stops=True)


def _short_circuit(
    value: Any, others: Sequence[Thunk], names: Sequence[str], cells: Cells | None, *, stops: bool
) -> Any:
    """``value`` if its truth is ``stops``, else what the others come to."""
    for position, other in enumerate(others):
        if is_symbolic(value):
            return _symbolic(value, other, others[position + 1 :], names, cells, stops=stops)
        if bool(value) is stops:
            return value
        value = other()
    return value


def _symbolic(
    value: Any, other: Thunk, others: Sequence[Thunk], names: Sequence[str], cells: Cells | None, *, stops: bool
) -> Any:
    tracer = current_tracer()
    assert tracer is not None
    condition = operations.truth(value)
    if isinstance(condition, bool):
        return value if condition is stops else _short_circuit(other(), others, names, cells, stops=stops)
    cells = cells_of((other, *others)) if cells is None else cells
    first = value if isinstance(value, Value) else template_of(tracer, value)

    def rest() -> Any:
        return _short_circuit(other(), others, names, cells, stops=stops)

    def same() -> Any:
        narrow = [fact for fact in said(condition) if fact[0] is first]
        known = narrow[0][1 if stops else 2] if narrow else None
        return first if known is None else narrowed(first, known)

    true, false = narrowings(condition, cells)
    where, word = tracer.here().line, "or" if stops else "and"
    emitted = tracer.emitted
    (right,) = trace(
        tracer, {f"the right of `{word}` at line {where}": rest}, cells, narrower=[false if stops else true]
    )
    bound = (
        {}
        if right.contents is None
        else {name: right.contents[name] for name in map(plain_name, names) if name in cells}
    )
    if (
        tracer.emitted == emitted
        and right.contents is not None
        and all(held(cells[each]) is bound[each] for each in bound)
    ):
        joined = _as_one_op(first, right, stops=stops)
        if joined is not None:
            right.drop()
            return joined
    (left,) = trace(tracer, {f"the left of `{word}` at line {where}": same}, cells)
    made = emit(tracer, "branch", [condition], [left, right] if stops else [right, left], names, cells, {})
    found = None if right.contents is None else right.contents[RETURNED]
    named = [(inside, held(cells[name])) for name, inside in bound.items()]
    return _with_facts(made, condition, found, right, named, stops=stops) if isinstance(made, Value) else made


def _as_one_op(first: Value[Any], arm: Arm, *, stops: bool) -> Any:
    """The truth of two values that are there already; None where they are no truths."""
    assert arm.contents is not None
    right = arm.contents[RETURNED]
    if not is_truth(first):
        return None
    if isinstance(right, bool):
        return right if right is stops else first
    if not isinstance(right, Value) or not is_truth(right):
        return None
    return _with_facts(binary(first._tracer, "or" if stops else "and", first, right), first, right, arm, stops=stops)


def _with_facts(
    made: Any, first: Value[Any], right: Any, arm: Arm, named: Sequence[tuple[Any, Any]] = (), *, stops: bool
) -> Any:
    """A conjunction holds only if both do, and a disjunction fails only if both fail.

    What the right side, traced in ``arm``, says of a name that it sees narrower, or of one that it binds (``named``),
    is said of what the name holds outside of it.
    """
    outside = [*arm.narrowed.values(), *named]
    both = [*said(first), *said(right)]
    both += [fact._replace(value=there) for fact in said(right) for own, there in outside if own is fact.value]
    known = [fact for fact in both if isinstance(fact.value, Value) and not fact.value._scope.closed]
    kept = tuple(Fact(value, None, no) if stops else Fact(value, yes, None) for value, yes, no in known)
    if kept:
        made._facts = kept
    return made


def not_(value: Any) -> Any:
    """``not value``."""
    if not is_symbolic(value):
        return not value
    condition = operations.truth(value)
    return not condition if isinstance(condition, bool) else negate(condition)


def _nothing() -> None:
    return None


def chain(left: Any, *rest: Any, names: Sequence[str] = ()) -> Any:
    """``left < middle() < right()``, each evaluated once, and not at all behind one that does not hold."""
    sign, other, *more = rest
    right = other()
    first = compare(left, sign, right)
    if not more:
        return first
    return and_(first, lambda: chain(right, *more, names=names), names=names, cells=cells_of(more[1::2]))
