"""What no plan can beat: the earliest end of each op in each pool, and the shortest rest after it.

Both are longest paths over the shortest ways through each edge, so a choice whose earliest start, seconds and rest
exceed the SLA can be left out before the search, and so can a pair of pools of an edge. The pairing of prefills and
decodes is ignored, as is capacity: the figures stay lower bounds. One pass costs edges x pools^2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from orchestrator.planner.solver.instance import Instance, Option
from orchestrator.planner.solver.limits import capacity, memory

Allowed = list[list[bool]]
"""It has what is allowed by op and choice."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Lower bounds by op and pool, in seconds; infinite where the op has no choice in the pool."""

    ready_s: tuple[tuple[float, ...], ...]
    """When the op can start there."""
    rest_s: tuple[tuple[float, ...], ...]
    """The time from its end there to the end of the run."""
    least_s: float
    """It is a lower bound of the whole run."""

    def through(self, op: int, option: Option) -> float:
        """The shortest run in which ``op`` takes ``option``."""
        return self.ready_s[op][option.pool] + option.seconds + self.rest_s[op][option.pool]


def fitting(of: Instance, without: frozenset[str] = frozenset()) -> Allowed:
    """Choices that fit the memory and exist in a pool that has enough devices."""
    names = [pool.name for pool in of.problem.pools]
    return [
        [
            (option.fits or memory(names[option.pool]) in without)
            and (of.most_replicas(option.configuration) >= 1 or capacity(names[option.pool]) in without)
            for option in options
        ]
        for options in of.options
    ]


def windows(of: Instance, allowed: Allowed, ignored_links: frozenset[tuple[int, int]] = frozenset()) -> Windows:
    """Bounds over the allowed choices; pairs of pools in ``ignored_links`` exchange in no time."""
    pools = range(len(of.problem.pools))
    quickest = [_quickest(of.options[o], allowed[o], len(pools)) for o in range(len(of.ops))]

    def delay(edge: int, p: int, q: int) -> float:
        if (p, q) in ignored_links:
            return 0.0
        # A pair may stay in one aggregated engine, where nothing moves.
        if p == q and of.edges[edge].transfer.pair:
            return 0.0
        return of.edges[edge].delay_s[p][q]

    ready = [[0.0] * len(pools) for _ in of.ops]
    for o in range(len(of.ops)):
        for edge in of.entering[o]:
            src = of.edges[edge].src
            ends = [ready[src][p] + quickest[src][p] for p in pools]
            for q in pools:
                ready[o][q] = max(ready[o][q], min(ends[p] + delay(edge, p, q) for p in pools))
    rest = [[0.0] * len(pools) for _ in of.ops]
    for o in reversed(range(len(of.ops))):
        for edge in of.leaving[o]:
            dst = of.edges[edge].dst
            tails = [quickest[dst][q] + rest[dst][q] for q in pools]
            for p in pools:
                rest[o][p] = max(rest[o][p], min(delay(edge, p, q) + tails[q] for q in pools))
    least = max(min(ready[o][p] + quickest[o][p] + rest[o][p] for p in pools) for o in range(len(of.ops)))
    return Windows(tuple(map(tuple, ready)), tuple(map(tuple, rest)), least)


def _quickest(options: tuple[Option, ...], allowed: list[bool], pools: int) -> list[float]:
    seconds = [math.inf] * pools
    for option, ok in zip(options, allowed, strict=True):
        if ok:
            seconds[option.pool] = min(seconds[option.pool], option.seconds)
    return seconds
