"""Building a program: a region is filled op by op, then laid out into slots and segments.

The lowering uses this, and so may a test::

    body = RegionBuilder("", 1)
    (x,) = body.args
    y = body.inline("double", lambda x: f"{x} * 2", [x])
    z, = body.suspend("wait", ToolCall(sleepy, "sleepy", "idempotent", True, "async"), [y])
    program = Program("example", "hash", ("x",), body.finish([z]), int)

How ops are grouped is explained in :mod:`orchestrator.runtime.program.program`. It takes one pass: the segment an op
belongs to is known as soon as the segments of its inputs are. Segment 0 always runs first, so it never needs waiting
for, and neither does a segment that another input's segment comes directly after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.errors import SourceLoc
from orchestrator.runtime.program.codegen import Classes, Line, Names, region_source
from orchestrator.runtime.program.keys import key_of
from orchestrator.runtime.program.program import Body, Inline, Op, Region, Segment
from orchestrator.runtime.program.specs import NO_POLICY, Policy, Spec

ENTRY = 0


@dataclass(eq=False, slots=True)
class Val:
    """A value of a region under construction."""

    owner: RegionBuilder
    type: Any
    segment: int
    slot: int = -1


@dataclass(slots=True)
class _Suspending:
    id: str
    spec: Spec
    args: list[Val]
    outs: list[Val]
    after: int
    where: SourceLoc | None
    policy: Policy
    bodies: Sequence[tuple[str, Region, list[Val]]]
    key: str


@dataclass(slots=True)
class _Segment:
    lines: list[Line] = field(default_factory=list)
    starts: list[_Suspending] = field(default_factory=list)
    joins: list[int] = field(default_factory=list)
    pending: int = 0
    parents: frozenset[int] = frozenset()
    """Segments that have always run before this one; those before them are not listed."""


class RegionBuilder:
    """A region under construction. ``parent`` is the region around it, whose values it may use."""

    def __init__(self, key: str, types: Sequence[Any] | int, parent: RegionBuilder | None = None) -> None:
        self.key = key
        self.parent = parent
        given = [Any] * types if isinstance(types, int) else types
        self.args = [Val(self, tp, ENTRY) for tp in given]
        self.captures: list[Val] = []
        """Values of ``parent``, in the order of this region's extra inputs."""
        self._captured: dict[int, Val] = {}
        self._segments = [_Segment()]
        self._joins: dict[frozenset[int], int] = {}
        self._names = Names()
        self._keys: Counter[str] = Counter()

    def inline(
        self,
        op_id: str,
        emit: Callable[..., str],
        args: Sequence[Val],
        *,
        type: Any = Any,  # noqa: A002 - of the value
        where: SourceLoc | None = None,
        bind: object = None,
        check: Classes | None = None,
        tool: str | None = None,
        behind: Sequence[Val] = (),
    ) -> Val:
        """An op computed by a Python expression: ``emit(*operand names)``, or ``emit(name of bind, *operands)``.

        ``check`` is what the result must be an instance of, ``tool`` the user's tool that it calls; ``behind`` it waits
        for as well.
        """
        own = [self.use(arg) for arg in args]
        index = self._segment_for([*own, *map(self.use, behind)])
        name = () if bind is None else (self._names.of(bind),)
        value = Val(self, type, index)
        self._segments[index].lines.append(Line(op_id, where, value, own, emit, name, check, tool))
        return value

    def suspend(
        self,
        op_id: str,
        spec: Spec,
        args: Sequence[Val],
        *,
        types: Sequence[Any] = (Any,),
        where: SourceLoc | None = None,
        policy: Policy = NO_POLICY,
        bodies: Sequence[tuple[str, Region, Sequence[Val]]] = (),
        behind: Sequence[Val] = (),
    ) -> list[Val]:
        """An op that the executor starts once its inputs exist, and ``behind``, which it does not take.

        ``bodies`` are finished regions with the values they capture.
        """
        own = [self.use(arg) for arg in args]
        inner = [(name, region, [self.use(each) for each in captures]) for name, region, captures in bodies]
        waits = [*own, *(each for _, _, captures in inner for each in captures), *map(self.use, behind)]
        index = self._segment_for(waits)
        after = len(self._segments)
        self._segments.append(_Segment(parents=frozenset((index,))))
        outs = [Val(self, tp, after) for tp in types]
        key = self._key(spec, types)
        self._segments[index].starts.append(_Suspending(op_id, spec, own, outs, after, where, policy, inner, key))
        return outs

    def _key(self, spec: Spec, types: Sequence[Any]) -> str:
        """The key of the next op of the region: its own, and which one of those with this key it is."""
        own = key_of(spec, types)
        self._keys[own] += 1
        return own if self._keys[own] == 1 else f"{own}~{self._keys[own]}"

    def end_of_last(self) -> Val:
        """What is there once the latest op that :meth:`suspend` has added is done: for ``behind``, it has no slot."""
        return Val(self, None, len(self._segments) - 1)

    def use(self, value: Val) -> Val:
        """``value`` as one of this region: itself, or a capture from the regions around."""
        if value.owner is self:
            return value
        known = self._captured.get(id(value))
        if known is None:
            if self.parent is None:
                raise ValueError("a value of a region that does not enclose this one")
            self.captures.append(self.parent.use(value))
            known = self._captured[id(value)] = Val(self, value.type, ENTRY)
        return known

    def _segment_for(self, inputs: Sequence[Val]) -> int:
        sources = {value.segment for value in inputs}
        sources.discard(ENTRY)
        if not sources:
            return ENTRY
        if len(sources) > 1:
            sources.difference_update(*[self._segments[source].parents for source in sources])
        if len(sources) == 1:
            return sources.pop()
        key = frozenset(sources)
        index = self._joins.get(key)
        if index is None:
            index = self._joins[key] = len(self._segments)
            self._segments.append(_Segment(pending=len(key), parents=key))
            for source in key:
                self._segments[source].joins.append(index)
        return index

    def finish(self, yields: Sequence[Val]) -> Region:
        """Number the slots and generate the code."""
        own = [self.use(value) for value in yields]
        types: list[Any] = []

        def place(value: Val) -> int:
            value.slot = len(types)
            types.append(value.type)
            return value.slot

        for value in [*self.args, *self._captured.values()]:
            place(value)
        inputs = len(types)
        firsts = []
        for segment in self._segments:
            firsts.append(len(types))
            for line in segment.lines:
                place(line.value)
            for op in segment.starts:
                for value in op.outs:
                    place(value)
        is_inline = len(self._segments) == 1 and not self._segments[ENTRY].starts
        groups = [segment.lines for segment in self._segments]
        slots = (inputs, len(types)) if is_inline and self.parent is not None else None
        source, lines = region_source(groups, slots, [value.slot for value in own], self._names)
        return Region(
            key=self.key,
            n_inputs=inputs,
            blanks=len(types) - inputs,
            segments=tuple(
                _sealed(n, first, seg) for n, (first, seg) in enumerate(zip(firsts, self._segments, strict=True))
            ),
            pending=tuple(segment.pending for segment in self._segments),
            yields=tuple(value.slot for value in own),
            types=tuple(types),
            sequential=not self._joins and all(len(segment.starts) <= 1 for segment in self._segments),
            is_inline=is_inline,
            inlined=tuple(
                Inline(line.id, line.where, line.value.slot, line.check, line.tool)
                for group in groups
                for line in group
            ),
            source=source,
            lines=lines,
            env=self._names.env,
        )


def _sealed(index: int, first: int, segment: _Segment) -> Segment:
    starts = tuple(
        Op(
            each.id,
            each.spec,
            tuple(value.slot for value in each.args),
            each.outs[0].slot if each.outs else -1,
            len(each.outs),
            each.after,
            each.where,
            each.policy,
            tuple(Body(name, region, tuple(v.slot for v in captures)) for name, region, captures in each.bodies),
            each.key,
        )
        for each in segment.starts
    )
    name = f"s{index}" if segment.lines else None
    return Segment(name, first, len(segment.lines), starts, tuple(segment.joins))
