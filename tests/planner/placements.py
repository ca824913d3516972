"""Random placement problems, and an oracle that shares nothing with the solver but the problem's definition.

Figures come from a coarse grid, so that an optimum differs from the next by far more than rounding.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

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

    Choices are taken away, from the op that has most of them, until there are at most ``most_plans`` assignments.
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
        ops=tuple(_thinned(draw, [_op(draw, at, engines) for at in range(ops)], most_plans)),
        transfers=tuple(
            Transfer(f"o{src}", f"o{dst}", draw.choice([0.0, 1e9, 4e9]))
            for dst in range(1, ops)
            for src in sorted(draw.sample(range(dst), min(dst, draw.choice([0, 1, 1, 2]))))
        ),
        links=tuple(_link(draw, p, q) for p in names for q in names if p != q and draw.random() < 0.9),
    )
    return _limited(problem, draw, rate)


def _thinned(draw: random.Random, ops: list[Op], most_plans: float) -> list[Op]:
    while math.prod(len(op.choices) for op in ops) > most_plans:
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


def brute_force(problem: Problem) -> dict[Objective, float] | None:
    """The best value of each objective over all plans, ``None`` where there is no plan.

    Replicas are the fewest the rate needs, which none of these objectives can better; throughput is not among them.
    """
    best: dict[Objective, float] | None = None
    for plan in plans(problem):
        found = figures(problem, plan)
        if found is not None:
            values: dict[Objective, float] = {"cost": found.usd, "latency": found.seconds, "energy": found.joules}
            best = values if best is None else {name: min(best[name], value) for name, value in values.items()}
    return best


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
    seconds = _longest(problem, plan)
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


def _longest(problem: Problem, plan: dict[str, Choice]) -> float:
    pool = {each.name: each.pool for each in problem.configurations}
    links = {(each.src, each.dst): each for each in problem.links}
    ends: dict[str, float] = {}

    def end(op_id: str) -> float:
        if op_id not in ends:
            op = next(each for each in problem.ops if each.id == op_id)
            ready = 0.0
            for each in problem.transfers:
                if each.dst == op_id:
                    link = links.get((pool[plan[each.src].configuration], pool[plan[op_id].configuration]))
                    free = link is None or _stays(problem, plan, each)
                    delay = 0.0 if free or link is None else link.latency_s + each.moved_bytes / link.bytes_per_s
                    ready = max(ready, end(each.src) + delay)
            rounds = op.executions if op.serial is None else op.serial
            ends[op_id] = ready + rounds * plan[op_id].seconds
        return ends[op_id]

    return max(end(op.id) for op in problem.ops)


def best_throughput(problem: Problem) -> float | None:
    """Over all plans and all counts of replicas that fit the pools."""
    best: float | None = None
    for plan in plans(problem):
        for count in _counts(problem, plan):
            rate = _sustained(problem, plan, count)
            asked = problem.workload.rate_per_s
            if asked is not None and rate < asked * (1 - LOOSE):
                continue
            at = min(rate, 1e6)
            loaded = replace(problem, workload=replace(problem.workload, rate_per_s=at * (1 - 1e-9)))
            if figures(loaded, plan) is not None and (best is None or rate > best):
                best = rate
    return best


def _counts(problem: Problem, plan: dict[str, Choice]) -> Iterator[dict[str, int]]:
    engines = {each.name: each for each in problem.configurations}
    used = sorted({choice.configuration for choice in plan.values()})
    count = {pool.name: pool.count for pool in problem.pools}
    ranges = [range(1, count[engines[name].pool] // engines[name].devices + 1) for name in used]
    for numbers in itertools.product(*ranges):
        yield dict(zip(used, numbers, strict=True))


def _sustained(problem: Problem, plan: dict[str, Choice], count: dict[str, int]) -> float:
    engines = {each.name: each for each in problem.configurations}
    rates = [math.inf]
    for name, number in count.items():
        mine = [(op, plan[op.id]) for op in problem.ops if plan[op.id].configuration == name]
        busy = sum(op.executions * choice.busy_s for op, choice in mine) / problem.workload.utilisation
        held = [(op.executions * _held_s(choice), choice.kv_bytes) for op, choice in mine]
        batch, kv = engines[name].batch, engines[name].kv_bytes
        needs = [busy, sum(s for s, _ in held) / batch if batch else 0.0]
        needs.append(sum(s * size for s, size in held) / kv if kv else 0.0)
        rates += [number / need for need in needs if need > 0]
    links = {(each.src, each.dst): each for each in problem.links}
    for pair, amount in (_moved(problem, plan) or {}).items():
        room = links[pair].capacity_bytes_per_s
        if room is not None and amount:
            rates.append(room * problem.workload.utilisation / amount)
    return min(rates)


def assert_keeps_all_limits(problem: Problem, solution: Solution) -> None:
    """The plan, evaluated without the solver's code, keeps every limit and has the figures the solution states."""
    plan = dict(solution.assignment)
    found = figures(problem, plan)
    assert found is not None
    assert math.isclose(found.seconds, solution.seconds, rel_tol=1e-9, abs_tol=1e-12)
    load = problem.workload
    rate = load.rate_per_s if load.throughput_per_s is None else max(load.rate_per_s or 0.0, load.throughput_per_s)
    assert dict(solution.replicas) == replicas_needed(problem, plan, rate)
    if solution.usd_per_hour is not None:
        assert math.isclose(found.usd_per_hour, solution.usd_per_hour, rel_tol=1e-9)


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
