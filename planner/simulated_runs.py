"""Runs of a plan as programs of the simulator: every execution of every op drawn from what the plan expects of it.

Each execution becomes a stage that waits for those before it. A model call on known hardware is a stage of its engine,
one for each reply it samples; whatever else takes time (tools, people, services) is a stage of the fleet
:data:`ELSEWHERE`, whose calls take no time after their delay. Seconds and tokens are drawn as
:mod:`orchestrator.planner.tail` reads intervals, half of the variance common to a place. That half is drawn once a
replication where it is of seconds. Of lengths it is left out: an interval of a length is mostly ignorance of it, and
calls that are all as long as one may be are no load that any plan should be made for; the tail of a run alone has it.

==========  ===================================================================================================
loop        rounds one after the other, as many as are drawn
map         items at the same time, or so many at a time that one item and all of them take what the plan says
branch,     one arm, each as likely as the others
switch
attempt     its body, and what is to be done in the end; no failure is expected
race        the arm that is expected to win; what the losers do until they are cut short is left out
==========  ===================================================================================================

A call that goes on from an earlier one has the same share of its prompt in common with it as in the plan, and the
replies of one call share their prompt, so what is found in a cache depends on where the calls go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final
from zlib import crc32

from orchestrator.planner.dataflow import FINALLY, PASSED, REGIONS, TRY
from orchestrator.planner.interval import Interval
from orchestrator.planner.plan import OpPlan, Plan
from orchestrator.planner.rollup import arms_of, repeats
from orchestrator.planner.simulate.program import Program, Stage
from orchestrator.planner.simulate.speed import ReplicaSpec, ReplicaSpeed
from orchestrator.planner.simulated_replicas import EngineModel
from orchestrator.planner.tail import COMMON, SEED, quantiles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ELSEWHERE: Final = ReplicaSpec(
    "elsewhere",
    ReplicaSpeed(token_s=0.0, weight_s=0.0, kv_token_s=0.0, step_s=1e-9),
    kv_blocks=1 << 40,
    max_batch=1 << 20,
    step_tokens=1 << 20,
    model="",
)
"""Where everything happens that is no call of a known engine: room for any number at once."""
NOTHING: Final = Stage(1, 1, "nothing", model=ELSEWHERE.model)
"""All there is of a run whose loops make no round, whose maps have no item and whose branches skip the rest."""
UNIT_TOKENS: Final = 64
"""A cached prefix is counted in units of so many tokens."""
_DRAWN_AT_ONCE: Final = 256
_UNITS_A_RUN: Final = 1 << 24

Before = tuple[int, ...]
"""Stages that must be done first."""


def stages_per_run(plan: Plan, samples: Mapping[str, int]) -> float:
    """Stages of a run at the middle estimate."""
    return sum(op.count.mid * samples.get(op.id, 1) for op in plan.ops if op.kind not in REGIONS | PASSED)


class Runs:
    """Draws runs of ``plan``: those of one ``replication`` have their common errors in common.

    ``deviates`` are the standard normal deviates of that common part, by place.
    """

    def __init__(
        self,
        plan: Plan,
        engines: Mapping[str, EngineModel],
        samples: Mapping[str, int],
        deviates: Callable[[str], float],
        replication: int,
    ) -> None:
        self._plan, self._engines, self._samples = plan, engines, samples
        self._deviate_at, self._replication = deviates, replication
        self._children: dict[str | None, dict[str | None, list[OpPlan]]] = {}
        for op in plan.ops:
            self._children.setdefault(op.parent, {}).setdefault(op.region, []).append(op)
        self._draws: dict[str, Iterator[float]] = {}
        self._linked = any(share > 0 for engine in engines.values() for share in engine.cached.values())
        self._stages: list[Stage] = []
        self._next_unit = 0

    def program(self, number: int, arrival_s: float, slo_s: float = math.inf) -> Program:
        """The run of that number."""
        self._stages = []
        self._next_unit = number * _UNITS_A_RUN
        self._chain([op for ops in self._children.get(None, {}).values() for op in ops], ())
        return Program(number, arrival_s, tuple(self._stages) or (NOTHING,), self._plan.workflow, slo_s)

    # Regions

    def _chain(self, ops: Iterable[OpPlan], before: Before) -> Before:
        """Add the ops of one region; what there is to wait for after it."""
        ends: dict[str, Before] = {}
        read: set[str] = set()
        for op in ops:
            waits = tuple(sorted({stage for name in op.after if name in ends for stage in ends[name]}))
            read.update(op.after)
            ends[op.id] = self._op(op, waits or before)
        last = {stage for name, end in ends.items() if name not in read for stage in end}
        return tuple(sorted(last)) or before

    def _op(self, op: OpPlan, before: Before) -> Before:
        if op.kind in PASSED:
            return before
        if op.kind in REGIONS:
            return self._region(op, self._children.get(op.id, {}), before)
        engine = self._engines.get(self._engine_of(op)) if op.kind == "decode" else None
        if engine is not None:
            return self._call(op, engine, before)
        self._stages.append(Stage(1, 1, op.id, before, self._seconds(op), model=ELSEWHERE.model))
        return (len(self._stages) - 1,)

    def _engine_of(self, op: OpPlan) -> str:
        """The engine that takes an execution: each as often as its share says."""
        if not op.shares:
            return op.place.removeprefix("engine:")
        left = self._next(f"engine of {op.id}", lambda random: random.random(_DRAWN_AT_ONCE))
        for each in op.shares:
            left -= each.share
            if left < 0:
                return each.engine
        return op.shares[-1].engine

    def _region(self, op: OpPlan, regions: Mapping[str | None, list[OpPlan]], before: Before) -> Before:
        match op.kind:
            case "branch" | "switch":
                arms = [*regions.values(), *[[]] * (arms_of(op, regions) - len(regions))]
                return self._chain(arms[int(self._share(op) * len(arms))], before)
            case "attempt":
                for name in (TRY, FINALLY):
                    before = self._chain(regions.get(name, []), before)
                return before
            case "race":
                fastest = min(regions.values(), key=lambda arm: sum(each.seconds.mid for each in arm), default=[])
                return self._chain(fastest, before)
            case "loop":
                share = self._share(op)
                times = [(inside, _count(op, inside, share)) for inside in regions.values()]
                for turn in range(max((count for _, count in times), default=0)):
                    for inside, count in times:
                        before = self._chain(inside, before) if turn < count else before
                return before
            case _:
                return self._map(op, [each for inside in regions.values() for each in inside], before)

    def _map(self, op: OpPlan, inside: list[OpPlan], before: Before) -> Before:
        if not inside:
            return before
        count = _count(op, inside, self._share(op))
        width = max(math.ceil(repeats(op, inside).mid / _waves(op, inside)), 1)
        ends: list[Before] = []
        for item in range(count):
            ends.append(self._chain(inside, ends[item - width] if item >= width else before))
        return tuple(sorted({stage for end in ends[-width:] for stage in end})) or before

    # Leaves

    def _call(self, op: OpPlan, engine: EngineModel, before: Before) -> Before:
        replies = self._samples.get(op.id, 1)
        most = engine.capacity_tokens
        output = min(self._tokens(op, "tokens out", op.tokens_out.scaled(1 / replies), engine), most // 2)
        prompt = min(self._tokens(op, "tokens in", op.tokens_in, engine), most - output)
        ids: tuple[int, ...] = ()
        if self._linked or replies > 1:
            ids = self._continued(engine, before, int(engine.cached[op.id] * prompt))
            ids = self._grown(ids, prompt)
        first = len(self._stages)
        for reply in range(replies):
            if reply:
                output = min(self._tokens(op, "tokens out", op.tokens_out.scaled(1 / replies), engine), most - prompt)
            own = self._grown(ids, prompt + output) if self._linked else ids
            self._stages.append(
                Stage(prompt, output, op.id, before, prefix_ids=own, unit_tokens=UNIT_TOKENS, model=engine.name)
            )
        return tuple(range(first, len(self._stages)))

    def _continued(self, engine: EngineModel, before: Before, tokens: int) -> tuple[int, ...]:
        """The leading units that a prompt has in common with the call it goes on from, ``tokens`` at most."""
        waiting, seen = list(before), set(before)
        while waiting and tokens >= UNIT_TOKENS:
            latest = max(waiting)
            waiting.remove(latest)
            stage = self._stages[latest]
            if stage.model == engine.name:
                return stage.prefix_ids[: tokens // UNIT_TOKENS]
            waiting += [each for each in stage.after if each not in seen]
            seen.update(stage.after)
        return ()

    def _grown(self, ids: tuple[int, ...], tokens: int) -> tuple[int, ...]:
        fresh = range(self._next_unit, self._next_unit + tokens // UNIT_TOKENS - len(ids))
        self._next_unit += len(fresh)
        return (*ids, *fresh)

    # Draws

    def _seconds(self, op: OpPlan) -> float:
        return self._next(f"op {op.id}", lambda random: quantiles(op.seconds, self._deviates(op, random)))

    def _tokens(self, op: OpPlan, what: str, of: Interval, engine: EngineModel) -> int:
        drawn = self._next(f"{what} {op.id}", lambda random: quantiles(of, _own(random)))
        return max(round(min(drawn, engine.capacity_tokens)), 1)

    def _share(self, op: OpPlan) -> float:
        return self._next(f"share {op.id}", lambda random: random.random(_DRAWN_AT_ONCE))

    def _deviates(self, op: OpPlan, random: np.random.Generator) -> NDArray[np.float64]:
        return _own(random) + self._deviate_at(op.place)

    def _next(self, key: str, draw: Callable[[np.random.Generator], NDArray[np.float64]]) -> float:
        found = self._draws.get(key)
        if found is None:
            found = self._draws[key] = _stream(draw, key, self._replication)
        return next(found)


def _own(random: np.random.Generator) -> NDArray[np.float64]:
    """Standard normal deviates less the part of their variance that is common to a place."""
    own: NDArray[np.float64] = math.sqrt(1 - COMMON) * random.standard_normal(_DRAWN_AT_ONCE)
    return own


def _stream(draw: Callable[[np.random.Generator], NDArray[np.float64]], key: str, replication: int) -> Iterator[float]:
    import numpy as np

    random = np.random.default_rng([SEED, crc32(key.encode()), replication])
    while True:
        yield from draw(random).tolist()


def _count(op: OpPlan, inside: list[OpPlan], share: float) -> int:
    """How often ops run for one execution of the region op around them: uniform below and above the middle, each half
    of the time, as of all numbers between 0 and 1 is ``share``."""
    if not inside:
        return 0
    lo, mid, hi = repeats(op, inside).bounds
    found = lo + (mid - lo) * 2 * share if share < 0.5 else mid + (hi - mid) * (2 * share - 1)
    return int(found + 0.5)


def _waves(op: OpPlan, inside: list[OpPlan]) -> int:
    """How many items of a map run one after the other, as the plan has it."""
    ends: dict[str, float] = {}
    for each in inside:
        ends[each.id] = max((ends[name] for name in each.after if name in ends), default=0.0) + each.seconds.mid
    item_s = max(ends.values(), default=0.0)
    return max(int(op.seconds.mid / item_s + 1e-9), 1) if item_s > 0 else 1
