"""The simulator against queueing theory, where theory has answers."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from orchestrator.planner.policies import ROUND_ROBIN_FCFS
from orchestrator.planner.simulate.arrivals import gamma_arrivals
from orchestrator.planner.simulate.program import Program, Stage
from orchestrator.planner.simulate.simulation import simulate
from orchestrator.planner.simulate.speed import ReplicaSpec, ReplicaSpeed

STEP_S = 0.001
MEAN_STEPS = 1000
"""A service takes a second on average, a millisecond a token."""
SINGLE = ReplicaSpec(
    "single", ReplicaSpeed(token_s=0.0, weight_s=0.0, kv_token_s=0.0, step_s=STEP_S), kv_blocks=10_000, max_batch=1
)
COUNTS = {0.3: 8_000, 0.7: 20_000}
"""Requests at each load: waiting varies more, and is more correlated, at the higher one."""
PAIR = [SINGLE, SINGLE]


def one_at_a_time(count: int, rate_per_s: float, *, random_length: bool, seed: int) -> Iterator[Program]:
    """Poisson arrivals of calls whose service time is their number of tokens."""
    random = Random(seed)
    for number, time_s in zip(range(count), gamma_arrivals(rate_per_s, 1.0, seed), strict=False):
        tokens = max(1, round(random.expovariate(1 / MEAN_STEPS))) if random_length else MEAN_STEPS
        yield Program(number, time_s, (Stage(1, tokens),))


@pytest.mark.parametrize("rho", [0.3, 0.7])
def test_waiting_in_an_m_m_1_queue(rho: float) -> None:
    report = simulate(one_at_a_time(COUNTS[rho], rho, random_length=True, seed=4), [SINGLE], ROUND_ROBIN_FCFS)
    assert report.queueing.mean_s == pytest.approx(rho / (1 - rho), rel=0.08)
    assert report.replicas[0].utilisation == pytest.approx(rho, rel=0.03)


@pytest.mark.parametrize("rho", [0.3, 0.7])
def test_waiting_in_an_m_d_1_queue_is_half_of_that(rho: float) -> None:
    report = simulate(one_at_a_time(COUNTS[rho], rho, random_length=False, seed=5), [SINGLE], ROUND_ROBIN_FCFS)
    assert report.queueing.mean_s == pytest.approx(rho / (2 * (1 - rho)), rel=0.06)


def test_quantiles_of_the_time_in_an_m_m_1_queue() -> None:
    """The time in the system is exponential with rate mu - lambda."""
    report = simulate(one_at_a_time(20_000, 0.5, random_length=True, seed=6), [SINGLE], ROUND_ROBIN_FCFS)
    assert report.latency.p50_s == pytest.approx(0.6931 / 0.5, rel=0.05)
    assert report.latency.p95_s == pytest.approx(2.9957 / 0.5, rel=0.05)


def test_bursts_make_the_queue_longer() -> None:
    """Kingman: waiting grows with the sum of both squared coefficients of variation."""
    load = (
        Program(i, t, (Stage(1, MEAN_STEPS),)) for i, t in zip(range(20_000), gamma_arrivals(0.7, 2.0, 3), strict=False)
    )
    report = simulate(load, [SINGLE], ROUND_ROBIN_FCFS)
    assert report.queueing.mean_s == pytest.approx(0.7 / 0.3 * (4 + 0) / 2, rel=0.25)


@pytest.mark.parametrize("rate_per_s", [0.5, 1.5])
def test_littles_law(rate_per_s: float) -> None:
    """Programs in the system (an integral over time) = rate * time in the system (a mean over programs)."""
    report = simulate(one_at_a_time(5_000, rate_per_s, random_length=True, seed=7), PAIR, ROUND_ROBIN_FCFS)
    assert report.latency.mean_s is not None
    arrivals = report.programs / report.duration_s
    assert report.mean_programs == pytest.approx(arrivals * report.latency.mean_s, rel=1e-9)
