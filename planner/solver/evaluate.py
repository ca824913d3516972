"""What an assignment amounts to: replicas, seconds, dollars, joules, and which limits it keeps.

Every figure of a solution comes from here, none from the solver's floating-point variables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.planner.solver.instance import Edge, Instance, Option
from orchestrator.planner.solver.limits import BUDGET, RATE, SLA, capacity, link, memory
from orchestrator.planner.solver.problem import Link

TOLERANCE = 1e-6
"""Relative; what the solver may be off by."""
Picks = Sequence[int]
"""Position of the choice of each op, in topological order."""


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
    """When each op ends, and the chain that ends last."""

    end_s: tuple[float, ...]
    path: tuple[int, ...]
    seconds: float


def picked(of: Instance, picks: Picks) -> list[Option]:
    """The option of each op."""
    return [options[pick] for options, pick in zip(of.options, picks, strict=True)]


def delay_s(of: Instance, edge: Edge, src: Option, dst: Option) -> float:
    """Seconds of a transfer between two choices."""
    stays = of.problem.stays(edge.transfer, src.choice, dst.choice)
    return 0.0 if stays else edge.delay_s[src.pool][dst.pool]


def timing(of: Instance, picks: Picks) -> Timing:
    """Longest path; linear in ops and transfers."""
    chosen = picked(of, picks)
    end = [0.0] * len(chosen)
    before = [-1] * len(chosen)
    for o, option in enumerate(chosen):
        ready = 0.0
        for at in of.entering[o]:
            edge = of.edges[at]
            arrives = end[edge.src] + delay_s(of, edge, chosen[edge.src], option)
            if arrives >= ready:
                ready, before[o] = arrives, edge.src
        end[o] = ready + option.seconds
    at = max(range(len(chosen)), key=end.__getitem__)
    path = [at]
    while before[path[-1]] >= 0:
        path.append(before[path[-1]])
    return Timing(tuple(end), tuple(reversed(path)), end[at])


def loads(of: Instance, picks: Picks) -> dict[int, list[float]]:
    """Replicas per run per second that each used configuration needs, for compute, slots and KV."""
    found: dict[int, list[float]] = {}
    for option in picked(of, picks):
        sums = found.setdefault(option.configuration, [0.0, 0.0, 0.0])
        for which, need in enumerate(option.need):
            sums[which] += need
    return found


def replicas(of: Instance, picks: Picks, rate: float | None) -> dict[int, int]:
    """The fewest that carry the rate; one of each used configuration where nothing arrives."""
    return {
        k: max(1, math.ceil(max(need) * rate * (1 - TOLERANCE))) if rate is not None else 1
        for k, need in loads(of, picks).items()
    }


def sustained_per_s(of: Instance, picks: Picks, count: dict[int, int]) -> float:
    """Runs per second these replicas and links can carry; infinite where nothing is occupied."""
    rates = [count[k] / max(need) for k, need in loads(of, picks).items() if max(need)]
    for each, moved in bytes_per_run(of, picks):
        if each.capacity_bytes_per_s is not None and moved:
            rates.append(each.capacity_bytes_per_s * of.problem.workload.utilisation / moved)
    return min(rates, default=math.inf)


def bytes_per_run(of: Instance, picks: Picks) -> list[tuple[Link, float]]:
    """What each link carries."""
    chosen, moved = picked(of, picks), dict.fromkeys(of.problem.link, 0.0)
    names = [pool.name for pool in of.problem.pools]
    for edge in of.edges:
        src, dst = chosen[edge.src], chosen[edge.dst]
        pair = names[src.pool], names[dst.pool]
        if pair in moved and not of.problem.stays(edge.transfer, src.choice, dst.choice):
            moved[pair] += edge.transfer.moved_bytes
    return [(of.problem.link[pair], amount) for pair, amount in moved.items()]


def usd_per_hour(of: Instance, picks: Picks, count: dict[int, int], rate: float | None) -> float | None:
    """Devices rented, and at a rate what is charged per execution and byte; ``None`` where a price is unknown."""
    rented = [of.usd_per_replica_hour(k) for k in count]
    charged = [option.usd for option in picked(of, picks)] + _link_usd(of, picks)
    if rate is None:
        charged = []
    if any(price is None for price in [*rented, *charged]):
        return None
    devices = sum(number * (price or 0.0) for number, price in zip(count.values(), rented, strict=True))
    return devices + 3600 * (rate or 0.0) * sum(price or 0.0 for price in charged)


def usd_per_run(of: Instance, picks: Picks, count: dict[int, int], rate: float | None) -> float | None:
    """At a rate the hour's price shared by its runs; alone, the device time of one run."""
    if rate is not None:
        per_hour = usd_per_hour(of, picks, count, rate)
        return None if per_hour is None else per_hour / (3600 * rate)
    return total([option.usd_alone for option in picked(of, picks)] + _link_usd(of, picks))


def _link_usd(of: Instance, picks: Picks) -> list[float | None]:
    return [
        None if each.usd_per_byte is None else each.usd_per_byte * moved
        for each, moved in bytes_per_run(of, picks)
        if moved
    ]


def joules_per_run(of: Instance, picks: Picks) -> float | None:
    """``None`` where an op's energy is unknown."""
    return total([option.joules for option in picked(of, picks)])


def total(parts: Sequence[float | None]) -> float | None:
    """``None`` as soon as one part is unknown."""
    return None if any(part is None for part in parts) else sum(part or 0.0 for part in parts)


def usage(of: Instance, picks: Picks, count: dict[int, int], rate: float | None) -> tuple[Usage, ...]:
    """Every limit that the problem sets, used or broken."""
    load, found = of.problem.workload, []
    if load.sla_s is not None:
        found.append(Usage(SLA, timing(of, picks).seconds, load.sla_s, "s"))
    per_hour = usd_per_hour(of, picks, count, rate)
    if load.budget_usd_per_hour is not None and per_hour is not None:
        found.append(Usage(BUDGET, per_hour, load.budget_usd_per_hour, "USD/h"))
    if load.sizing_per_s is not None:
        # A rate is a demand: it is kept where what the replicas sustain is not below it.
        sustained = sustained_per_s(of, picks, count)
        found.append(Usage(RATE, load.sizing_per_s, sustained, "runs/s"))
    return (*found, *_devices(of, count), *_memory(of, picks), *_links(of, picks, rate))


def _devices(of: Instance, count: dict[int, int]) -> list[Usage]:
    found = []
    for at, pool in enumerate(of.problem.pools):
        here = {k: number * of.configurations[k].devices for k, number in count.items() if of.pool_of[k] == at}
        if here:
            step = min(of.configurations[k].devices for k in here)
            found.append(Usage(capacity(pool.name), float(sum(here.values())), float(pool.count), "devices", step))
    return found


def _memory(of: Instance, picks: Picks) -> list[Usage]:
    found: dict[str, Usage] = {}
    for option in picked(of, picks):
        engine, pool = of.configurations[option.configuration], of.problem.pools[option.pool]
        parts = [Usage(memory(pool.name), engine.memory_bytes, pool.memory_bytes, "bytes")]
        if engine.kv_bytes is not None:
            parts.append(Usage(memory(pool.name), option.choice.kv_bytes, engine.kv_bytes, "bytes of KV"))
        for each in parts:
            worst = found.get(each.name)
            if worst is None or each.used * worst.limit > worst.used * each.limit:
                found[each.name] = each
    return list(found.values())


def _links(of: Instance, picks: Picks, rate: float | None) -> list[Usage]:
    chosen, names = picked(of, picks), [pool.name for pool in of.problem.pools]
    found = [
        Usage(
            link(each.src, each.dst), moved * rate, each.capacity_bytes_per_s * of.problem.workload.utilisation, "B/s"
        )
        for each, moved in bytes_per_run(of, picks)
        if each.capacity_bytes_per_s is not None and rate is not None and moved
    ]
    for edge in of.edges:
        src, dst = chosen[edge.src], chosen[edge.dst]
        if math.isinf(delay_s(of, edge, src, dst)):
            found.append(Usage(link(names[src.pool], names[dst.pool]), 1.0, 0.0, "transfers"))
    return found
