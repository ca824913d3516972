"""A plan that can be changed op by op, with its sums and paths kept up to date.

While a run keeps its SLA, changing one op keeps it exactly when the longest path *through that op* does, so such a
change is judged in time linear in the op's own transfers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from orchestrator.planner.solver.bounds import Allowed, Windows
from orchestrator.planner.solver.evaluate import TOLERANCE, delay_s
from orchestrator.planner.solver.instance import Instance, Option
from orchestrator.planner.solver.problem import Objective

_UNREACHABLE: Final = 1e6
"""Stands for the delay between pools that have no link, in shortest runs."""
Change = tuple[int, int]
"""An op and the position of the choice it is to take."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is minimised, and within which limits."""

    objective: Objective
    allowed: Allowed
    windows: Windows
    rate: float | None
    sla_s: float | None
    budget_usd_per_hour: float | None

    @property
    def timed(self) -> bool:
        return self.sla_s is not None or self.objective == "latency"


class Neighbours:
    """The current plan; ``whole`` weighs whole replicas against the load they carry.

    Between two plans with equal numbers of replicas the load shows which is closer to needing one less.
    """

    def __init__(self, of: Instance, rules: Rules, picks: list[int], whole: float) -> None:
        self.of, self.rules, self.picks, self.whole = of, rules, picks, whole
        self.runs_per_h = 3600 * rules.rate if rules.rate is not None else 0.0
        self._prices = [of.usd_per_replica_hour(k) or 0.0 for k in range(len(of.configurations))]
        self._counts = [float(pool.count) for pool in of.problem.pools]
        names = [pool.name for pool in of.problem.pools]
        self._link_usd = [
            [(link.usd_per_byte or 0.0) if (link := of.problem.link.get((p, q))) else 0.0 for q in names] for p in names
        ]
        self._links_priced = any(any(row) for row in self._link_usd)
        least = rules.windows.least_s
        self.unreachable_s = _UNREACHABLE * (least if 0 < least < math.inf else 1.0)
        self._reset()

    def option(self, op: int) -> Option:
        return self.of.options[op][self.picks[op]]

    def _reset(self) -> None:
        engines = len(self.of.configurations)
        self._need = [[0.0, 0.0, 0.0] for _ in range(engines)]
        self._users = [0] * engines
        self._replicas = [0.0] * engines
        self._rented, self._load_usd, self.charged, self.moved_usd = 0.0, 0.0, 0.0, 0.0
        self._used = [0.0] * len(self._counts)
        self._loads = [0.0] * engines
        for op in range(len(self.picks)):
            self._count(self.option(op), 1)
        if self._links_priced:
            self.moved_usd = sum(self._edge_usd(at) for at in range(len(self.of.edges)))
        self.retime()

    # Sums.

    def change(self, op: int, pick: int) -> None:
        """Take another choice; paths stay as they were until :meth:`retime`."""
        edges = [*self.of.entering[op], *self.of.leaving[op]] if self._links_priced else []
        for at in edges:
            self.moved_usd -= self._edge_usd(at)
        self._count(self.option(op), -1)
        self.picks[op] = pick
        self._count(self.option(op), 1)
        for at in edges:
            self.moved_usd += self._edge_usd(at)

    def _count(self, option: Option, sign: int) -> None:
        k = option.configuration
        need = self._need[k]
        for which in range(3):
            need[which] += sign * option.need[which]
        self._users[k] += sign
        self.charged += sign * self._charge(option)
        rate = self.rules.rate
        load = max(need) * rate if rate is not None and self._users[k] else 0.0
        replicas = float(max(1, math.ceil(load * (1 - TOLERANCE)))) if self._users[k] else 0.0
        self._rented += self._prices[k] * (replicas - self._replicas[k])
        self._load_usd += self._prices[k] * (load - self._loads[k])
        self._used[self.of.pool_of[k]] += self.of.configurations[k].devices * (replicas - self._replicas[k])
        self._replicas[k], self._loads[k] = replicas, load

    def _charge(self, option: Option) -> float:
        """What the op adds by itself: joules, or dollars that are not rent."""
        if self.rules.objective == "energy":
            return option.joules or 0.0
        if self.rules.rate is None:
            return option.usd_alone or 0.0
        return (option.usd or 0.0) * self.runs_per_h

    def _edge_usd(self, at: int) -> float:
        edge = self.of.edges[at]
        src, dst = self.option(edge.src), self.option(edge.dst)
        if self.of.problem.stays(edge.transfer, src.choice, dst.choice):
            return 0.0
        return self._link_usd[src.pool][dst.pool] * edge.transfer.moved_bytes * (self.runs_per_h or 1.0)

    # Paths.

    def retime(self) -> None:
        """Starts, rests to the end of the run, and its seconds."""
        count = len(self.picks)
        self._ready, self._rest = [0.0] * count, [0.0] * count
        if not self.rules.timed and not any(map(math.isinf, self._delays())):
            self.seconds = 0.0
            return
        for op in range(count):
            self._ready[op] = self._ready_s(op, self.option(op))
        for op in reversed(range(count)):
            self._rest[op] = self._rest_s(op, self.option(op))
        self.seconds = max(self._ready[op] + self.option(op).seconds + self._rest[op] for op in range(count))

    def _delays(self) -> list[float]:
        return [delay_s(self.of, edge, self.option(edge.src), self.option(edge.dst)) for edge in self.of.edges]

    def _ready_s(self, op: int, option: Option) -> float:
        ready = 0.0
        for at in self.of.entering[op]:
            edge = self.of.edges[at]
            src = self.option(edge.src)
            delay = min(delay_s(self.of, edge, src, option), self.unreachable_s)
            ready = max(ready, self._ready[edge.src] + src.seconds + delay)
        return ready

    def _rest_s(self, op: int, option: Option) -> float:
        rest = 0.0
        for at in self.of.leaving[op]:
            edge = self.of.edges[at]
            dst = self.option(edge.dst)
            delay = min(delay_s(self.of, edge, option, dst), self.unreachable_s)
            rest = max(rest, delay + dst.seconds + self._rest[edge.dst])
        return rest

    def through(self, op: int, option: Option) -> float:
        """The longest path through ``op`` if it took ``option``."""
        return self._ready_s(op, option) + option.seconds + self._rest_s(op, option)

    # What is minimised.

    def value(self, whole: float) -> float:
        """The objective, where ``whole`` of the rent is that of whole replicas and the rest that of their load."""
        if self.rules.objective == "latency":
            return self.seconds
        if self.rules.objective == "energy" or self.rules.rate is None:
            return self.charged + (self.moved_usd if self.rules.objective == "cost" else 0.0)
        return self.charged + self.moved_usd + whole * self._rented + (1 - whole) * self._load_usd

    def excess(self) -> float:
        """By how much limits are exceeded, each relative to itself; 0 where all are kept."""
        found = 0.0
        for used, count in zip(self._used, self._counts, strict=True):
            if used > count:
                found += (used - count) / max(count, 1.0)
        most = self.unreachable_s / 2 if self.rules.sla_s is None else self.rules.sla_s * (1 + 1e-9)
        if self.seconds > most:
            found += self.seconds / most - 1
        budget = self.rules.budget_usd_per_hour
        if budget is not None:
            found += max(0.0, self._usd_per_hour() / max(budget, 1e-12) - 1 - 1e-9)
        return found

    def _usd_per_hour(self) -> float:
        if self.rules.rate is None:
            return self._rented
        moved = self.moved_usd
        return self._rented + moved + self.runs_per_h * sum(self.option(op).usd or 0.0 for op in range(len(self.picks)))
