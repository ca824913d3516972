"""What the slow runs take when runs arrive at a rate: the plan's engines and runs, played in the simulator.

A run of a plan waits for engines that other runs keep busy, so its tail is not that of a run alone. Runs are drawn
(:mod:`orchestrator.planner.simulated_runs`), arrive at random at the rate, and go to replicas
(:mod:`orchestrator.planner.simulated_replicas`) by the policy that serves workflows,
:func:`~orchestrator.planner.policies.critical_path_laxity`. How wrong the estimates are is the same for a whole
deployment, so several (:data:`REPLICATIONS`) are played, each with errors of its own, from the strata of a normal
distribution; the percentile is taken of all their runs.

Everything is drawn from :data:`~orchestrator.planner.tail.SEED` and names: the same plan has the same tail.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from statistics import NormalDist, fmean
from typing import Final

from orchestrator.errors import PlanError
from orchestrator.planner.plan import Plan
from orchestrator.planner.policies import critical_path_laxity
from orchestrator.planner.simulate.arrivals import gamma_arrivals
from orchestrator.planner.simulate.program import Program
from orchestrator.planner.simulate.simulation import simulate
from orchestrator.planner.simulated_replicas import EngineModel, engine_models
from orchestrator.planner.simulated_runs import ELSEWHERE, Runs, stages_per_run
from orchestrator.planner.tail import COMMON, PERCENTILE, SEED, draws, quantiles

REPLICATIONS: Final = (8, 4)
"""Deployments that are played; fewer where so many runs are in the system that each must be played for long."""
MEASURED: Final = (60, 250)
"""Runs of a replication that count, at the least and at the most."""
WARM_UP: Final = 2.0
"""How many times as long as a run takes passes before runs count, or half of the time if that is less."""
MOST_STAGES: Final = 10_000
"""All replications together have so many: what a second or two is enough for."""
CROWD: Final = 128
"""Calls beside one on its replica that take as long to look at, when it is placed, as all else that is done for it."""
PATIENCE: Final = 3
"""How many times as many stages are played where runs are long and many are in the system at a time."""
LEAST_RUNS: Final = 40
"""A replication has so many at least; a workflow so large that not even these can be played is not simulated."""
FALLING_BEHIND: Final = (0.5, 0.7)
"""Share of the arrivals that ends while as many arrive, below which a replication is overloaded: where runs have
arrived for as long as one takes alone, and, if enough of them count, as one takes among the others."""


@dataclass(frozen=True, slots=True)
class SimulatedTail:
    """What the simulator says of a plan at a rate."""

    p95_s: float
    runs: int
    """That were measured."""
    rate_per_s: float
    policy: str
    replications: int
    overloaded: int
    """Replications in which runs arrived faster than they were done."""
    settled: bool
    """Whether runs arrived for long enough before others counted; if not, these waited for fewer than usual."""
    divisor: int
    """One in so many replicas was simulated, at that share of the rate."""

    @property
    def is_overload(self) -> bool:
        """Whether the plan cannot take the rate, its errors being neither good nor bad luck."""
        return 2 * self.overloaded >= self.replications

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may go wrong if the estimates are off."""
        found: tuple[str, ...] = ()
        if not self.settled:
            found = (
                "the simulated time is short beside that of a run: with more runs in the system p95 may be higher",
            )
        if not self.overloaded:
            return found
        return (
            *found,
            f"in {self.overloaded} of {self.replications} simulations, each with errors that the estimates may have, "
            f"{self.rate_per_s:g} runs/s were too many",
        )

    def note(self, alone_s: float) -> str:
        """One sentence for the reader of a plan whose runs have a p95 of ``alone_s`` when nothing else runs."""
        part = f", on one in {self.divisor} replicas at that share of the rate" if self.divisor > 1 else ""
        how = f"{self.runs:,} runs at {self.rate_per_s:g}/s{part}, policy {self.policy}, seed {SEED}"
        if self.p95_s >= alone_s:
            return f"p95 is simulated: {how}"
        return f"p95 is that of a run alone; simulated it is no more: {how}"


def simulated_tail(plan: Plan, rate_per_s: float, run_s: float, samples: Mapping[str, int]) -> SimulatedTail | None:
    """The tail of a plan whose seconds are those of runs alone.

    ``run_s`` is about how long a run takes at the rate, ``samples`` are the replies of each model call (1 where
    absent). ``None`` where no engine's hardware is known, and for workflows too large to be simulated.
    """
    engines = engine_models(plan, samples)
    stages = max(stages_per_run(plan, samples), 1.0)
    if not engines or stages * LEAST_RUNS * min(REPLICATIONS) > MOST_STAGES:
        return None
    run_s = max(run_s, float(draws(plan).mean()))  # long runs last longest, and are in the system most of the time
    stages *= 1 + _calls_beside(engines, rate_per_s * run_s) / CROWD
    warm_up = WARM_UP * rate_per_s * run_s
    divisor = _divisor(engines, warm_up, MOST_STAGES / min(REPLICATIONS) / stages / 2)
    # As many count as pass before, so that it shows whether they are done as fast as they arrive.
    warm_up /= divisor
    least, most = (warm_up + max(warm_up, each) for each in MEASURED)
    strata = next((each for each in REPLICATIONS if least * each * stages <= MOST_STAGES), min(REPLICATIONS))
    # Overload shows where runs arrive for more than twice as long as one takes, even if that takes longer to play.
    settling = min(max(3 * warm_up / WARM_UP, 2 * LEAST_RUNS), PATIENCE * MOST_STAGES / strata / stages)
    count = int(max(min(most, MOST_STAGES / strata / stages), settling, LEAST_RUNS))
    scene = _Scene(plan, engines, samples, rate_per_s / divisor, run_s, divisor, strata, count)
    played = [_play(scene, number) for number in range(strata)]
    latencies = sorted(seconds for each in played for seconds in each.latencies)
    place = PERCENTILE / 100 * (len(latencies) - 1)
    below, above = latencies[math.floor(place)], latencies[math.ceil(place)]
    return SimulatedTail(
        p95_s=below + (above - below) * (place - math.floor(place)),
        runs=len(latencies),
        rate_per_s=rate_per_s,
        policy=critical_path_laxity().name,
        replications=strata,
        overloaded=sum(each.overloaded for each in played),
        settled=all(each.settled for each in played),
        divisor=divisor,
    )


@dataclass(frozen=True, slots=True)
class _Scene:
    """What all replications have in common."""

    plan: Plan
    engines: Mapping[str, EngineModel]
    samples: Mapping[str, int]
    rate_per_s: float
    run_s: float
    divisor: int
    strata: int
    count: int
    """Runs of a replication."""

    @property
    def first(self) -> int:
        """The first run that counts."""
        return min(int(WARM_UP * self.rate_per_s * self.run_s), self.count // 2)


@dataclass(frozen=True, slots=True)
class _Played:
    latencies: list[float]
    overloaded: bool
    settled: bool


def _divisor(engines: Mapping[str, EngineModel], warm_up: float, most: float) -> int:
    """Into how many equal parts the cluster is cut so that one of them warms up within ``most`` runs.

    Parts queue apart, which overstates waiting; their load is the same.
    """
    common = math.gcd(*(each.replicas for each in engines.values()))
    divisors = [each for each in range(1, common + 1) if common % each == 0]
    return next((each for each in divisors if warm_up / each <= most), common)


def _calls_beside(engines: Mapping[str, EngineModel], in_system: float) -> float:
    return max(min(in_system / each.replicas, each.spec.max_batch) for each in engines.values())


def _play(scene: _Scene, replication: int) -> _Played:
    def deviate(place: str) -> float:
        return _deviate(place, replication, scene.strata)

    runs = Runs(scene.plan, scene.engines, scene.samples, deviate, replication)
    times = list(islice(gamma_arrivals(scene.rate_per_s, 1.0, SEED + replication), scene.count))
    programs = [runs.program(number, time) for number, time in enumerate(times)]
    specs = [ELSEWHERE]
    for engine in scene.engines.values():
        specs += engine.specs(_factor(engine, deviate(f"engine:{engine.name}")), scene.divisor)
    ends: list[tuple[float, float]] = []

    def done(program: Program, end_s: float | None) -> None:
        if end_s is not None:
            ends.append((program.arrival_s, end_s))

    simulate(programs, specs, critical_path_laxity(), history=programs[:LEAST_RUNS], observer=done)
    return _found(scene, times, ends)


def _found(scene: _Scene, times: Sequence[float], ends: Sequence[tuple[float, float]]) -> _Played:
    """From when runs arrived, and from (arrival, end) of each that ended."""
    from_s, counted = times[scene.first], scene.count - scene.first
    latencies = [end_s - arrival_s for arrival_s, end_s in ends if arrival_s >= from_s]
    done_share = sum(from_s <= end_s <= times[-1] for _, end_s in ends) / counted
    # Before runs have arrived for as long as they take, fewer end than arrive in any case.
    passed_s = min(from_s, times[-1] - from_s)
    settled = [passed_s >= scene.run_s, passed_s >= max(scene.run_s, fmean(latencies)) and counted >= LEAST_RUNS]
    behind = any(each and done_share < least for each, least in zip(settled, FALLING_BEHIND, strict=True))
    return _Played(latencies, behind, passed_s >= scene.run_s / 2)


def _deviate(place: str, replication: int, strata: int) -> float:
    """Of the error that all runs of a replication have in common at a place: one from each stratum of a normal
    distribution with :data:`COMMON` of the variance, in an order of the place's own."""
    order = list(range(strata))
    Random(f"{SEED} {place}").shuffle(order)
    return NormalDist(0.0, math.sqrt(COMMON)).inv_cdf((order[replication] + 0.5) / strata)


def _factor(engine: EngineModel, deviate: float) -> float:
    import numpy as np

    return float(quantiles(engine.error, np.array(deviate)))


def overload(tail: SimulatedTail) -> PlanError:
    """The error for a plan that :attr:`SimulatedTail.is_overload` is true of."""
    return PlanError(
        "ORCH-P021",
        f"overload: at {tail.rate_per_s:g} runs/s runs are not done as fast as they arrive",
        why=f"so it was in {tail.overloaded} of {tail.replications} simulations of {tail.runs:,} runs together; long "
        "prompts and replies take more than those in the middle of their intervals",
        fix="lower the rate, give the engines more or faster devices, or bound replies with max_tokens",
    )
