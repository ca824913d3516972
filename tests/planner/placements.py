"""Random placement problems, and an oracle that shares nothing with the solver but the problem's definition.

Figures come from a coarse grid, so that an optimum differs from the next by far more than rounding.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from operator import itemgetter

from orchestrator.planner.placement import (
    Choice,
    Configuration,
    Link,
    Mode,
    Objective,
    Op,
    Pool,
    Problem,
    Solution,
    Transfer,
    Workload,
)
from orchestrator.planner.solver.highs import relax
from orchestrator.planner.solver.program import Program

LOOSE = 2e-6
"""Relative: the solver's own tolerance, twice."""


@dataclass(frozen=True)
class Figures:
    """What a plan amounts to, computed straight from the definitions."""

    seconds: float
    usd: float
    """Per hour at a rate, per run alone."""
    usd_per_hour: float
    joules: float


def random_problem(seed: int, *, most_ops: int = 6, pools: int | None = None, most_plans: float = math.inf) -> Problem:
    """2 to ``most_ops`` ops on 2 or 3 pools with 1 or 2 configurations each; limits that sometimes cannot be kept.

    Choices are taken away, from the op that has most of them, until there are at most ``most_plans`` assignments; at a
    rate, sets of choices that ops may use.
    """
    draw = random.Random(seed)
    count = pools or draw.choice([2, 2, 3])
    names = [f"p{at}" for at in range(count)]
    rate = draw.choice([None, 0.5, 1.0, 2.5])
    ops = draw.randint(2, most_ops)
    engines = [
        _engine(draw, name, which) for name in names for which in range(draw.choice([1, 1, 2]) if ops <= 7 else 1)
    ]
    problem = Problem(
        pools=tuple(
            Pool(name, "round", draw.choice([2, 4, 8]), draw.randint(1, 9) * 0.5, draw.randint(1, 7) * 100.0, 80e9)
            for name in names
        ),
        configurations=tuple(engines),
        ops=tuple(_thinned(draw, [_op(draw, at, engines) for at in range(ops)], most_plans, rate)),
        transfers=tuple(
            Transfer(f"o{src}", f"o{dst}", draw.choice([0.0, 1e9, 4e9]))
            for dst in range(1, ops)
            for src in sorted(draw.sample(range(dst), min(dst, draw.choice([0, 1, 1, 2]))))
        ),
        links=tuple(_link(draw, p, q) for p in names for q in names if p != q and draw.random() < 0.9),
    )
    return _limited(problem, draw, rate)


def _thinned(draw: random.Random, ops: list[Op], most_plans: float, rate: float | None) -> list[Op]:
    while math.prod(len(op.choices) if rate is None else 2 ** len(op.choices) - 1 for op in ops) > most_plans:
        at = max(range(len(ops)), key=lambda each: len(ops[each].choices))
        dropped = draw.randrange(len(ops[at].choices))
        kept = tuple(choice for which, choice in enumerate(ops[at].choices) if which != dropped)
        ops[at] = replace(ops[at], choices=kept)
    return ops


def _engine(draw: random.Random, pool: str, which: int) -> Configuration:
    return Configuration(
        name=f"{pool}-{which}",
        pool=pool,
        devices=1 + which,
        tensor=1 + which,
        batch=draw.choice([None, 4.0, 2.0]),
        memory_bytes=draw.choice([10e9, 40e9, 40e9, 90e9]) if which == 0 else 20e9,
        kv_bytes=draw.choice([None, 10e9, 20e9]),
    )


def _op(draw: random.Random, at: int, engines: list[Configuration]) -> Op:
    choices = tuple(
        Choice(
            each.name,
            seconds=draw.randint(1, 16) * 0.25,
            busy_s=draw.randint(0, 8) * 0.125,
            held_s=draw.choice([None, 1.0]),
            kv_bytes=draw.randint(0, 6) * 1e9,
            energy_j=draw.choice([None, 50.0, 200.0]),
            usd=draw.choice([0.0, 0.0, 0.0005]),
        )
        for each in engines
        if draw.random() < 0.9 or each is engines[0]
    )
    return Op(f"o{at}", choices, executions=draw.choice([1.0, 1.0, 2.0]), serial=draw.choice([None, 1.0]))


def _link(draw: random.Random, src: str, dst: str) -> Link:
    return Link(
        src,
        dst,
        bytes_per_s=draw.choice([1e9, 2e9, 8e9]),
        latency_s=draw.choice([0.0, 0.125]),
        capacity_bytes_per_s=draw.choice([None, None, 8e9]),
        usd_per_byte=draw.choice([0.0, 0.0, 1e-13]),
    )


def _limited(problem: Problem, draw: random.Random, rate: float | None) -> Problem:
    sla_s = draw.choice([None, 1.0, 1.5, 2.5])
    sla_s = None if sla_s is None else sla_s * len(problem.ops)
    budget = draw.choice([None, None, 20.0, 60.0])
    return replace(problem, workload=Workload(rate, None, sla_s, budget, draw.choice([0.8, 1.0])))


def with_call(problem: Problem, seed: int) -> Problem:
    """Adds a call in two halves, prefill and decode, that may share an engine or not."""
    draw = random.Random(seed)
    modes: tuple[Mode, ...] = ("aggregated", "prefill", "decode")
    engines = [
        Configuration(f"{pool.name}-{mode}", pool.name, devices=draw.choice([1, 2]), mode=mode)
        for pool in problem.pools[:2]
        for mode in modes
    ]

    def half(name: str, mode: Mode) -> Op:
        ways = [each for each in engines if each.mode in ("aggregated", mode)]
        return Op(
            name, tuple(Choice(each.name, draw.randint(1, 8) * 0.25, draw.randint(1, 4) * 0.125) for each in ways)
        )

    pair = Transfer("prefill", "decode", draw.choice([0.0, 1e9, 8e9]), pair=True)
    inside = [Link(pool.name, pool.name, 4e9, 0.125) for pool in problem.pools]
    return replace(
        problem,
        configurations=(*problem.configurations, *engines),
        ops=(*problem.ops, half("prefill", "prefill"), half("decode", "decode")),
        transfers=(*problem.transfers, Transfer("o0", "prefill", 1e9), pair),
        links=(*problem.links, *inside),
    )


@cache
def brute_force(problem: Problem) -> dict[Objective, float] | None:
    """The best value of each objective over all plans, ``None`` where there is no plan; throughput is not among them.

    A run alone takes one choice of each op: all assignments are looked at. At a rate all sets of choices and all counts
    of replicas are, and a linear program shares the load out between them.
    """
    if rate_of(problem) is not None:
        return _best_split(problem)
    best: dict[Objective, float] | None = None
    for plan in plans(problem):
        found = figures(problem, plan)
        if found is not None:
            values: dict[Objective, float] = {"cost": found.usd, "latency": found.seconds, "energy": found.joules}
            best = values if best is None else {name: min(best[name], value) for name, value in values.items()}
    return best


def rate_of(problem: Problem) -> float | None:
    rates = [each for each in (problem.workload.rate_per_s, problem.workload.throughput_per_s) if each is not None]
    return max(rates, default=None)


Used = dict[str, tuple[Choice, ...]]
"""The choices of each op that take a share."""


def _best_split(problem: Problem) -> dict[Objective, float] | None:
    rate = rate_of(problem)
    assert rate is not None
    ways = [(_longest(problem, used), used) for used in _uses(problem)]
    counts = sorted(((_rent(problem, each), each) for each in _all_counts(problem, rate)), key=itemgetter(0))
    budget = problem.workload.budget_usd_per_hour
    # What fewer replicas can do, more can; but for what they cost.
    most = [count for _, count in counts if budget is not None or not _can_grow(problem, count, rate)]
    values: dict[Objective, float] = {}
    for used in _widest([used for _, used in ways]):
        for rent, count in counts:
            if rent > min(values.get("cost", math.inf), math.inf if budget is None else budget * (1 + LOOSE)):
                break
            found = Sharing(problem, used, count).best("cost", rate)
            values["cost"] = min(math.inf if found is None else found, values.get("cost", math.inf))
        energy = [Sharing(problem, used, count).best("energy", rate) for count in most]
        values["energy"] = min([values.get("energy", math.inf), *(each for each in energy if each is not None)])
    if math.isinf(values.get("cost", math.inf)):
        return None
    for seconds in sorted({seconds for seconds, _ in ways}):
        within = _widest([used for each, used in ways if each <= seconds])
        if any(Sharing(problem, used, count).best("latency", rate) is not None for used in within for count in most):
            return {**values, "latency": seconds}
    raise AssertionError("a plan of some cost has no latency")


def _rent(problem: Problem, count: dict[str, int]) -> float:
    return sum(number * _price(problem, name) for name, number in count.items())


def _price(problem: Problem, name: str) -> float:
    return problem.configuration[name].devices * (problem.pool_of[name].usd_per_device_hour or 0.0)


def _uses(problem: Problem) -> Iterator[Used]:
    """All sets of choices that fit, are linked and keep the SLA."""
    engines, pools = problem.configuration, problem.pool
    fitting = [
        [
            choice
            for choice in op.choices
            if (engine := engines[choice.configuration]).memory_bytes <= pools[engine.pool].memory_bytes
            and (engine.kv_bytes is None or choice.kv_bytes <= engine.kv_bytes)
        ]
        for op in problem.ops
    ]
    sets = [
        [each for size in range(1, len(ways) + 1) for each in itertools.combinations(ways, size)] for ways in fitting
    ]
    for each in itertools.product(*sets):
        used = {op.id: ways for op, ways in zip(problem.ops, each, strict=True)}
        if _longest(problem, used) <= (problem.workload.sla_s or 1e300) * (1 + LOOSE):
            yield used


def _widest(uses: list[Used]) -> list[Used]:
    """Those that are part of no other: what a narrower one can do they can."""
    found: list[Used] = []
    for used in sorted(uses, key=lambda each: -sum(map(len, each.values()))):
        if not any(all({*ways} <= {*wider[op]} for op, ways in used.items()) for wider in found):
            found.append(used)
    return found


def _all_counts(problem: Problem, rate: float | None) -> Iterator[dict[str, int]]:
    """All counts of replicas that the pools have room for, up to what the whole load would need."""
    most = _most(problem, rate)
    for numbers in itertools.product(*(range(each + 1) for each in most.values())):
        count = dict(zip(most, numbers, strict=True))
        if _room(problem, count):
            yield count


def _most(problem: Problem, rate: float | None) -> dict[str, int]:
    most = {each.name: problem.pool[each.pool].count // each.devices for each in problem.configurations}
    if rate is not None:
        for engine in problem.configurations:
            mine = [(op, choice) for op in problem.ops for choice in op.choices if choice.configuration == engine.name]
            needs = [sum(needed) for needed in zip(*(_needs(problem, op, choice) for op, choice in mine), strict=True)]
            most[engine.name] = min(most[engine.name], max(1, math.ceil(rate * max(needs)))) if mine else 0
    return most


def _can_grow(problem: Problem, count: dict[str, int], rate: float | None) -> bool:
    most = _most(problem, rate)
    return any(number < most[name] and _room(problem, {**count, name: number + 1}) for name, number in count.items())


def _room(problem: Problem, count: dict[str, int]) -> bool:
    used = dict.fromkeys(problem.pool, 0)
    for name, number in count.items():
        used[problem.configuration[name].pool] += number * problem.configuration[name].devices
    return all(number <= problem.pool[name].count for name, number in used.items())


def _needs(problem: Problem, op: Op, choice: Choice) -> tuple[float, float, float]:
    """Replicas for one run a second: time of a replica, slots and KV, by Little's law."""
    engine = problem.configuration[choice.configuration]
    flight = op.executions * _held_s(choice)
    return (
        op.executions * choice.busy_s / problem.workload.utilisation,
        flight / engine.batch if engine.batch else 0.0,
        flight * choice.kv_bytes / engine.kv_bytes if engine.kv_bytes else 0.0,
    )


class Sharing:
    """How a load is best shared out between given choices on given replicas: a linear program, whole in nothing."""

    def __init__(self, problem: Problem, used: Used, count: dict[str, int]) -> None:
        self.problem, self.count = problem, count
        self.used = {op: tuple(way for way in ways if count[way.configuration]) for op, ways in used.items()}

    def best(self, objective: Objective, rate: float | None) -> float | None:
        """The least USD an hour or joules a run, or the most runs a second; ``None`` where the replicas carry less."""
        if not all(self.used.values()):
            return None
        problem, load = self.problem, self.problem.workload
        program, share = Program(), {}
        runs = program.column(rate or 0.0, 1e6 if objective == "throughput" else rate or 0.0)
        for op_id, ways in self.used.items():
            for way in ways:
                share[op_id, way] = program.column()
            program.row([*((share[op_id, way], 1.0) for way in ways), (runs, -1.0)], 0.0, 0.0)
        for name, number in self.count.items():
            mine = [(op_id, way) for op_id, way in share if way.configuration == name]
            for which in range(3):
                needs = [(share[key], _needs(problem, problem.op[key[0]], key[1])[which]) for key in mine]
                program.row(needs, upper=number)
        usd = [(column, problem.op[op_id].executions * (way.usd or 0.0)) for (op_id, way), column in share.items()]
        usd += self._moves(program, share)
        rent = _rent(problem, self.count)
        if load.budget_usd_per_hour is not None:
            unit = max(load.budget_usd_per_hour, 1.0)
            terms = [(column, 3600 * each / unit) for column, each in usd]
            program.row(terms, upper=(load.budget_usd_per_hour * (1 + LOOSE) - rent) / unit)
        joules = [
            (column, self._joules(problem.op[op_id], way) / (rate or 1.0)) for (op_id, way), column in share.items()
        ]
        goals = {
            "cost": [(column, 3600 * each) for column, each in usd],
            "energy": joules,
            "throughput": [(runs, -1.0)],
        }
        for column, value in goals.get(objective, []):
            program.cost[column] += value
        found = relax(program, 10.0)
        if found is None:
            return None
        return {"cost": rent + found.bound, "throughput": -found.bound}.get(objective, found.bound)

    def _moves(self, program: Program, share: dict[tuple[str, Choice], int]) -> list[tuple[int, float]]:
        """Bytes go the cheapest way that links have room for; what that is charged, by column."""
        problem, usd = self.problem, []
        by_link: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for each in problem.transfers:
            if each.pair:
                for way in {*self.used[each.src], *self.used[each.dst]}:
                    self._same(program, share, each, way.configuration)
            sources, sinks = ([way for way in self.used[op] if self._leaves(each, way)] for op in (each.src, each.dst))
            flow = {(a, b): program.column() for a in sources for b in sinks}
            for a in sources:
                program.row([(share[each.src, a], 1.0), *((flow[a, b], -1.0) for b in sinks)], 0.0, 0.0)
            for b in sinks:
                program.row([(share[each.dst, b], 1.0), *((flow[a, b], -1.0) for a in sources)], 0.0, 0.0)
            for (a, b), column in flow.items():
                pair = problem.pool_of[a.configuration].name, problem.pool_of[b.configuration].name
                if pair in problem.link:
                    by_link.setdefault(pair, []).append((column, each.moved_bytes))
                    usd.append((column, each.moved_bytes * (problem.link[pair].usd_per_byte or 0.0)))
        for pair, terms in by_link.items():
            capacity = problem.link[pair].capacity_bytes_per_s
            if capacity is not None:
                room = capacity * problem.workload.utilisation * (1 + LOOSE)
                program.row([(column, moved / room) for column, moved in terms], upper=1.0)
        return usd

    def _leaves(self, each: Transfer, way: Choice) -> bool:
        return not each.pair or self.problem.configuration[way.configuration].mode != "aggregated"

    def _same(self, program: Program, share: dict[tuple[str, Choice], int], each: Transfer, configuration: str) -> None:
        """An aggregated engine takes both halves of a call."""
        if self.problem.configuration[configuration].mode != "aggregated":
            return
        halves = [
            [(share[op, way], sign) for way in self.used[op] if way.configuration == configuration]
            for op, sign in ((each.src, 1.0), (each.dst, -1.0))
        ]
        program.row([*halves[0], *halves[1]], 0.0, 0.0)

    def _joules(self, op: Op, way: Choice) -> float:
        if way.energy_j is not None:
            return op.executions * way.energy_j
        engine = self.problem.configuration[way.configuration]
        return op.executions * (self.problem.pool_of[engine.name].watts or 0.0) * engine.devices * way.busy_s


def plans(problem: Problem) -> Iterator[dict[str, Choice]]:
    for ways in itertools.product(*(op.choices for op in problem.ops)):
        yield {op.id: choice for op, choice in zip(problem.ops, ways, strict=True)}


def replicas_needed(problem: Problem, plan: dict[str, Choice], rate: float | None) -> dict[str, int]:
    """From the definitions: time of a replica, slots and KV, by Little's law."""
    engines = {each.name: each for each in problem.configurations}
    needed: dict[str, int] = {}
    for name in {choice.configuration for choice in plan.values()}:
        mine = [(op, plan[op.id]) for op in problem.ops if plan[op.id].configuration == name]
        if rate is None:
            needed[name] = 1
            continue
        busy = sum(rate * op.executions * choice.busy_s for op, choice in mine) / problem.workload.utilisation
        flights = [(rate * op.executions * _held_s(choice), choice.kv_bytes) for op, choice in mine]
        batch, kv = engines[name].batch, engines[name].kv_bytes
        slots = sum(each for each, _ in flights) / batch if batch else 0.0
        room = sum(each * size for each, size in flights) / kv if kv else 0.0
        needed[name] = max(1, math.ceil(max(busy, slots, room) - 1e-6))
    return needed


def _held_s(choice: Choice) -> float:
    return choice.seconds if choice.held_s is None else choice.held_s


def figures(problem: Problem, plan: dict[str, Choice]) -> Figures | None:
    """``None`` where a limit is broken."""
    load = problem.workload
    rates = [each for each in (load.rate_per_s, load.throughput_per_s) if each is not None]
    rate = max(rates) if rates else None
    engines = {each.name: each for each in problem.configurations}
    pools = {pool.name: pool for pool in problem.pools}
    where = {op_id: pools[engines[choice.configuration].pool] for op_id, choice in plan.items()}
    count = replicas_needed(problem, plan, rate)
    if not _fits(problem, plan, count) or not _paired(problem, plan):
        return None
    moved = _moved(problem, plan)
    if moved is None:
        return None
    links = {(each.src, each.dst): each for each in problem.links}
    for pair, amount in moved.items():
        room = links[pair].capacity_bytes_per_s
        if rate is not None and room is not None and amount * rate > room * load.utilisation * (1 + LOOSE):
            return None
    seconds = _longest(problem, {op_id: (choice,) for op_id, choice in plan.items()})
    moved_usd = sum(amount * (links[pair].usd_per_byte or 0.0) for pair, amount in moved.items())
    executions = {op.id: op.executions for op in problem.ops}
    extra = sum(executions[op_id] * (choice.usd or 0.0) for op_id, choice in plan.items())
    price = {name: (pools[each.pool].usd_per_device_hour or 0.0) * each.devices for name, each in engines.items()}
    alone = sum(
        executions[op_id] * choice.busy_s * price[choice.configuration] / 3600 for op_id, choice in plan.items()
    )
    per_hour = sum(number * price[name] for name, number in count.items())
    if rate is not None:
        per_hour += 3600 * rate * (extra + moved_usd)
    joules = sum(
        executions[op_id]
        * (
            (where[op_id].watts or 0.0) * engines[choice.configuration].devices * choice.busy_s
            if choice.energy_j is None
            else choice.energy_j
        )
        for op_id, choice in plan.items()
    )
    if load.sla_s is not None and seconds > load.sla_s * (1 + LOOSE):
        return None
    if load.budget_usd_per_hour is not None and per_hour > load.budget_usd_per_hour * (1 + LOOSE):
        return None
    return Figures(seconds, alone + extra + moved_usd if rate is None else per_hour, per_hour, joules)


def _fits(problem: Problem, plan: dict[str, Choice], count: dict[str, int]) -> bool:
    engines = {each.name: each for each in problem.configurations}
    for pool in problem.pools:
        used = sum(number * engines[name].devices for name, number in count.items() if engines[name].pool == pool.name)
        if used > pool.count:
            return False
    for choice in plan.values():
        engine = engines[choice.configuration]
        memory = next(pool.memory_bytes for pool in problem.pools if pool.name == engine.pool)
        if engine.memory_bytes > memory or (engine.kv_bytes is not None and choice.kv_bytes > engine.kv_bytes):
            return False
    return True


def _paired(problem: Problem, plan: dict[str, Choice]) -> bool:
    engines = {each.name: each for each in problem.configurations}
    for each in problem.transfers:
        if each.pair:
            src, dst = plan[each.src].configuration, plan[each.dst].configuration
            together = src == dst and engines[src].mode == "aggregated"
            if not together and (engines[src].mode, engines[dst].mode) != ("prefill", "decode"):
                return False
    return True


def _stays(problem: Problem, plan: dict[str, Choice], each: Transfer) -> bool:
    return each.pair and plan[each.src].configuration == plan[each.dst].configuration


def _moved(problem: Problem, plan: dict[str, Choice]) -> dict[tuple[str, str], float] | None:
    pool = {each.name: each.pool for each in problem.configurations}
    links = {(each.src, each.dst) for each in problem.links}
    moved: dict[tuple[str, str], float] = {}
    for each in problem.transfers:
        pair = pool[plan[each.src].configuration], pool[plan[each.dst].configuration]
        if _stays(problem, plan, each):
            continue
        if pair in links:
            moved[pair] = moved.get(pair, 0.0) + each.moved_bytes
        elif pair[0] != pair[1]:
            return None
    return moved


def _longest(problem: Problem, used: Used) -> float:
    """With the slowest choice of each op, and the slowest way between two; infinite where there is none."""
    links = {(each.src, each.dst): each for each in problem.links}
    pool = {each.name: each.pool for each in problem.configurations}
    ends: dict[str, float] = {}

    def delay(each: Transfer, src: Choice, dst: Choice) -> float:
        if each.pair and "aggregated" in {problem.configuration[way.configuration].mode for way in (src, dst)}:
            return 0.0
        link = links.get((pool[src.configuration], pool[dst.configuration]))
        if link is None:
            return 0.0 if pool[src.configuration] == pool[dst.configuration] else math.inf
        return link.latency_s + each.moved_bytes / link.bytes_per_s

    def end(op_id: str) -> float:
        if op_id not in ends:
            op = problem.op[op_id]
            ready = 0.0
            for each in problem.transfers:
                if each.dst == op_id:
                    slowest = max(delay(each, src, dst) for src in used[each.src] for dst in used[op_id])
                    ready = max(ready, end(each.src) + slowest)
            rounds = op.executions if op.serial is None else op.serial
            ends[op_id] = ready + rounds * max(choice.seconds for choice in used[op_id])
        return ends[op_id]

    return max(end(op.id) for op in problem.ops)


def best_throughput(problem: Problem) -> float | None:
    """Over all sets of choices and all counts of replicas that fit the pools."""
    counts = list(_all_counts(problem, None))
    found = [
        Sharing(problem, used, count).best("throughput", rate_of(problem))
        for used in _widest(list(_uses(problem)))
        for count in counts
        if not _can_grow(problem, count, None)
    ]
    return max((each for each in found if each is not None), default=None)


def assert_keeps_all_limits(problem: Problem, solution: Solution) -> None:
    """The plan, evaluated without the solver's code, keeps every limit and has the figures the solution states."""
    used = {op: tuple(each.choice for each in shares) for op, shares in solution.shares.items()}
    assert all(math.isclose(sum(each.share for each in shares), 1.0) for shares in solution.shares.values())
    seconds, rate, load = _longest(problem, used), rate_of(problem), problem.workload
    assert math.isclose(seconds, solution.seconds, rel_tol=1e-9, abs_tol=1e-12)
    if rate is None:
        plan = dict(solution.assignment)
        found = figures(problem, plan)
        assert found is not None
        assert dict.fromkeys(solution.replicas, 1) == replicas_needed(problem, plan, rate) == solution.replicas
        assert solution.usd_per_hour is None or math.isclose(found.usd_per_hour, solution.usd_per_hour, rel_tol=1e-9)
        return
    assert seconds <= (load.sla_s or math.inf) * (1 + LOOSE)
    assert solution.usd_per_hour is not None
    assert solution.usd_per_hour <= (load.budget_usd_per_hour or math.inf) * (1 + LOOSE)
    count = dict.fromkeys(problem.configuration, 0) | dict(solution.replicas)
    assert _room(problem, count)
    for name, number in solution.replicas.items():
        needs = [
            [each.share * need for need in _needs(problem, problem.op[op], each.choice)]
            for op, shares in solution.shares.items()
            for each in shares
            if each.choice.configuration == name
        ]
        most = rate * max(map(sum, zip(*needs, strict=True)))
        assert number == max(1, math.ceil(most - 1e-4)) or number == math.ceil(most)
    least = Sharing(problem, used, count).best("cost", rate * (1 - 1e-4))
    assert least is not None
    assert solution.usd_per_hour >= least * (1 - 1e-3)


def loosened(problem: Problem, kept: frozenset[str]) -> Problem:
    """The same problem with every limit lifted that is not among ``kept``, by changing its figures."""
    load = problem.workload
    names = [pool.name for pool in problem.pools]
    memory = {name: f"memory of {name}" in kept for name in names}
    present = {(each.src, each.dst) for each in problem.links}
    missing = [(p, q) for p in names for q in names if p != q and (p, q) not in present]
    return replace(
        problem,
        pools=tuple(
            replace(
                pool,
                count=pool.count if f"capacity of {pool.name}" in kept else 10**6,
                memory_bytes=pool.memory_bytes if memory[pool.name] else math.inf,
            )
            for pool in problem.pools
        ),
        configurations=tuple(
            each if memory[each.pool] else replace(each, kv_bytes=None) for each in problem.configurations
        ),
        links=(
            *(
                each if f"link {each.src} -> {each.dst}" in kept else replace(each, capacity_bytes_per_s=None)
                for each in problem.links
            ),
            *(Link(p, q, 1e30) for p, q in missing if f"link {p} -> {q}" not in kept),
        ),
        workload=replace(
            load,
            rate_per_s=load.rate_per_s if "rate" in kept else None,
            sla_s=load.sla_s if "sla" in kept else None,
            budget_usd_per_hour=load.budget_usd_per_hour if "budget" in kept else None,
        ),
    )
