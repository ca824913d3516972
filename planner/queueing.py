"""Waiting for busy engines: what a plan takes when runs arrive at a rate instead of one at a time.

An engine batches. Of a call, the reading of weights and the host's work are shared by everything in the batch and the
rest (prefill arithmetic, KV reads) is not (:mod:`orchestrator.planner.breakdown`), so with ``b`` calls in flight on a
replica each takes ``S(b) = shared + b * own`` seconds. By Little's law ``b = arrivals * S(b)``, which gives ``b``; the
replica has a place for at most ``B`` calls, so it can take ``B / S(B)`` calls a second and is busy to a share of
``arrivals * S(B) / B``. Calls that find no place wait as in an M/G/k queue of ``k = replicas * B`` places.

>>> round(mgk_wait_s(arrivals_per_s=9.0, service_s=0.1, servers=1, variation=1.0), 6)   # M/M/1 at 90 %: 9 services
0.9

What is not priced: waiting for threads, people and services, whose places nobody knows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from orchestrator.errors import Diagnostic, PlanError
from orchestrator.planner.breakdown import SHARED
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.interval import ZERO, Interval
from orchestrator.planner.plan import OpPlan, Plan
from orchestrator.planner.rollup import with_seconds
from orchestrator.planner.serving import split_of
from orchestrator.planner.shares import ONE_REPLY, calls_by_engine, mixed, parts

REPLY_VARIATION: Final = 1.0
"""Squared coefficient of variation of one op's service time: reply lengths vary about as an exponential does."""
HIGH: Final = 0.9
"""The share of calls that wait at most the high end of a waiting time: intervals cover the central 80 %."""
NOTICED_S: Final = 1e-6
"""A mean wait below this is none."""


@dataclass(frozen=True, slots=True)
class Load:
    """What an engine has to do at a rate of runs."""

    engine: str
    replicas: int
    batch: int
    """Calls that one replica holds at once."""
    calls_per_run: float
    shared_s: float
    """A call costs so much once for a whole batch."""
    own_s: float
    """A call costs so much for each in a batch."""
    variation: float
    """Squared coefficient of variation of the service time."""

    def service_s(self, in_flight: float) -> float:
        """Seconds of a call among ``in_flight`` (at least 1) on its replica."""
        return self.shared_s + max(in_flight, 1.0) * self.own_s

    @property
    def capacity_runs_per_s(self) -> float:
        """Runs per second that keep every place busy."""
        return self.replicas * self.batch / self.service_s(self.batch) / self.calls_per_run

    def utilisation(self, rate_per_s: float) -> float:
        """Share of the capacity that ``rate_per_s`` runs take; 1 or more is overload."""
        return rate_per_s / self.capacity_runs_per_s

    def in_flight(self, rate_per_s: float) -> float:
        """Calls in flight on each replica, by Little's law; only below overload."""
        arrivals = rate_per_s * self.calls_per_run / self.replicas
        return max(arrivals * self.shared_s / (1 - arrivals * self.own_s), 1.0)

    def slowdown(self, rate_per_s: float) -> float:
        """By what factor the work of the others in the batch stretches a call."""
        in_flight = self.in_flight(rate_per_s)
        return self.service_s(in_flight) / self.service_s(1)

    def wait_s(self, rate_per_s: float) -> Interval:
        """Seconds until a call finds a place: nobody, the mean, and what :data:`HIGH` of the calls stay below."""
        arrivals, places = rate_per_s * self.calls_per_run, self.replicas * self.batch
        service_s = self.service_s(self.batch)
        mean = mgk_wait_s(arrivals, service_s, places, self.variation)
        if mean < NOTICED_S:
            return ZERO
        waits = erlang_c(places, arrivals * service_s)
        if waits <= 1 - HIGH:
            return Interval(0.0, mean, mean)
        # Those who wait do so for an exponential time, as in M/M/k, of the mean that M/G/k gives them.
        return Interval(0.0, mean, max(mean, mean / waits * math.log(waits / (1 - HIGH))))


def erlang_c(servers: int, offered: float) -> float:
    """The probability that an arrival in M/M/k has to wait; ``offered`` is arrivals times seconds of service.

    By the recursion of Erlang's B formula, which neither overflows nor cancels. 1 at and beyond overload.
    """
    if offered >= servers:
        return 1.0
    blocked = 1.0
    for each in range(1, servers + 1):
        blocked = offered * blocked / (each + offered * blocked)
    return blocked / (1 - offered / servers * (1 - blocked))


def mgk_wait_s(arrivals_per_s: float, service_s: float, servers: int, variation: float) -> float:
    """Mean seconds in the queue of M/G/k; infinite at and beyond overload.

    (1 + C²)/2 times that of M/M/k, with C² the squared coefficient of variation of the service time: Lee and Longton,
    "Queueing processes associated with airline passenger check-in", Operational Research Quarterly 10 (1959); exact for
    one server (Pollaczek-Khinchine) and for exponential service.
    """
    offered = arrivals_per_s * service_s
    if offered >= servers:
        return math.inf
    return (1 + variation) / 2 * erlang_c(servers, offered) * service_s / (servers - offered)


def loads(plan: Plan, samples: Mapping[str, int] = ONE_REPLY) -> dict[str, Load]:
    """The load of each engine of the plan whose hardware is known, by name; ``samples`` are replies by call."""
    calls = {
        name: [op for op in ops if op.batch_cap is not None] for name, ops in calls_by_engine(plan, samples).items()
    }
    return {name: _load(plan.cluster, name, ops) for name, ops in calls.items() if ops}


def capacity_runs_per_s(plan: Plan) -> float | None:
    """Runs per second that the busiest engine can take; ``None`` where no engine's hardware is known."""
    return min((each.capacity_runs_per_s for each in loads(plan).values()), default=None)


def replicas(engine: EngineSpec, cluster: Cluster) -> int:
    """How many replicas the engine has: what its options say, else as many as its share of the devices holds."""
    endpoints = engine.option("endpoints")
    if isinstance(endpoints, list) and endpoints:
        return len(endpoints)
    for name in ("replicas", "data_parallel_size"):
        wanted = engine.option(name)
        if isinstance(wanted, int) and wanted > 0:
            return wanted
    if engine.device is None:
        return 1
    sharing = [each for each in cluster.engines if each.device == engine.device]
    taken = sum(split.tp * split.pp for split in map(split_of, sharing))
    return max(cluster.device(engine.device).count // taken, 1)


def _load(cluster: Cluster, name: str, ops: Iterable[OpPlan]) -> Load:
    calls = seconds = squares = shared = batch = 0.0
    for op in ops:
        calls += op.count.mid
        seconds += op.count.mid * op.seconds.mid
        squares += op.count.mid * op.seconds.mid**2 * (1 + REPLY_VARIATION)
        shared += op.count.mid * sum(part for key, part in op.spent_s.items() if key in SHARED)
        batch += op.count.mid * (op.batch_cap or 0)
    mean = seconds / calls
    return Load(
        name,
        replicas(cluster.engine(name), cluster),
        max(int(batch / calls), 1),
        calls,
        shared / calls,
        mean - shared / calls,
        squares / calls / mean**2 - 1 if mean > 0 else REPLY_VARIATION,
    )


def at_rate(plan: Plan, rate_per_s: float, samples: Mapping[str, int] = ONE_REPLY) -> Plan:
    """The plan with ``rate_per_s`` runs arriving: model calls are stretched by their batch and wait for a place.

    The plan must not have been priced for a rate before. Costs stay: what a device costs while a call waits is paid by
    the calls that it works on. Raises :class:`PlanError` ORCH-P021 when an engine cannot keep up.
    """
    found = loads(plan, samples)
    overloaded = [each for each in found.values() if each.utilisation(rate_per_s) >= 1]
    if overloaded:
        raise PlanError.collect([_overload(each, rate_per_s) for each in overloaded])
    waits = {name: load.wait_s(rate_per_s) for name, load in found.items()}
    slowdowns = {name: load.slowdown(rate_per_s) for name, load in found.items()}
    priced: dict[str, OpPlan] = {}
    for op in plan.ops:
        if op.batch_cap is not None and op.count.mid > 0:
            each = [_waiting(part, waits[name], slowdowns[name]) for name, part in parts(plan, op, samples)]
            priced[op.id] = _one_of(op, each) if op.shares else each[0]
    rolled = with_seconds(plan, {name: op.seconds for name, op in priced.items()})
    ops = tuple(
        op.model_copy(update={"wait_s": priced[op.id].wait_s, "spent_s": priced[op.id].spent_s})
        if op.id in priced
        else op
        for op in rolled.ops
    )
    unknown = sorted({op.place for op in plan.ops if op.kind == "decode" and op.batch_cap is None})
    warnings = [f"waiting for {place} is not priced: its hardware is unknown" for place in unknown]
    return rolled.model_copy(
        update={
            "ops": ops,
            "rate_per_s": rate_per_s,
            "utilisation": {name: load.utilisation(rate_per_s) for name, load in found.items()},
            "warnings": (*plan.warnings, *warnings),
        }
    )


def _waiting(op: OpPlan, wait: Interval, slowdown: float) -> OpPlan:
    spent = {name: part * slowdown for name, part in op.spent_s.items()}
    if wait != ZERO:
        spent["waiting"] = wait.mid
    return op.model_copy(
        update={
            "seconds": op.seconds.scaled(slowdown) + wait,
            "wait_s": wait,
            "spent_s": spent,
        }
    )


def _one_of(op: OpPlan, waiting: list[OpPlan]) -> OpPlan:
    """The op, of whose calls each part waits for an engine of its own."""
    weights = [each.share for each in op.shares]
    spent: dict[str, float] = {}
    for part, weight in zip(waiting, weights, strict=True):
        for name, seconds in part.spent_s.items():
            spent[name] = spent.get(name, 0.0) + weight * seconds
    return op.model_copy(
        update={
            "seconds": mixed([part.seconds for part in waiting], weights),
            "wait_s": mixed([part.wait_s or ZERO for part in waiting], weights),
            "spent_s": dict(sorted(spent.items(), key=lambda part: -part[1])),
        }
    )


def _overload(load: Load, rate_per_s: float) -> Diagnostic:
    return Diagnostic(
        "ORCH-P021",
        f"overload: at {rate_per_s:g} runs/s engine {load.engine} would be busy {load.utilisation(rate_per_s):.0%} "
        "of the time",
        why=f"{load.replicas} replica{'s' * (load.replicas != 1)} with {load.batch} calls in flight each can take "
        f"{load.capacity_runs_per_s:.3g} runs/s at {load.calls_per_run:.3g} model calls a run",
        fix="lower the rate, or give the engine more or faster devices",
    )
