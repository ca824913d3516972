"""What a plan amounts to: replicas, seconds, dollars, joules, and which limits it keeps.

Every figure of a solution comes from here, from its shares, none from the solver's other variables. A run may meet the
slowest choice that each op uses, and the slowest way between the pools of two; so that is what its path takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.planner.solver.instance import Edge, Instance, Option
from orchestrator.planner.solver.limits import BUDGET, RATE, SLA, capacity, link, memory
from orchestrator.planner.solver.problem import Goal, Link

TOLERANCE = 1e-6
"""Relative; what the solver may be off by."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How the executions of ops are shared out."""

    shares: tuple[Mapping[int, float], ...]
    """By op, in topological order: the share of each choice that is used, by its position; they sum to 1."""
    ways: Mapping[int, Mapping[tuple[int, int], float]] = field(default_factory=dict)
    """By edge and pools the share of its transfers that goes there; where absent, both ends choose independently."""


def whole(picks: Sequence[int]) -> Spread:
    """Each op takes one choice."""
    return Spread(tuple({pick: 1.0} for pick in picks))


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a limit a plan uses. ``limit`` is 0 where something has no room at all."""

    name: str
    used: float
    limit: float
    unit: str
    step: float = 0.0
    """The smallest amount by which ``used`` could grow (the devices of one replica)."""

    @property
    def kept(self) -> bool:
        return self.used <= self.limit + TOLERANCE * max(abs(self.limit), 1e-12)

    @property
    def binds(self) -> bool:
        """Whether the plan could not use more of it."""
        return self.used + self.step > self.limit * (1 - 1e-3)


@dataclass(frozen=True, slots=True)
class Timing:
    """When each op starts and its slowest choice ends, what each transfer takes, and the chain that ends last."""

    start_s: tuple[float, ...]
    delay_s: tuple[float, ...]
    path: tuple[int, ...]
    seconds: float


def parts(of: Instance, spread: Spread) -> Iterator[tuple[Option, float]]:
    """Every choice that is used, with its share."""
    for options, shares in zip(of.options, spread.shares, strict=True):
        for pick, share in shares.items():
            yield options[pick], share


def _meetings(of: Instance, spread: Spread, edge: Edge) -> Iterator[tuple[Option, Option, float]]:
    """The choices between which an edge's transfers go, if its ends choose independently, with their shares."""
    sources = [(of.options[edge.src][pick], share) for pick, share in spread.shares[edge.src].items()]
    sinks = [(of.options[edge.dst][pick], share) for pick, share in spread.shares[edge.dst].items()]
    if not edge.transfer.pair:
        yield from ((src, dst, a * b) for src, a in sources for dst, b in sinks)
        return
    together = {src.configuration: share for src, share in sources if _stays(of, edge, src, src)}
    apart = 1 - sum(together.values())
    for src, a in sources:
        for dst, b in sinks:
            if src.configuration == dst.configuration and src.configuration in together:
                yield src, dst, a
            elif src.configuration not in together and dst.configuration not in together:
                yield src, dst, a * b / apart


def _stays(of: Instance, edge: Edge, src: Option, dst: Option) -> bool:
    return of.problem.stays(edge.transfer, src.choice, dst.choice)


def delay_s(of: Instance, edge: Edge, src: Option, dst: Option) -> float:
    """Seconds of a transfer between two choices."""
    return 0.0 if _stays(of, edge, src, dst) else edge.delay_s[src.pool][dst.pool]


def timing(of: Instance, spread: Spread) -> Timing:
    """Longest path over the slowest choices and ways used; linear in ops and transfers."""
    count = len(of.ops)
    seconds = [max(of.options[o][pick].seconds for pick in spread.shares[o]) for o in range(count)]
    delays = tuple(
        max((delay_s(of, edge, src, dst) for src, dst, _ in _meetings(of, spread, edge)), default=0.0)
        for edge in of.edges
    )
    start, before = [0.0] * count, [-1] * count
    for o in range(count):
        for at in of.entering[o]:
            src = of.edges[at].src
            arrives = start[src] + seconds[src] + delays[at]
            if arrives >= start[o]:
                start[o], before[o] = arrives, src
    at = max(range(count), key=lambda o: start[o] + seconds[o])
    path = [at]
    while before[path[-1]] >= 0:
        path.append(before[path[-1]])
    return Timing(tuple(start), delays, tuple(reversed(path)), start[at] + seconds[at])


def loads(of: Instance, spread: Spread) -> dict[int, list[float]]:
    """Replicas per run per second that each used configuration needs, for compute, slots and KV."""
    found: dict[int, list[float]] = {}
    for option, share in parts(of, spread):
        sums = found.setdefault(option.configuration, [0.0, 0.0, 0.0])
        for which, need in enumerate(option.need):
            sums[which] += share * need
    return found


def replicas(of: Instance, spread: Spread, rate: float | None) -> dict[int, int]:
    """The fewest that carry the rate; one of each used configuration where nothing arrives."""
    return {
        k: max(1, math.ceil(max(need) * rate * (1 - TOLERANCE))) if rate is not None else 1
        for k, need in loads(of, spread).items()
    }


def sustained_per_s(of: Instance, spread: Spread, count: dict[int, int]) -> float:
    """Runs per second these replicas and links can carry; infinite where nothing is occupied."""
    rates = [count[k] / max(need) for k, need in loads(of, spread).items() if max(need)]
    for each, moved in bytes_per_run(of, spread):
        if each.capacity_bytes_per_s is not None and moved:
            rates.append(each.capacity_bytes_per_s * of.problem.workload.utilisation / moved)
    return min(rates, default=math.inf)


def routes(of: Instance, spread: Spread, at: int) -> Mapping[tuple[int, int], float]:
    """The share of an edge's transfers that goes from pool to pool; what stays in an engine has no way."""
    if at in spread.ways:
        return spread.ways[at]
    found: dict[tuple[int, int], float] = {}
    for src, dst, share in _meetings(of, spread, of.edges[at]):
        if not _stays(of, of.edges[at], src, dst):
            found[src.pool, dst.pool] = found.get((src.pool, dst.pool), 0.0) + share
    return found


def bytes_per_run(of: Instance, spread: Spread) -> list[tuple[Link, float]]:
    """What each link carries."""
    moved = dict.fromkeys(of.problem.link, 0.0)
    names = [pool.name for pool in of.problem.pools]
    for at, edge in enumerate(of.edges):
        for (p, q), share in routes(of, spread, at).items():
            if (names[p], names[q]) in moved:
                moved[names[p], names[q]] += share * edge.transfer.moved_bytes
    return [(of.problem.link[pair], amount) for pair, amount in moved.items()]


def usd_per_hour(of: Instance, spread: Spread, count: dict[int, int], rate: float | None) -> float | None:
    """Devices rented, and at a rate what is charged per execution and byte; ``None`` where a price is unknown."""
    rented = [of.usd_per_replica_hour(k) for k in count]
    charged = _shared(of, spread, "usd") + _link_usd(of, spread)
    if rate is None:
        charged = []
    if any(price is None for price in [*rented, *charged]):
        return None
    devices = sum(number * (price or 0.0) for number, price in zip(count.values(), rented, strict=True))
    return devices + 3600 * (rate or 0.0) * sum(price or 0.0 for price in charged)


def usd_per_run(of: Instance, spread: Spread, count: dict[int, int], rate: float | None) -> float | None:
    """At a rate the hour's price shared by its runs; alone, the device time of one run."""
    if rate is not None:
        per_hour = usd_per_hour(of, spread, count, rate)
        return None if per_hour is None else per_hour / (3600 * rate)
    return total(_shared(of, spread, "usd_alone") + _link_usd(of, spread))


def _shared(of: Instance, spread: Spread, name: Literal["usd", "usd_alone", "joules"]) -> list[float | None]:
    """A figure of each choice that is used, times its share."""
    found: list[float | None] = []
    for option, share in parts(of, spread):
        figure: float | None = getattr(option, name)
        found.append(None if figure is None else share * figure)
    return found


def _link_usd(of: Instance, spread: Spread) -> list[float | None]:
    return [
        None if each.usd_per_byte is None else each.usd_per_byte * moved
        for each, moved in bytes_per_run(of, spread)
        if moved
    ]


def joules_per_run(of: Instance, spread: Spread) -> float | None:
    """``None`` where an op's energy is unknown."""
    return total(_shared(of, spread, "joules"))


def value(of: Instance, goal: Goal, spread: Spread, rate: float | None) -> float | None:
    """What a goal counts; ``None`` where a figure that it needs is unknown."""
    count = replicas(of, spread, rate)
    match goal:
        case "latency":
            return timing(of, spread).seconds
        case "energy":
            return joules_per_run(of, spread)
        case "cost" if rate is not None:
            return usd_per_hour(of, spread, count, rate)
        case "cost":
            return usd_per_run(of, spread, count, rate)
        case "throughput":
            return rate
        case "devices":
            return float(sum(number * of.configurations[k].devices for k, number in count.items()))


def total(of: Sequence[float | None]) -> float | None:
    """``None`` as soon as one part is unknown."""
    return None if any(part is None for part in of) else sum(part or 0.0 for part in of)


def usage(of: Instance, spread: Spread, count: dict[int, int], rate: float | None) -> tuple[Usage, ...]:
    """Every limit that the problem sets, used or broken."""
    load, found = of.problem.workload, []
    if load.sla_s is not None:
        found.append(Usage(SLA, timing(of, spread).seconds, load.sla_s, "s"))
    per_hour = usd_per_hour(of, spread, count, rate)
    if load.budget_usd_per_hour is not None and per_hour is not None:
        found.append(Usage(BUDGET, per_hour, load.budget_usd_per_hour, "USD/h"))
    if load.sizing_per_s is not None:
        # A rate is a demand: it is kept where what the replicas sustain is not below it.
        sustained = sustained_per_s(of, spread, count)
        found.append(Usage(RATE, load.sizing_per_s, sustained, "runs/s"))
    return (*found, *_devices(of, count), *_memory(of, spread), *_links(of, spread, rate))


def _devices(of: Instance, count: dict[int, int]) -> list[Usage]:
    found = []
    for at, pool in enumerate(of.problem.pools):
        here = {k: number * of.configurations[k].devices for k, number in count.items() if of.pool_of[k] == at}
        if here:
            step = min(of.configurations[k].devices for k in here)
            found.append(Usage(capacity(pool.name), float(sum(here.values())), float(pool.count), "devices", step))
    return found


def _memory(of: Instance, spread: Spread) -> list[Usage]:
    found: dict[str, Usage] = {}
    for option, _ in parts(of, spread):
        engine, pool = of.configurations[option.configuration], of.problem.pools[option.pool]
        uses = [Usage(memory(pool.name), engine.memory_bytes, pool.memory_bytes, "bytes")]
        if engine.kv_bytes is not None:
            uses.append(Usage(memory(pool.name), option.choice.kv_bytes, engine.kv_bytes, "bytes of KV"))
        for each in uses:
            worst = found.get(each.name)
            if worst is None or each.used * worst.limit > worst.used * each.limit:
                found[each.name] = each
    return list(found.values())


def _links(of: Instance, spread: Spread, rate: float | None) -> list[Usage]:
    names = [pool.name for pool in of.problem.pools]
    found = [
        Usage(
            link(each.src, each.dst), moved * rate, each.capacity_bytes_per_s * of.problem.workload.utilisation, "B/s"
        )
        for each, moved in bytes_per_run(of, spread)
        if each.capacity_bytes_per_s is not None and rate is not None and moved
    ]
    closed = {
        (src.pool, dst.pool): None
        for edge in of.edges
        for src, dst, _ in _meetings(of, spread, edge)
        if math.isinf(delay_s(of, edge, src, dst))
    }
    return found + [Usage(link(names[p], names[q]), 1.0, 0.0, "transfers") for p, q in closed]
