"""``match``: Python's own on a concrete subject, else one switch over constants, or conditions one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

from orchestrator.dsl import operations
from orchestrator.dsl.regions.cells import Cells, cells_of, contents_of, hold, restore
from orchestrator.dsl.regions.raising import EndedError
from orchestrator.dsl.regions.switching import are_exhaustive, encoded_cases
from orchestrator.dsl.rewrite.arms import emit, trace
from orchestrator.dsl.rewrite.deciding import and_, decide, or_
from orchestrator.dsl.rewrite.plain import as_value, compare, is_symbolic
from orchestrator.dsl.rewrite.values import narrowed
from orchestrator.dsl.tracing.constants import constant_type, named
from orchestrator.dsl.tracing.narrowing import said
from orchestrator.dsl.tracing.tracer import Tracer, Value, current_tracer
from orchestrator.dsl.types.kinds import class_of
from orchestrator.dsl.types.typing import plain


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a case asks of its subject: one of ``values``, all of ``tests``; ``binds`` gives names to parts of it."""

    values: tuple[Any, ...] | None = None
    test: Callable[[Any], Any] | None = None
    binds: Callable[[Any], Mapping[str, Any]] | None = None
    is_known: bool = True
    source: str = ""

    def holds(self, subject: Any) -> Any:
        """Whether the subject fits, as a Python bool or a symbolic one."""
        if self.values is not None:
            return reduce(lambda a, b: or_(a, lambda: b), [compare(subject, "==", each) for each in self.values])
        return True if self.test is None else self.test(subject)

    def bound(self, subject: Any) -> Mapping[str, Any]:
        """What the names of the pattern hold."""
        return {} if self.binds is None else self.binds(subject)


Case = tuple[Pattern, Callable[[], Any] | None, Callable[[], object]]
"""The pattern, the guard, and the body."""


def value_pattern(value: Any) -> Pattern:
    """A constant, as ``case "yes":`` or ``case Color.RED:``."""
    return Pattern(values=(value,))


def singleton_pattern(value: object) -> Pattern:
    """``case None:``, ``case True:`` or ``case False:``, which 1 is not."""
    return Pattern(test=lambda subject: compare(subject, "is", value))


def or_pattern(*patterns: Pattern) -> Pattern:
    """``case "a" | "b":``."""
    if all(each.values is not None for each in patterns):
        return Pattern(values=tuple(value for each in patterns for value in each.values or ()))
    if any(each.binds is not None for each in patterns) or not all(each.is_known for each in patterns):
        return no_pattern(" | ".join(each.source for each in patterns))

    def test(subject: Any) -> Any:
        first, *others = patterns
        return or_(first.holds(subject), *(lambda each=each: each.holds(subject) for each in others))

    return Pattern(test=test)


def any_pattern(name: str | None) -> Pattern:
    """``case _:`` or ``case name:``."""
    return Pattern(binds=None if name is None else lambda subject: {name: subject})


def as_pattern(pattern: Pattern, name: str) -> Pattern:
    """``case ... as name:``."""
    return Pattern(
        pattern.values, pattern.test, lambda subject: {**pattern.bound(subject), name: subject}, pattern.is_known
    )


def class_pattern(cls: Any, fields: Mapping[str, Pattern], *in_order: Pattern) -> Pattern:
    """``case Row(name="x", size=size):``, ``case Point(x, y):`` or ``case str(text):``."""
    is_whole = cls in _WHOLE and len(in_order) == 1
    if not is_whole:
        names = getattr(cls, "__match_args__", ())
        if len(in_order) > len(names):
            raise TypeError(f"{cls.__name__}() accepts {len(names)} positional sub-patterns ({len(in_order)} given)")
        fields = {**dict(zip(names, in_order, strict=False)), **fields}
    parts: list[tuple[Callable[[Any], Any], Pattern]] = [(_taking(name), each) for name, each in fields.items()]
    if is_whole:
        parts.append((lambda subject: subject, in_order[0]))

    def test(subject: Any) -> Any:
        is_one = operations.builtin_call(isinstance, (subject, cls), {})
        return and_(is_one, *_tests(lambda: narrowed(subject, cls), parts))

    return _of_parts(test, lambda subject: narrowed(subject, cls), parts)


_WHOLE: Final = (bool, bytes, dict, float, frozenset, int, list, set, str, tuple)
"""Classes of which one positional pattern is for the object itself."""


def _taking(name: str) -> Callable[[Any], Any]:
    return lambda subject: getattr(subject, name)


def sequence_pattern(star: int | None, *patterns: Pattern) -> Pattern:
    """``case [first, *rest]:`` or ``case (a, b):``; ``star`` is the place of what takes the rest."""
    behind = 0 if star is None else len(patterns) - star - 1

    def part(place: int) -> Callable[[Any], Any]:
        def taken(subject: Any) -> Any:
            if place == star:
                rest = subject[place : -behind or None]
                return operations.builtin_call(list, (rest,), {}) if isinstance(rest, Value) else list(rest)
            at = place if star is None or place < star else place - len(patterns)
            return operations.item(subject, at) if isinstance(subject, Value) else subject[at]

        return taken

    parts = [(part(place), each) for place, each in enumerate(patterns)]

    def test(subject: Any) -> Any:
        if isinstance(subject, Value):
            tp = plain(subject._type)
            if tp is not Any and not _is_ordered(tp):
                return False
            is_one = operations.builtin_call(isinstance, (subject, (list, tuple)), {}) if tp is Any else True
        else:
            is_one = isinstance(subject, (list, tuple))

        def fits() -> Any:
            count = operations.builtin_call(len, (subject,), {}) if isinstance(subject, Value) else len(subject)
            return compare(count, "==" if star is None else ">=", len(patterns) - (star is not None))

        return and_(is_one, fits, *_tests(lambda: subject, parts))

    return _of_parts(test, lambda subject: subject, parts)


def _is_ordered(tp: Any) -> bool:
    """Whether a value of the type is a list or a tuple."""
    return class_of(tp) in (list, tuple)


def _tests(whole: Callable[[], Any], parts: Sequence[tuple[Callable[[Any], Any], Pattern]]) -> list[Callable[[], Any]]:
    """What is asked of the parts of a subject, one after the other."""

    def inside(taken: Callable[[Any], Any], pattern: Pattern) -> Callable[[], Any]:
        return lambda: pattern.holds(taken(whole()))

    return [inside(taken, each) for taken, each in parts if each.values is not None or each.test is not None]


def _of_parts(
    test: Callable[[Any], Any],
    whole: Callable[[Any], Any],
    parts: Sequence[tuple[Callable[[Any], Any], Pattern]],
) -> Pattern:
    def binds(subject: Any) -> Mapping[str, Any]:
        own = whole(subject)
        return {key: value for taken, each in parts if each.binds for key, value in each.bound(taken(own)).items()}

    unknown = [each for _, each in parts if not each.is_known]
    is_binding = any(each.binds for _, each in parts)
    return Pattern(
        test=test,
        binds=binds if is_binding else None,
        is_known=not unknown,
        source=unknown[0].source if unknown else "",
    )


def no_pattern(source: str) -> Pattern:
    """A pattern that only concrete subjects may be matched with."""
    return Pattern(is_known=False, source=source)


def match_(subject: Any, native: Callable[[Any], int], cases: Sequence[Case], names: Sequence[str]) -> None:
    """The statement ``match``; ``native`` says which case a concrete subject fits, and binds its names."""
    if not is_symbolic(subject) and not (isinstance(subject, (list, tuple)) and operations.holds_symbolic(subject)):
        number = native(subject)
        if number >= 0:
            cases[number][2]()
        return
    value = as_value(subject)
    tracer = current_tracer()
    assert tracer is not None
    cells = cells_of((*(body for _, _, body in cases), *(guard for _, guard, _ in cases)))
    unknown = [pattern.source for pattern, _, _ in cases if not pattern.is_known]
    if unknown:
        tracer.report(
            "ORCH-D054",
            f"`case {unknown[0]}:` on {named(value)}, which is only known when the workflow runs",
            fix="match constants, sequences, classes with their fields, or `_`; take anything else apart in a tool",
        )
        return
    if isinstance(value, Value) and _is_switch(cases):
        _switch(tracer, value, cases, names, cells)
    else:
        _in_turn(value, cases, names, cells)


def _is_switch(cases: Sequence[Case]) -> bool:
    """Whether all cases but a last one are constants."""
    *most, last = cases
    plain = [*most, last] if last[0].values is not None else most
    is_default = last[0].values is not None or (last[0].test is None and last[1] is None)
    return is_default and all(
        pattern.values is not None
        and guard is None
        and pattern.binds is None
        and all(map(_is_constant, pattern.values))
        for pattern, guard, _ in plain
    )


def _is_constant(value: Any) -> bool:
    return constant_type(value) is not None and not isinstance(value, float)


def _switch(tracer: Tracer, subject: Value[Any], cases: Sequence[Case], names: Sequence[str], cells: Cells) -> None:
    told = [(pattern.values, body) for pattern, _, body in cases if pattern.values is not None]
    default = next((case for case in cases if case[0].values is None), None)
    where = tracer.here().line
    bodies: dict[str, Callable[[], object]] = {
        f"`case {' | '.join(map(repr, values))}` of the `match` at line {where}": body for values, body in told
    }
    before = contents_of(cells)

    def otherwise() -> None:
        if default is not None:
            _bind(default[0], subject, cells)
            default[2]()
        elif are_exhaustive([each for values, _ in told for each in values], subject._type):
            raise EndedError

    attrs = {"cases": encoded_cases(tracer, subject, [values for values, _ in told])}
    bodies[f"the other cases of the `match` at line {where}"] = otherwise
    arms = trace(tracer, bodies, cells)
    restore(cells, before)
    emit(tracer, "switch", [subject], arms, names, cells, attrs)


def _bind(pattern: Pattern, subject: Any, cells: Cells) -> None:
    """Have the names of a pattern hold what fits them; one that no case reads has no cell."""
    for name, value in pattern.bound(subject).items():
        if name in cells:
            hold(cells[name], value)


def _in_turn(subject: Any, cases: Sequence[Case], names: Sequence[str], cells: Cells) -> None:
    """One condition after the other."""
    if not cases:
        return
    (pattern, guard, body), *others = cases

    def then() -> None:
        _bind(pattern, subject, cells)
        body()

    def guarded() -> None:
        _bind(pattern, subject, cells)
        assert guard is not None
        found = guard()
        if is_symbolic(found):
            decide(found, body, rest, names, cells)
        elif found:
            body()
        else:
            rest()

    def rest() -> None:
        _in_turn(subject if left is None else narrowed(subject, left), others, names, cells)

    taken = then if guard is None else guarded
    test = pattern.holds(subject)
    left = next((fact[2] for fact in said(test) if fact[0] is subject and guard is None), None)
    if is_symbolic(test):
        decide(test, taken, rest, names, cells)
    elif test:
        taken()
    else:
        rest()


__all__ = [
    "any_pattern", "as_pattern", "class_pattern", "match_", "no_pattern", "or_pattern", "sequence_pattern",
    "singleton_pattern",
    "value_pattern",
]  # fmt: skip
