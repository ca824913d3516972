"""Alternatives: bodies of which one will run, traced into regions, and the names that they leave behind.

Every body is traced from the same contents of the names. What they leave is joined name by name: what is the same stays
as it is; structures are joined part by part; values become results of the op; a name that one body leaves unbound, or
whose types do not join, is unbound afterwards, with the reason kept for whoever reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CellType
from typing import Any, Final, Never

from orchestrator.dsl.models.llm import Chat
from orchestrator.dsl.regions.cells import (
    FLAG,
    OPTIONAL,
    UNBOUND,
    Cells,
    Contents,
    Kept,
    contents_of,
    held,
    hold,
    plain_name,
    restore,
)
from orchestrator.dsl.regions.raising import EndedError, fails_here
from orchestrator.dsl.regions.unbound import lacks, note, taken, unbound
from orchestrator.dsl.rewrite.handing_on import can_be_handed_on, handed_on
from orchestrator.dsl.rewrite.values import narrowed
from orchestrator.dsl.tracing.constants import is_symbolic
from orchestrator.dsl.tracing.known import is_changeable, joined
from orchestrator.dsl.tracing.scope import Scope
from orchestrator.dsl.tracing.sharing import either, of
from orchestrator.dsl.tracing.sharing import note as share
from orchestrator.dsl.tracing.tracer import Result, Tracer, Value
from orchestrator.dsl.types.bounds import Length
from orchestrator.dsl.types.typing import TypeForm, join, type_string, union
from orchestrator.errors import SourceLoc

RETURNED: Final = "(value)"
"""It stands in the place of a name for what a body gives back."""


class Arm:
    """A body: its region, and the contents of the names at its end; None if it does not get there."""

    def __init__(self, tracer: Tracer, name: str) -> None:
        self.tracer = tracer
        self.scope = Scope(name, tracer.scope)
        self.outer = tracer.scope
        self.region: Any = None
        self.arguments: Sequence[Any] = ()
        self.contents: Contents | None = None
        self.where: SourceLoc | None = None
        self.narrowed: dict[str, tuple[Any, Any]] = {}
        """Names that it sees narrower than they are: what they hold in it, and outside of it."""

    @contextmanager
    def open(self, types: Sequence[TypeForm] = ()) -> Iterator[Arm]:
        """What is traced in the block goes into the region."""
        tracer = self.tracer
        tracer.scope = self.scope
        try:
            with tracer.ir.region([tracer.register_type(tp) for tp in types]) as self.region:
                self.arguments = self.region.arguments
                yield self
        finally:
            self.scope.closed = True
            tracer.scope = self.outer

    @contextmanager
    def reopened(self) -> Iterator[None]:
        """What is traced in the block goes to the end of the region."""
        tracer = self.tracer
        self.scope.closed, outer, tracer.scope = False, tracer.scope, self.scope
        try:
            with tracer.ir.reopened(self.region):
                yield
        finally:
            self.scope.closed = True
            tracer.scope = outer

    def drop(self) -> None:
        """Have it never been: its region goes with whatever nobody takes over."""
        self.outer.inner.remove(self.scope)


@dataclass(slots=True)
class Joining:
    """What becomes of the names after alternatives, and the leaves that each of them yields."""

    tracer: Tracer
    arms: Sequence[Arm]
    before: Mapping[str, Any] = field(default_factory=dict)
    """What the names held before."""
    flags: Sequence[str] = ()
    """Names that are true where a body has taken an exit."""
    types: list[TypeForm] = field(default_factory=list)
    lengths: list[Length | None] = field(default_factory=list)
    yields: list[list[Value[Any]]] = field(default_factory=list)
    """For each result, it has the value of each arm that gets to its end."""

    @property
    def live(self) -> list[Arm]:
        """The arms that get to their end."""
        return [arm for arm in self.arms if arm.contents is not None]

    def rebuilt(self, name: str) -> Callable[[Sequence[Value[Any]]], Any]:
        """How to get the content of a name out of the op's results."""
        marked, name = name, plain_name(name)
        contents = [UNBOUND if arm.contents is None else arm.contents[name] for arm in self.live]
        first = contents[0]
        if all(each is first for each in contents) and (first is self.before.get(name) or not is_symbolic(first)):
            return lambda _: first
        if UNBOUND in [each for each in contents if each is UNBOUND]:
            missing = next(
                (
                    arm
                    for arm, each in zip(self.live, contents, strict=True)
                    if each is UNBOUND and not self._leaves(arm)
                ),
                None,
            )
            if missing is not None and not marked.startswith(OPTIONAL):
                reason = f"{missing.scope.name} does not bind it"
                return lambda _: self._unbound(name, reason)
            bound = [each for each in contents if each is not UNBOUND]
            if all(each is bound[0] for each in bound) and not is_symbolic(bound[0]):
                return lambda _: bound[0]
        return self._part(contents, name)

    def lacking(self, name: str, cell: CellType) -> frozenset[str]:
        """The exits of loops behind which a name holds nothing, where it seems to hold something."""
        if name.startswith((OPTIONAL, FLAG)):
            return frozenset()
        found: frozenset[str] = frozenset()
        for arm in self.live:
            assert arm.contents is not None
            content = arm.contents[name]
            found |= taken(self.flags, arm.contents) if content is UNBOUND else lacks(self.tracer, cell, content)
        return found

    def _leaves(self, arm: Arm) -> bool:
        """Whether a body has taken an exit, so that what it has not bound is not read."""
        return any(arm.contents is not None and arm.contents.get(flag) is True for flag in self.flags)

    def _part(self, contents: Sequence[Any], name: str) -> Callable[[Sequence[Value[Any]]], Any]:
        first = contents[0]
        if all(type(each) is type(first) for each in contents):
            is_scalar = isinstance(first, (str, int, float, bool, type(None))) and not is_symbolic(first)
            if is_scalar and all(each == first for each in contents):
                return lambda _: first
            if type(first) in (list, tuple) and len({len(each) for each in contents}) == 1:
                made = [self._part([each[position] for each in contents], name) for position in range(len(first))]
                kind = type(first)
                return lambda results: self._one_of(contents, kind(part(results) for part in made))
            if type(first) is dict and all(list(each) == list(first) for each in contents):
                items = {key: self._part([each[key] for each in contents], name) for key in first}
                return lambda results: self._one_of(contents, {key: part(results) for key, part in items.items()})
        return self._leaf(contents, name)

    def _one_of(self, contents: Sequence[Any], made: Any) -> Any:
        """A structure that stands for whichever an arm leaves: to change it is to change that."""
        return joined(self.tracer, made, contents) if is_changeable(made) else made

    def _leaf(self, contents: Sequence[Any], name: str) -> Callable[[Sequence[Value[Any]]], Any]:
        lifted: list[Value[Any]] = []
        for arm, content in zip(self.live, contents, strict=True):
            if content is not UNBOUND and not can_be_handed_on(content):
                reason = f"it is a {type(content).__name__} in {arm.scope.name}, which only Python knows"
                return lambda _: self._unbound(name, reason)
            with arm.reopened():
                lifted.append(never(self.tracer) if content is UNBOUND else handed_on(self.tracer, content))
        tp: TypeForm | None = lifted[0]._type
        for arm, value in zip(self.live[1:], lifted[1:], strict=True):
            joined = join(tp, value._type)
            if joined is None and name == RETURNED and Chat not in (tp, value._type):
                joined = union(tp, value._type)  # an expression's, of which what takes it says whether it fits
            if joined is None:
                reason = (
                    f"it is {type_string(tp)} in {self.live[0].scope.name} (`{lifted[0]._origin.name}`, "
                    f"{lifted[0]._origin.where}), and {type_string(value._type)} in {arm.scope.name} "
                    f"(`{value._origin.name}`, {value._origin.where})"
                )
                return lambda _: self._unbound(name, reason)
            tp = joined
        position = len(self.types)
        self.types.append(tp)
        self.lengths.append(_common(lifted))
        self.yields.append(lifted)
        return lambda results: results[position]

    def _unbound(self, name: str, reason: str) -> Any:
        if name == RETURNED:
            return self.tracer.report(
                "ORCH-D022",
                "an expression may have values that cannot be told apart when the workflow runs",
                why=reason,
                fix="use values that models or tools made, or constants, of one type",
            )
        return unbound(self.tracer, plain_name(name), reason)

    def finish(self) -> list[Any]:
        """Have every region yield; the regions."""
        number = {id(arm): position for position, arm in enumerate(self.live)}
        for arm in self.arms:
            with arm.reopened():
                if arm.contents is None:
                    values = [never(self.tracer) for _ in self.types]
                else:
                    values = [each[number[id(arm)]] for each in self.yields]
                if not self.tracer.diagnostics:
                    self.tracer.ir.yield_([value._ssa for value in values])
        return [arm.region for arm in self.arms]


def _common(values: Sequence[Value[Any]]) -> Length | None:
    lengths = [value._length for value in values]
    known = [length for length in lengths if length is not None]
    if len(known) < len(lengths):
        return None
    return Length(max(each.most for each in known), min(each.least for each in known))


def trace(
    tracer: Tracer, names: Mapping[str, Callable[[], Any]], cells: Cells, *, narrower: Sequence[Mapping[str, Any]] = ()
) -> list[Arm]:
    """Trace bodies, each from what the names hold now; ``names`` says what each is called in messages."""
    before = contents_of(cells)
    arms: list[Arm] = []
    for position, (name, body) in enumerate(names.items()):
        arm = Arm(tracer, name)
        arms.append(arm)
        with arm.open():
            arm.narrowed = narrow(cells, narrower[position]) if narrower else {}
            run(arm, body, cells)
            if arm.contents is not None:
                for key, (own, original) in arm.narrowed.items():
                    if arm.contents[key] is own:
                        arm.contents[key] = original
        restore(cells, before)
    return arms


def run(arm: Arm, body: Callable[[], Any], cells: Cells) -> None:
    """Trace a body into the open region of an arm, and keep what it leaves."""
    arm.where = arm.tracer.here()
    kept = Kept(cells)
    try:
        returned = body()
    except EndedError:
        return
    except Exception as error:
        if not fails_here(arm.tracer, error):
            raise
        return
    finally:
        kept.check(arm.tracer, arm.scope.name)
    if arm.scope.raises:
        return
    arm.contents = {**contents_of(cells), RETURNED: returned}


def narrow(cells: Cells, types: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Have names hold what they hold as something of a narrower type; what that is, and what they held."""
    made: dict[str, tuple[Any, Any]] = {}
    for name, tp in types.items():
        original = held(cells[name])
        own = narrowed(original, tp)
        made[name] = own, original
        hold(cells[name], own)
    return made


def widen(cells: Cells, seen: Mapping[str, tuple[Any, Any]]) -> None:
    """Have names that still hold what :func:`narrow` made hold again what they held."""
    for name, (own, original) in seen.items():
        if held(cells[name]) is own:
            hold(cells[name], original)


def emit(  # noqa: PLR0917 - what an op with regions consists of
    tracer: Tracer,
    kind: str,
    operands: Sequence[Value[Any]],
    arms: Sequence[Arm],
    names: Sequence[str],
    cells: Cells,
    attrs: Mapping[str, object],
    further: Sequence[Any] = (),
) -> Any:
    """Emit the op of these regions, and ``further`` ones that yield nothing; return what the bodies give back.

    The names hold what the op leaves.

    Raises :class:`EndedError` where no body gets to its end.
    """
    names = [name for name in names if plain_name(name) in cells]  # no body has any other
    joining = Joining(tracer, arms, contents_of(cells), [plain_name(name) for name in names if name.startswith(FLAG)])
    if not joining.live:
        regions = joining.finish()
        tracer.op(kind, operands, [], attrs, regions=[*regions, *further])
        tracer.scope.raises = True
        raise EndedError
    made = {name: joining.rebuilt(name) for name in (*names, RETURNED)}
    regions = joining.finish()
    results = [Result(tp, length) for tp, length in zip(joining.types, joining.lengths, strict=True)]
    values = tracer.op(kind, operands, results, attrs, regions=[*regions, *further])
    for value, yielded in zip(values, joining.yields, strict=True):
        share(value, either(map(of, yielded)))
    missing = {name: joining.lacking(name, cells[plain_name(name)]) for name in names}
    for name in names:
        cell = cells[plain_name(name)]
        hold(cell, made[name](values))
        note(tracer, cell, missing[name])
    return made[RETURNED](values)


def never(tracer: Tracer) -> Value[Any]:
    """What stands where control never comes."""
    return tracer.op("const", [], [Result(Never)], {"value": "null"})[0]
