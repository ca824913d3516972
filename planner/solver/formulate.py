"""The one formulation: shares, replicas, transfers and the critical path as a mixed-integer program.

Variables, with o an op, c one of its choices, k a configuration, e a transfer, p and q pools::

    w[o,c] in [0,1]     share of op o's executions that choice c takes          sum_c w = 1
    r[k]   integer      replicas of configuration k          sum_k devices_k r_k <= count_p
    f[e,p,q] >= 0       share of transfer e from p to q      sum_q f = u[src,p],  sum_p f = u[dst,q]
    a[o,t] in {0,1}     op o uses a choice of t seconds or more                 sum_(seconds >= t) w <= a
    h[o,p] in {0,1}     op o uses pool p                     u[o,p] <= h
    s[o], T  >= 0       start of o, end of the run           s_dst >= s_src + l_src + d_e,  T <= SLA

with u[o,p] the shares of o in p. Without a rate a run is alone and cannot be split: w is whole, and neither a nor h
exist. At a rate a run may meet the slowest choice of every op, so l[o] is that of the slowest one used, t_0 + sum of
the steps between levels x a, and d[e] >= d_pq (h_src,p + h_dst,q - 1). Both are weak when relaxed, and made tight by
what they cannot be less than, the means: the levels give l >= sum t w by themselves, and d >= sum d_pq f is added.
Between fixed ends the only flow is the pair itself, so for whole w a delay or a price that depends on both ends is
exact, and relaxed it is the cheapest transport between the two distributions. Bytes of split ops go that way too: a run
goes on where it can. Where a transfer's delay, price and room are the same for all pools there is no flow. Two
inequalities per op tighten the path: no op starts before it can in the pool it is in, nor leaves less time than the
rest takes from there (``bounds.py``).

Replicas carry the load L[o,c] = need x rate w[o,c] of compute, batch slots and KV, each sum <= r, and r_k >= w[o,c]:
what is used has a replica. For the objective throughput the rate is a variable, and w[o,c] are runs per second that
sum to it.

The size is linear in choices and in transfers x pools^2. Rows belong to named limits (``limits.py``), so that a
conflict can be stated in the user's terms by leaving limits out.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType

from orchestrator.planner.solver.bounds import Allowed, Windows, fitting, windows
from orchestrator.planner.solver.instance import Edge, Instance
from orchestrator.planner.solver.limits import BUDGET, RATE, SLA, capacity, link, memory
from orchestrator.planner.solver.model import Model
from orchestrator.planner.solver.problem import Goal
from orchestrator.planner.solver.program import INF, Program, Terms

_SLACK = 1e-9
"""Relative, so that a bound that was computed by adding in another order does not cut its own point off."""


def formulate(
    of: Instance,
    objective: Goal | None,
    *,
    allowed: Allowed | None = None,
    without: frozenset[str] = frozenset(),
    held: Mapping[Goal, float] = MappingProxyType({}),
) -> Model:
    """The program of a problem; ``objective`` ``None`` only asks whether there is a plan.

    ``without`` names limits to leave out, ``allowed`` the choices that may be used, and ``held`` what other objectives
    may come to: cost, energy and devices.
    """
    return _Formulation(of, objective, allowed, without, held).build()


class _Formulation:
    def __init__(
        self,
        of: Instance,
        objective: Goal | None,
        allowed: Allowed | None,
        without: frozenset[str],
        held: Mapping[Goal, float],
    ) -> None:
        self.of, self.objective, self.without, self.held = of, objective, without, held
        self.problem, self.load = of.problem, of.problem.workload
        self.rate = None if RATE in without else self.load.sizing_per_s
        self.sla_s = None if SLA in without else self.load.sla_s
        self.timed = self.sla_s is not None or objective == "latency"
        self.varies = objective == "throughput"
        self.pools = range(len(self.problem.pools))
        self.names = [pool.name for pool in self.problem.pools]
        self.ignored = frozenset(
            (p, q)
            for p, src in enumerate(self.names)
            for q, dst in enumerate(self.names)
            if link(src, dst) in without and (src, dst) not in self.problem.link
        )
        self.allowed = fitting(of, without)
        if allowed is not None:
            self.allowed = [
                [a and b for a, b in zip(*rows, strict=True)] for rows in zip(self.allowed, allowed, strict=True)
            ]
        self.windows: Windows | None = None
        if self.sla_s is not None:
            self._prune()
        self.program = Program()
        self.model = Model(self.program, of, splits=self.varies or self.rate is not None)

    def build(self) -> Model:
        if self.varies:
            self.model.rate = self.program.column(self.rate or 0.0, self._most_rate())
        self._shares()
        self._replicas()
        self._pairs()
        self._transfers()
        if self.timed:
            self._critical_path()
        self._needs()
        self._caps()
        self._minimise()
        return self.model

    def _prune(self) -> None:
        """Leave out what cannot be part of a run within the SLA."""
        assert self.sla_s is not None
        most = self.sla_s * (1 + _SLACK)
        found = windows(self.of, self.allowed, self.ignored)
        for o, c, option in self.of.choices():
            self.allowed[o][c] &= found.through(o, option) <= most
        self.windows = found

    # Variables and the rows that define them.

    def _shares(self) -> None:
        program, model = self.program, self.model
        for o, allowed in enumerate(self.allowed):
            columns = [
                program.column(0.0, self._most_of(o, c) if ok else 0.0, integer=not model.splits)
                for c, ok in enumerate(allowed)
            ]
            terms = [(column, 1.0) for column in columns]
            if model.rate is None:
                program.row(terms, 1.0, 1.0)
            else:
                program.row([*terms, (model.rate, -1.0)], 0.0, 0.0)
            model.w.append(columns)

    def _most_of(self, o: int, c: int) -> float:
        return min(self.model.most, self._most_rate_of(o, c)) if self.varies else 1.0

    def _replicas(self) -> None:
        by_pool: dict[int, Terms] = defaultdict(list)
        for k, engine in enumerate(self.of.configurations):
            dropped = capacity(engine.pool) in self.without
            most = INF if dropped else float(self.of.most_replicas(k))
            self.model.r.append(self.program.column(0.0, most, integer=True))
            if not dropped:
                by_pool[self.of.pool_of[k]].append((self.model.r[k], float(engine.devices)))
        for pool, terms in by_pool.items():
            self.program.row(terms, upper=float(self.problem.pools[pool].count))

    def _pairs(self) -> None:
        """Both halves of a call take as much of the same aggregated engine."""
        for edge in self.of.edges:
            if not edge.transfer.pair:
                continue
            halves = self._by_engine(edge.src), self._by_engine(edge.dst)
            for k in {*halves[0], *halves[1]}:
                mode = self.of.configurations[k].mode
                here, there = halves[0].get(k, []), halves[1].get(k, [])
                if mode == "aggregated":
                    self.program.row([*here, *((column, -1.0) for column, _ in there)], 0.0, 0.0)
                else:
                    # A prefill engine cannot decode, nor the other way round.
                    self.program.row(there if mode == "prefill" else here, upper=0.0)

    def _by_engine(self, op: int) -> dict[int, Terms]:
        found: dict[int, Terms] = defaultdict(list)
        for column, option in zip(self.model.w[op], self.of.options[op], strict=True):
            found[option.configuration].append((column, 1.0))
        return found

    def _most_rate(self) -> float:
        """No op can run more often than its choices could together, each with a pool of its own."""
        return min(
            sum(self._most_rate_of(o, c) for c in range(len(self.of.options[o])) if self.allowed[o][c])
            for o in range(len(self.of.ops))
        )

    def _most_rate_of(self, o: int, c: int) -> float:
        option = self.of.options[o][c]
        need = max(option.need)
        return self.of.most_replicas(option.configuration) / need if need else INF

    def _transfers(self) -> None:
        for at, edge in enumerate(self.of.edges):
            if self._needs_flow(edge):
                self.model.flows[at] = self._flow(at)
            if self.model.splits:
                self._exclude(at, edge)
        self._link_capacity()

    def _needs_flow(self, edge: Edge) -> bool:
        delayed = self.timed and not edge.free and not self.varies
        return delayed or self._loads_links(edge) or (not self.model.splits and any(self._closed(edge)))

    def _closed(self, edge: Edge) -> list[tuple[int, int]]:
        return [
            (p, q)
            for p in self.pools
            for q in self.pools
            if math.isinf(edge.delay_s[p][q]) and (p, q) not in self.ignored
        ]

    def _loads_links(self, edge: Edge) -> bool:
        """Whether it matters, per run, which link the bytes take."""
        return edge.transfer.moved_bytes > 0 and any(
            each.capacity_bytes_per_s is not None or each.usd_per_byte != 0 for each in self.problem.links
        )

    def _flow(self, at: int) -> dict[tuple[int, int], int]:
        """Columns of the way from pool to pool, tied to the choices of both ends."""
        flow: dict[tuple[int, int], int] = {}
        edge = self.of.edges[at]
        ends = self._by_pool(edge.src, at), self._by_pool(edge.dst, at)
        for p in ends[0]:
            for q in ends[1]:
                if self._passable(edge, p, q):
                    flow[p, q] = self.program.column(0.0, self.model.most)
        for p, terms in ends[0].items():
            out = [(column, -1.0) for (a, _), column in flow.items() if a == p]
            self.program.row([*terms, *out], 0.0, 0.0)
        for q, terms in ends[1].items():
            into = [(column, -1.0) for (_, b), column in flow.items() if b == q]
            self.program.row([*terms, *into], 0.0, 0.0)
        return flow

    def _by_pool(self, op: int, at: int) -> dict[int, Terms]:
        """The op's allowed choices in each pool, but for the aggregated ones of a pair, which move nothing."""
        found: dict[int, Terms] = defaultdict(list)
        for c, option in enumerate(self.of.options[op]):
            if self.allowed[op][c] and not self.model.stays(at, option):
                found[option.pool].append((self.model.w[op][c], 1.0))
        return found

    def _exclude(self, at: int, edge: Edge) -> None:
        """No two pools are used between which a run could not go on in time, and the slowest way used counts."""
        delayed = self.timed and not edge.free
        if not delayed and not any(self._closed(edge)):
            return
        if delayed:
            self.model.delays[at] = self.program.column()
        for p in self._by_pool(edge.src, at):
            for q in self._by_pool(edge.dst, at):
                if not self._passable(edge, p, q):
                    self.program.row(
                        [(self._here(edge.src, p, at), 1.0), (self._here(edge.dst, q, at), 1.0)], upper=1.0
                    )

    def _here(self, op: int, pool: int, at: int) -> int:
        """The column that says whether the op uses the pool, for what an edge moves."""
        key = (op, pool, self.of.edges[at].transfer.pair)
        if key not in self.model.here:
            column = self.program.column(0.0, 1.0, integer=True)
            self.program.row([*self._by_pool(op, at)[pool], (column, -self.model.most)], upper=0.0)
            self.model.here[key] = column
        return self.model.here[key]

    def _passable(self, edge: Edge, p: int, q: int) -> bool:
        if (p, q) in self.ignored:
            return True
        delay = edge.delay_s[p][q]
        if math.isinf(delay) or self.windows is None or self.sla_s is None:
            return not math.isinf(delay)
        quickest = [self._quickest(edge.src, p), self._quickest(edge.dst, q)]
        through = self.windows.ready_s[edge.src][p] + sum(quickest) + delay + self.windows.rest_s[edge.dst][q]
        return through <= self.sla_s * (1 + _SLACK)

    def _quickest(self, op: int, pool: int) -> float:
        options = zip(self.of.options[op], self.allowed[op], strict=True)
        return min((option.seconds for option, ok in options if ok and option.pool == pool), default=INF)

    # Limits.

    def _needs(self) -> None:
        """Replicas for the load, of compute, batch slots and KV, and one of what is used at all."""
        rate = 1.0 if self.varies else self.rate or 0.0
        loads: list[tuple[Terms, Terms, Terms]] = [([], [], []) for _ in self.of.configurations]
        for o, c, option in self.of.choices():
            if not self.allowed[o][c]:
                continue
            k, column = option.configuration, self.model.w[o][c]
            needs = [need * rate for need in self._counted(option.need, option.pool)]
            for which, need in enumerate(needs):
                loads[k][which].append((column, need))
            # Where its load is a replica or more, that says it already.
            if (most := self.program.upper[column]) and max(needs) * most < 1:
                self.program.row([(self.model.r[k], 1.0), (column, -1.0 / most)], lower=0.0)
        for k, three in enumerate(loads):
            for terms in three:
                if any(value for _, value in terms):
                    self.program.row([(self.model.r[k], 1.0), *((col, -value) for col, value in terms)], lower=0.0)

    def _counted(self, need: tuple[float, float, float], pool: int) -> tuple[float, float, float]:
        compute, slots, kv = need
        return compute, slots, 0.0 if memory(self.names[pool]) in self.without else kv

    def _link_capacity(self) -> None:
        rate = 1.0 if self.varies else self.rate
        if rate is None:
            return
        for each in self.problem.links:
            if each.capacity_bytes_per_s is None or link(each.src, each.dst) in self.without:
                continue
            pair = self.names.index(each.src), self.names.index(each.dst)
            room = each.capacity_bytes_per_s * self.load.utilisation
            terms = [
                (flow[pair], self.of.edges[at].transfer.moved_bytes * rate / room)
                for at, flow in self.model.flows.items()
                if pair in flow
            ]
            if terms:
                self.program.row(terms, upper=1.0)

    def _critical_path(self) -> None:
        program, model = self.program, self.model
        found = self.windows or windows(self.of, self.allowed, self.ignored)
        finite = found.least_s < INF
        model.unit_s = self.sla_s or (found.least_s if finite else 1.0) or 1.0
        model.starts = [program.column() for _ in self.of.ops]
        model.end = program.column(0.0, INF if self.sla_s is None else self.sla_s / model.unit_s)
        lasting = [self._lasting(o) for o in range(len(self.of.ops))]
        for at, edge in enumerate(self.of.edges):
            terms, least = lasting[edge.src]
            step = [(model.starts[edge.dst], 1.0), (model.starts[edge.src], -1.0), *terms]
            program.row([*step, *self._moving(at, edge)], lower=least)
        for o in range(len(self.of.ops)):
            if not self.of.leaving[o]:
                terms, least = lasting[o]
                program.row([(model.end, 1.0), (model.starts[o], -1.0), *terms], lower=least)
        if finite and not self.varies:
            self._windowed(found)

    def _moving(self, at: int, edge: Edge) -> Terms:
        """What the transfer takes, negated."""
        model = self.model

        def delay(pair: tuple[int, int]) -> float:
            return 0.0 if pair in self.ignored else edge.delay_s[pair[0]][pair[1]] / model.unit_s

        mean = [(column, -delay(pair)) for pair, column in model.flows.get(at, {}).items()]
        if at not in model.delays:
            return mean
        column = model.delays[at]
        if not self.varies:
            self.program.row([(column, 1.0), *mean], lower=0.0)
        for p in self._by_pool(edge.src, at):
            for q in self._by_pool(edge.dst, at):
                if self._passable(edge, p, q) and (slow := delay((p, q))) > 0:
                    ends = [(self._here(edge.src, p, at), -slow), (self._here(edge.dst, q, at), -slow)]
                    self.program.row([(column, 1.0), *ends], lower=-slow)
        return [(column, -1.0)]

    def _windowed(self, found: Windows) -> None:
        """No op starts before it can in the pool it is in, nor leaves less than the rest from there."""
        model, unit = self.model, self.model.unit_s * (1 + _SLACK)
        assert model.end is not None
        for o in range(len(self.of.ops)):
            options = [
                (column, option)
                for column, option, ok in zip(model.w[o], self.of.options[o], self.allowed[o], strict=True)
                if ok and found.through(o, option) < INF
            ]
            ready = [(column, -found.ready_s[o][option.pool] / unit) for column, option in options]
            rest = [(column, -(option.seconds + found.rest_s[o][option.pool]) / unit) for column, option in options]
            self.program.row([(model.starts[o], 1.0), *ready], lower=0.0)
            self.program.row([(model.end, 1.0), (model.starts[o], -1.0), *rest], lower=0.0)

    def _lasting(self, op: int) -> tuple[Terms, float]:
        """The seconds of an op, negated, and what of them is constant."""
        unit = self.model.unit_s
        options = [
            (option.seconds, column)
            for option, column, ok in zip(self.of.options[op], self.model.w[op], self.allowed[op], strict=True)
            if ok
        ]
        if not self.model.splits:
            return [(column, -seconds / unit) for seconds, column in options], 0.0
        levels = sorted({seconds for seconds, _ in options})
        found: list[tuple[float, int]] = []
        terms: Terms = []
        for below, level in itertools.pairwise(levels):
            column = self.program.column(0.0, 1.0, integer=True)
            slower = [(share, 1.0) for seconds, share in options if seconds >= level]
            self.program.row([*slower, (column, -self.model.most)], upper=0.0)
            found.append((level, column))
            terms.append((column, -(level - below) / unit))
        self.model.levels.append(found)
        return terms, levels[0] / unit if levels else 0.0

    def _caps(self) -> None:
        """The budget an hour, and what objectives are held to."""
        caps = [(most, self._terms(goal)) for goal, most in self.held.items()]
        if BUDGET not in self.without and self.load.budget_usd_per_hour is not None:
            caps.append((self.load.budget_usd_per_hour, self._usd_per_hour()))
        for most, terms in caps:
            unit = most or 1.0
            self.program.row([(column, value / unit) for column, value in terms], upper=most / unit)

    def _usd_per_hour(self) -> Terms:
        """Replicas at their price, and what is charged per execution and per byte at the rate."""
        rate = 1.0 if self.varies else self.rate
        terms = [(column, self.of.usd_per_replica_hour(k) or 0.0) for k, column in enumerate(self.model.r)]
        if rate is None:
            return terms
        terms += [(self.model.w[o][c], 3600 * rate * (option.usd or 0.0)) for o, c, option in self.of.choices()]
        return terms + [(column, 3600 * rate * usd) for column, usd in self._bytes_usd()]

    def _bytes_usd(self) -> Terms:
        prices = {
            (self.names.index(each.src), self.names.index(each.dst)): each.usd_per_byte or 0.0
            for each in self.problem.links
        }
        return [
            (column, self.of.edges[at].transfer.moved_bytes * prices.get(pair, 0.0))
            for at, flow in self.model.flows.items()
            for pair, column in flow.items()
        ]

    # Objective.

    def _minimise(self) -> None:
        if self.objective is None:
            return
        terms = self._terms(self.objective)
        self.model.scale = max((abs(value) for _, value in terms), default=1.0) or 1.0
        for column, value in terms:
            self.program.cost[column] += value / self.model.scale

    def _terms(self, goal: Goal) -> Terms:
        """What a goal counts."""
        model = self.model
        match goal:
            case "latency":
                assert model.end is not None
                return [(model.end, model.unit_s)]
            case "throughput":
                assert model.rate is not None
                return [(model.rate, -1.0)]
            case "energy":
                return [(model.w[o][c], option.joules or 0.0) for o, c, option in self.of.choices()]
            case "devices":
                return [(model.r[k], float(each.devices)) for k, each in enumerate(self.of.configurations)]
            case "cost":
                return self._usd()

    def _usd(self) -> Terms:
        """What the objective cost counts: an hour at the rate, or one run alone."""
        if self.rate is not None:
            return self._usd_per_hour()
        alone = [(self.model.w[o][c], option.usd_alone or 0.0) for o, c, option in self.of.choices()]
        return alone + self._bytes_usd()
