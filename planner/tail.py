"""How long the slow runs take: seconds that 95 % of the runs of a plan are expected to stay below.

Each op's interval is read as its central 80 % (:data:`LEVEL`): ``lo`` is the 10th percentile, ``mid`` the median and
``hi`` the 90th. Between them seconds are log-normal on either side of the median, with a width of its own for each
side; above ``hi`` they grow linearly with the deviate, for the tail of a log-normal through a guess that spans orders
of magnitude means nothing. Draws of all ops go along the graph as the estimate did
(:mod:`orchestrator.planner.rollup`), and the percentile is taken of the totals. How wrong an estimate is depends mostly
on where the op runs and only then on the op, so half of the variance of ops at one place is common to them
(:data:`COMMON`); arms of a branch are drawn with equal chances, and so are the lengths of loops and maps within their
bounds.

The draws of an op depend on its id and :data:`SEED` alone: two plans differ in ``p95_s`` only by what differs in them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from zlib import crc32

from orchestrator.planner.interval import Interval
from orchestrator.planner.plan import OpPlan, Plan
from orchestrator.planner.rollup import Rules, Walk, changed

if TYPE_CHECKING:
    from numpy.random import Generator

    from orchestrator.planner.rollup import Seconds

LEVEL: Final = 0.8
"""Share of the outcomes that an interval of the cost model is meant to cover."""
Z_LEVEL: Final = 1.2815515655446004
"""The standard normal's 90th percentile: half a level of 0.8 away from the median."""
COMMON: Final = 0.5
SEED: Final = 20_240
DRAWS: Final = 4000
AT_ONCE: Final = 8_000_000
"""Draws of all ops together that are held at once: 64 MB, and as much again for when ops end."""
PERCENTILE: Final = 95.0
NEGLIGIBLE: Final = 1e-12
"""A bound this small beside the next is zero."""


def p95_s(plan: Plan) -> float:
    """Seconds that 95 % of the runs stay below; the total itself when nothing in the plan is uncertain."""
    import numpy as np

    drawn = draws(plan)
    return float(np.percentile(drawn, PERCENTILE))


def draws(plan: Plan) -> Seconds:
    """:data:`DRAWS` draws of the plan's seconds from end to end, so many at a time that memory stays bounded."""
    import numpy as np

    parents = {op.parent for op in plan.ops}
    leaves = [op for op in plan.ops if op.id not in parents]
    middle = Walk(plan, {op.id: np.array([op.seconds.mid]) for op in leaves}, _in_the_middle())
    most = max(1, min(DRAWS, AT_ONCE // max(1, len(plan.ops))))
    streams = _Streams()
    totals: list[Seconds] = []
    for begin in range(0, DRAWS, most):
        streams.go_on(min(most, DRAWS - begin))
        drawn = {op.id: quantiles(op.seconds, streams.deviates(op)) for op in leaves}
        walk = Walk(plan, drawn, _drawn(streams), reference=middle)
        total = changed(np.array([plan.seconds.mid]), middle.total, walk.total)
        totals.append(np.broadcast_to(total, (streams.count,)))
    return np.concatenate(totals)


def quantiles(of: Interval, deviates: Seconds) -> Seconds:
    """Seconds at standard normal deviates: log-normal from the middle to either bound, linear above, never negative."""
    import numpy as np

    lo, mid, hi = of.bounds
    if mid <= NEGLIGIBLE * hi:
        return np.maximum(deviates, 0.0) * hi / Z_LEVEL
    up = math.log(hi / mid) / Z_LEVEL
    beyond = (hi - mid) / Z_LEVEL * np.maximum(deviates - Z_LEVEL, 0.0)
    above = mid * np.exp(up * np.clip(deviates, 0.0, Z_LEVEL)) + beyond
    if lo <= NEGLIGIBLE * mid:  # a log-normal does not reach zero
        below = mid * np.maximum(1 + deviates / Z_LEVEL, 0.0)
        return np.where(deviates > 0, above, below)
    down = math.log(mid / lo) / Z_LEVEL
    seconds_at: Seconds = above * np.exp(down * np.minimum(deviates, 0.0))
    return seconds_at


class _Streams:
    """Random numbers by key, ``count`` at a time; each key's go on where they ended."""

    def __init__(self) -> None:
        self.count = 0
        self._generators: dict[str, Generator] = {}
        self._common: dict[str, Seconds] = {}
        """What several ops, or several parts of one, have in common."""

    def go_on(self, count: int) -> None:
        """Forget the numbers so far."""
        self.count = count
        self._common.clear()

    def deviates(self, op: OpPlan) -> Seconds:
        """Of an op's seconds; to be asked once."""
        place = f"place {op.place}"
        if place not in self._common:
            self._common[place] = math.sqrt(COMMON) * self._of(place).standard_normal(self.count)
        return self._common[place] + math.sqrt(1 - COMMON) * self._of(f"op {op.id}").standard_normal(self.count)

    def uniform(self, key: str) -> Seconds:
        """Numbers between 0 and 1."""
        if key not in self._common:
            self._common[key] = self._of(key).random(self.count)
        return self._common[key]

    def _of(self, key: str) -> Generator:
        import numpy as np

        if key not in self._generators:
            self._generators[key] = np.random.default_rng([SEED, crc32(key.encode())])
        return self._generators[key]


def _in_the_middle() -> Rules:
    import numpy as np

    return Rules(
        lambda seconds: np.array([seconds.mid]),
        lambda op, arms: np.mean(np.stack(arms), axis=0),
        lambda arms: np.min(np.stack(arms), axis=0),
        lambda op, count: np.array([count.mid]),
    )


def _drawn(streams: _Streams) -> Rules:
    import numpy as np

    def either(op: OpPlan, arms: Sequence[Seconds]) -> Seconds:
        taken = (streams.uniform(f"arm {op.id}") * len(arms)).astype(int)
        options: Seconds = np.stack([np.broadcast_to(arm, taken.shape) for arm in arms])
        drawn: Seconds = options[taken, np.arange(len(taken))]
        return drawn

    def times(op: OpPlan, count: Interval) -> Seconds:
        # Uniform below and above the middle, each half the time: bounds of a loop are not outliers.
        often: Seconds = np.interp(streams.uniform(f"times {op.id}"), [0.0, 0.5, 1.0], count.bounds)
        return often

    def first(arms: Sequence[Seconds]) -> Seconds:
        fastest: Seconds = np.minimum.reduce(np.broadcast_arrays(*arms))
        return fastest

    return Rules(lambda seconds: np.array([seconds.mid]), either, first, times)
