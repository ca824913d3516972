"""The one formulation: assignment, replicas, transfers and the critical path as a mixed-integer program.

Variables, with o an op, c one of its choices, k a configuration, e a transfer, p and q pools::

    x[o,c] in {0,1}     op o takes choice c                  sum_c x = 1
    r[k]   integer      replicas of configuration k          sum_k devices_k r_k <= count_p
    f[e,p,q] >= 0       transfer e goes from p to q          sum_q f = u[src,p],  sum_p f = u[dst,q]
    s[o], T  >= 0       start of o, end of the run           s_dst >= s_src + sum t x + sum d_pq f,  T <= SLA

with u[o,p] the choices of o in p. Between fixed ends the only flow is the pair itself, so a delay or a price that
depends on both ends is exact, and no big-M is needed: relaxed, it is the cheapest transport between the two
distributions, while pairwise implications relax to nothing. Where a transfer's delay, price and room are the same for
all pools there is no flow. Two inequalities per op tighten the path: no op starts before it can in the pool it is in,
nor leaves less time than the rest takes from there (``bounds.py``).

Replicas carry the load L[o,c] = need x rate x[o,c] of compute, batch slots and KV, each sum <= r. Two inequalities that
follow for whole replicas tighten this: r_k >= ceil(need rate) x[o,c], and r_k >= x[o,c] where nothing arrives.
For the objective throughput the rate is a variable; w[o,c] = rate x[o,c] takes its place, exact because sum_c w = rate
and w <= most x, and the flow is that of w as well.

The size is linear in choices and in transfers x pools^2. Rows belong to named limits (``limits.py``), so that a
conflict can be stated in the user's terms by leaving limits out.
"""

from __future__ import annotations

import math
from collections import defaultdict

from orchestrator.planner.solver.bounds import Allowed, Windows, fitting, windows
from orchestrator.planner.solver.instance import Edge, Instance
from orchestrator.planner.solver.limits import BUDGET, RATE, SLA, capacity, link, memory
from orchestrator.planner.solver.model import Model
from orchestrator.planner.solver.problem import Objective
from orchestrator.planner.solver.program import INF, Program, Terms

_SLACK = 1e-9
"""Relative, so that a bound that was computed by adding in another order does not cut its own point off."""


def formulate(
    of: Instance,
    objective: Objective | None,
    *,
    allowed: Allowed | None = None,
    without: frozenset[str] = frozenset(),
    most_usd: float | None = None,
) -> Model:
    """The program of a problem; ``objective`` ``None`` only asks whether there is a plan.

    ``without`` names limits to leave out, ``allowed`` the choices that may be used, and ``most_usd`` caps what the
    objective cost counts.
    """
    return _Formulation(of, objective, allowed, without, most_usd).build()


class _Formulation:
    def __init__(
        self,
        of: Instance,
        objective: Objective | None,
        allowed: Allowed | None,
        without: frozenset[str],
        most_usd: float | None,
    ) -> None:
        self.of, self.objective, self.without, self.most_usd = of, objective, without, most_usd
        self.problem, self.load = of.problem, of.problem.workload
        self.rate = None if RATE in without else self.load.sizing_per_s
        self.sla_s = None if SLA in without else self.load.sla_s
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
        self.model = Model(self.program, of, [], [])

    def build(self) -> Model:
        self._assignment()
        self._replicas()
        self._pairs()
        if self.objective == "throughput":
            self._variable_rate()
        self._transfers()
        if self.sla_s is not None or self.objective == "latency":
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

    def _assignment(self) -> None:
        for allowed in self.allowed:
            columns = [self.program.column(0.0, float(ok), integer=True) for ok in allowed]
            self.program.row([(column, 1.0) for column in columns], 1.0, 1.0)
            self.model.x.append(columns)

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
        """Both halves of a call take the same aggregated engine or neither does."""
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
        for column, option in zip(self.model.x[op], self.of.options[op], strict=True):
            found[option.configuration].append((column, 1.0))
        return found

    def _variable_rate(self) -> None:
        """w = rate x, by op and choice, within what the pool could carry of it."""
        program, most_of_all = self.program, self._most_rate()
        self.model.rate = program.column(self.rate or 0.0, most_of_all)
        for o, options in enumerate(self.of.options):
            columns = []
            for c in range(len(options)):
                most = min(most_of_all, self._most_rate_of(o, c))
                column = program.column(0.0, most if self.allowed[o][c] else 0.0)
                program.row([(column, 1.0), (self.model.x[o][c], -most)], upper=0.0)
                columns.append(column)
            program.row([*((column, 1.0) for column in columns), (self.model.rate, -1.0)], 0.0, 0.0)
            self.model.w.append(columns)

    def _most_rate(self) -> float:
        """No op can run more often than its best choice could with a pool of its own."""
        return min(
            max((self._most_rate_of(o, c) for c in range(len(self.of.options[o])) if self.allowed[o][c]), default=0.0)
            for o in range(len(self.of.ops))
        )

    def _most_rate_of(self, o: int, c: int) -> float:
        option = self.of.options[o][c]
        need = max(option.need)
        return self.of.most_replicas(option.configuration) / need if need else INF

    def _transfers(self) -> None:
        for at, edge in enumerate(self.of.edges):
            if self._needs_flow(edge):
                self.model.flows[at] = self._flow(at, self.model.x, 1.0)
            if self.objective == "throughput" and self._loads_links(edge):
                assert self.model.rate is not None
                most = self.program.upper[self.model.rate]
                self.model.rate_flows[at] = self._flow(at, self.model.w, most)
        self._link_capacity()

    def _needs_flow(self, edge: Edge) -> bool:
        timed = self.sla_s is not None or self.objective == "latency"
        rows = edge.delay_s
        closed = any(math.isinf(rows[p][q]) and (p, q) not in self.ignored for p in self.pools for q in self.pools)
        return closed or (timed and not edge.free) or self._loads_links(edge)

    def _loads_links(self, edge: Edge) -> bool:
        """Whether it matters, per run, which link the bytes take."""
        if edge.transfer.moved_bytes == 0:
            return False
        priced = self.objective == "cost" or self.load.budget_usd_per_hour is not None or self.most_usd is not None
        return any(
            each.capacity_bytes_per_s is not None or (priced and each.usd_per_byte != 0) for each in self.problem.links
        )

    def _flow(self, at: int, of: list[list[int]], most: float) -> dict[tuple[int, int], int]:
        """Columns of the way from pool to pool, tied to the choices of both ends."""
        flow: dict[tuple[int, int], int] = {}
        edge = self.of.edges[at]
        ends = self._by_pool(edge.src, of, at), self._by_pool(edge.dst, of, at)
        for p in ends[0]:
            for q in ends[1]:
                if self._passable(edge, p, q):
                    flow[p, q] = self.program.column(0.0, most)
        for p, terms in ends[0].items():
            out = [(column, -1.0) for (a, _), column in flow.items() if a == p]
            self.program.row([*terms, *out], 0.0, 0.0)
        for q, terms in ends[1].items():
            into = [(column, -1.0) for (_, b), column in flow.items() if b == q]
            self.program.row([*terms, *into], 0.0, 0.0)
        return flow

    def _by_pool(self, op: int, of: list[list[int]], at: int) -> dict[int, Terms]:
        """The op's allowed choices in each pool, but for the aggregated ones of a pair, which move nothing."""
        found: dict[int, Terms] = defaultdict(list)
        for c, option in enumerate(self.of.options[op]):
            if self.allowed[op][c] and not self.model.stays(at, option):
                found[option.pool].append((of[op][c], 1.0))
        return found

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
        """Replicas for the load, of compute, batch slots and KV."""
        rate = self.rate
        loads: list[tuple[Terms, Terms, Terms]] = [([], [], []) for _ in self.of.configurations]
        for o, c, option in self.of.choices():
            if not self.allowed[o][c]:
                continue
            k, column = option.configuration, self.model.x[o][c]
            # One replica of a configuration that nothing loads is enough, and there must be one.
            floor = 1
            for which, need in enumerate(self._counted(option.need, option.pool)):
                if self.objective == "throughput":
                    loads[k][which].append((self.model.w[o][c], need))
                elif rate is not None:
                    loads[k][which].append((column, need * rate))
                if rate is not None:
                    floor = max(floor, math.ceil(need * rate - 1e-6))
            if floor > self.program.upper[self.model.r[k]]:
                self.program.upper[column] = 0.0
            else:
                self.program.row([(self.model.r[k], 1.0), (column, -float(floor))], lower=0.0)
        for k, three in enumerate(loads):
            for terms in three:
                if any(value for _, value in terms):
                    self.program.row([(self.model.r[k], 1.0), *((col, -value) for col, value in terms)], lower=0.0)

    def _counted(self, need: tuple[float, float, float], pool: int) -> tuple[float, float, float]:
        compute, slots, kv = need
        return compute, slots, 0.0 if memory(self.names[pool]) in self.without else kv

    def _link_capacity(self) -> None:
        for each in self.problem.links:
            if each.capacity_bytes_per_s is None or link(each.src, each.dst) in self.without:
                continue
            pair = self.names.index(each.src), self.names.index(each.dst)
            room = each.capacity_bytes_per_s * self.load.utilisation
            terms = [(column, moved / room) for column, moved in self._moved(pair)]
            if terms:
                self.program.row(terms, upper=1.0)

    def _moved(self, pair: tuple[int, int]) -> Terms:
        """Bytes per second on a link."""
        if self.objective == "throughput":
            return [
                (flow[pair], self.of.edges[at].transfer.moved_bytes)
                for at, flow in self.model.rate_flows.items()
                if pair in flow
            ]
        if self.rate is None:
            return []
        return [
            (flow[pair], self.of.edges[at].transfer.moved_bytes * self.rate)
            for at, flow in self.model.flows.items()
            if pair in flow
        ]

    def _critical_path(self) -> None:
        program, model = self.program, self.model
        found = self.windows or windows(self.of, self.allowed, self.ignored)
        finite = found.least_s < INF
        model.unit_s = self.sla_s or (found.least_s if finite else 1.0) or 1.0
        model.starts = [program.column() for _ in self.of.ops]
        model.end = program.column(0.0, INF if self.sla_s is None else self.sla_s / model.unit_s)
        for at, edge in enumerate(self.of.edges):
            moving = [
                (column, -(0.0 if pair in self.ignored else edge.delay_s[pair[0]][pair[1]]) / model.unit_s)
                for pair, column in model.flows.get(at, {}).items()
            ]
            program.row(
                [(model.starts[edge.dst], 1.0), (model.starts[edge.src], -1.0), *self._lasting(edge.src), *moving],
                lower=0.0,
            )
        for o in range(len(self.of.ops)):
            if not self.of.leaving[o]:
                program.row([(model.end, 1.0), (model.starts[o], -1.0), *self._lasting(o)], lower=0.0)
        if finite:
            self._windowed(found)

    def _windowed(self, found: Windows) -> None:
        """No op starts before it can in the pool it is in, nor leaves less than the rest from there."""
        model, unit = self.model, self.model.unit_s * (1 + _SLACK)
        assert model.end is not None
        for o in range(len(self.of.ops)):
            options = [
                (column, option)
                for column, option, ok in zip(model.x[o], self.of.options[o], self.allowed[o], strict=True)
                if ok and found.through(o, option) < INF
            ]
            ready = [(column, -found.ready_s[o][option.pool] / unit) for column, option in options]
            rest = [(column, -(option.seconds + found.rest_s[o][option.pool]) / unit) for column, option in options]
            self.program.row([(model.starts[o], 1.0), *ready], lower=0.0)
            self.program.row([(model.end, 1.0), (model.starts[o], -1.0), *rest], lower=0.0)

    def _lasting(self, op: int) -> Terms:
        options = zip(self.model.x[op], self.of.options[op], strict=True)
        return [(column, -option.seconds / self.model.unit_s) for column, option in options]

    def _caps(self) -> None:
        """The budget an hour, and a cap on what the objective cost counts."""
        budget = None if BUDGET in self.without else self.load.budget_usd_per_hour
        for most, terms in ((budget, self._usd_per_hour), (self.most_usd, self._usd)):
            if most is not None:
                unit = most or 1.0
                self.program.row([(column, value / unit) for column, value in terms()], upper=most / unit)

    def _usd_per_hour(self) -> Terms:
        """Replicas at their price, and what is charged per execution and per byte at the rate."""
        terms = [(self.model.r[k], self.of.usd_per_replica_hour(k) or 0.0) for k in range(len(self.model.r))]
        if self.objective == "throughput":
            columns, flows, rate = self.model.w, self.model.rate_flows, 1.0
        elif self.rate is not None:
            columns, flows, rate = self.model.x, self.model.flows, self.rate
        else:
            return terms
        terms += [(columns[o][c], 3600 * rate * (option.usd or 0.0)) for o, c, option in self.of.choices()]
        return terms + [(column, 3600 * rate * usd) for column, usd in self._bytes_usd(flows)]

    def _bytes_usd(self, flows: dict[int, dict[tuple[int, int], int]]) -> Terms:
        prices = {
            (self.names.index(each.src), self.names.index(each.dst)): each.usd_per_byte or 0.0
            for each in self.problem.links
        }
        return [
            (column, self.of.edges[at].transfer.moved_bytes * prices.get(pair, 0.0))
            for at, flow in flows.items()
            for pair, column in flow.items()
        ]

    # Objective.

    def _minimise(self) -> None:
        if self.objective is None:
            return
        terms = self._objective()
        self.model.scale = max((abs(value) for _, value in terms), default=1.0) or 1.0
        for column, value in terms:
            self.program.cost[column] += value / self.model.scale

    def _objective(self) -> Terms:
        model = self.model
        if self.objective == "latency":
            assert model.end is not None
            return [(model.end, model.unit_s)]
        if self.objective == "throughput":
            assert model.rate is not None
            return [(model.rate, -1.0)]
        if self.objective == "energy":
            return [(model.x[o][c], option.joules or 0.0) for o, c, option in self.of.choices()]
        return self._usd()

    def _usd(self) -> Terms:
        """What the objective cost counts: an hour at the rate, or one run alone."""
        if self.rate is not None:
            return self._usd_per_hour()
        alone = [(self.model.x[o][c], option.usd_alone or 0.0) for o, c, option in self.of.choices()]
        return alone + self._bytes_usd(self.model.flows)
