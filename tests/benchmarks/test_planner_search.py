"""The instances the search is measured on, and how distance to the oracle is counted."""

from __future__ import annotations

import math

from benchmarks import planner_search
from benchmarks.arms import placement_cases as cases
from orchestrator.planner.solver.one_model import Shape
from tests.planner.placements import brute_force, random_problem


def test_agreement_is_a_gap_of_zero_and_disagreement_about_a_plan_is_infinite() -> None:
    [gap] = planner_search.against_brute_force(6)
    assert (gap.case, gap.metric, gap.value, gap.n) == ("brute-force", "max_gap", 0.0, 6)
    problem = next(each for seed in range(20) if brute_force(each := random_problem(seed, most_plans=500)) is not None)
    assert planner_search.distance(problem, "cost", None) == math.inf


def test_instances_follow_from_their_seeds() -> None:
    assert cases.random_workflow(5, 8, 3, 1.0) == cases.random_workflow(5, 8, 3, 1.0)
    assert cases.random_workflow(5, 8, 3, 1.0) != cases.random_workflow(6, 8, 3, 1.0)


def test_the_large_cluster_has_4096_gpus_of_six_types() -> None:
    assert len(cases.GPUS) == 6
    assert sum(cases.GPUS.values()) == 4096


def test_a_worker_that_cannot_hold_the_weights_has_no_performance() -> None:
    h100 = cases.pool_of("h100-sxm", 8)
    assert cases.roofline("llama-3.1-70b", h100, Shape("aggregated", 1), 1000, 100) is None
    found = cases.roofline("llama-3.1-70b", h100, Shape("aggregated", 4, batch=8), 1000, 100)
    assert found is not None
    assert found.kv_tokens > 0
