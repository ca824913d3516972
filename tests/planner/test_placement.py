"""The solver against brute force, and what must hold for every plan."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import PlanError
from orchestrator.planner.placement import (
    Choice,
    Configuration,
    Link,
    Objective,
    Op,
    Pool,
    Problem,
    Transfer,
    Workload,
    pareto,
    solve,
)
from tests.planner.placements import (
    assert_keeps_all_limits,
    best_throughput,
    brute_force,
    random_problem,
    with_call,
)

OBJECTIVES: tuple[Objective, ...] = ("cost", "latency", "energy")
SEEDS = st.integers(0, 10**6)


def best(problem: Problem, objective: Objective) -> float | None:
    """The solver's optimum; ``None`` where it says there is no plan or that an op fits nowhere."""
    try:
        found = solve(problem, objective, gap=0.0)
    except PlanError as error:
        assert error.code in ("ORCH-P044", "ORCH-P047"), error
        return None
    if objective != "throughput":
        assert_keeps_all_limits(problem, found)
    assert found.gap <= 1e-6
    return found.value


def same(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=5e-6, abs_tol=1e-12)


def assert_optimal(problem: Problem) -> None:
    oracle = brute_force(problem)
    for objective in OBJECTIVES:
        assert same(best(problem, objective), oracle and oracle[objective]), objective


@pytest.mark.parametrize("seed", range(24))
def test_the_optimum_is_that_of_brute_force(seed: int) -> None:
    assert_optimal(random_problem(seed, most_plans=3000))


@pytest.mark.parametrize("seed", range(24, 40))
def test_calls_in_two_halves_too(seed: int) -> None:
    assert_optimal(with_call(random_problem(seed, most_ops=3), seed))


@pytest.mark.parametrize("seed", range(100, 112))
def test_the_highest_throughput_too(seed: int) -> None:
    problem = random_problem(seed, most_ops=4, pools=2)
    problem = replace(problem, workload=replace(problem.workload, budget_usd_per_hour=None))
    if not any(choice.busy_s for op in problem.ops for choice in op.choices):
        pytest.skip("nothing occupies a device")
    assert same(best(problem, "throughput"), best_throughput(problem))
