"""The scheduling benchmark: tuning and reporting kept apart, pairs kept together, rates found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from benchmarks import planner_policies
from benchmarks.scheduling.cluster import cluster
from benchmarks.scheduling.compare import Plan, capacities, measure, middle, reductions, tune
from benchmarks.scheduling.trial import BALANCED, OURS, POLICY_NAMES, ROUND_ROBIN, Outcome, Trial, run

PLAN = Plan((0.1, 0.4), (0.9, 0.5, 0.1), (101, 102), (1, 2, 3), 20, 255.0, 10)
OUTCOME = Outcome(50.0, 45.0, 100.0, 120.0, 1.0, 0.1, 0.9)


class Made:
    """Outcomes by formula: p95 is least at alpha 0.5 at low rates and 0.1 at high ones; an SLO is met up to a rate."""

    def __init__(self) -> None:
        self.seen: list[Trial] = []

    def __call__(self, trials: Sequence[Trial]) -> list[Outcome]:
        self.seen += trials
        return [self.outcome(trial) for trial in trials]

    @staticmethod
    def outcome(trial: Trial) -> Outcome:
        best = 0.5 if trial.rate_per_s < 0.2 else 0.1
        p95_s = 100.0 + trial.seed + (0.0 if trial.alpha is None else 50 * abs(trial.alpha - best))
        limit = {OURS: 0.4, ROUND_ROBIN: 0.001}.get(trial.policy, 0.2) * (1 + 0.1 * (trial.seed - 1))
        return replace(OUTCOME, p95_s=p95_s, slo_attainment=0.97 if trial.rate_per_s <= limit else 0.5)


def test_tuning_never_sees_a_reported_seed_and_reporting_never_a_tuning_seed() -> None:
    made = Made()
    tuned = tune(PLAN, made)
    assert tuned == {0.1: 0.5, 0.4: 0.1}
    assert {trial.seed for trial in made.seen} == set(PLAN.tuning_seeds)
    made.seen.clear()
    measure(PLAN, tuned, made)
    assert {trial.seed for trial in made.seen} == set(PLAN.seeds)
    assert {trial.alpha for trial in made.seen if trial.policy == BALANCED} == {0.5, 0.1}
    assert {trial.alpha for trial in made.seen if trial.policy != BALANCED} == {None}
    for plan in (planner_policies.FULL, planner_policies.QUICK):
        assert not set(plan.seeds) & set(plan.tuning_seeds)
        assert len(plan.seeds) >= 5


def test_reductions_pair_the_seeds() -> None:
    ours = [replace(OUTCOME, p95_s=p95) for p95 in (80.0, 90.0)]
    theirs = [replace(OUTCOME, p95_s=p95) for p95 in (100.0, 120.0)]
    assert reductions(ours, theirs) == pytest.approx([0.2, 0.25])
    assert middle(ours).p95_s == 85.0


def test_the_highest_rate_that_meets_an_slo_is_found_by_seed() -> None:
    found = capacities(PLAN, OURS, 0.95, {0.1: 0.5}, Made())
    assert found == pytest.approx([0.4, 0.44, 0.48], rel=0.01)
    assert all(rate <= 0.4 * (1 + 0.1 * i) for i, rate in enumerate(found))
    assert capacities(PLAN, ROUND_ROBIN, 0.95, {0.1: 0.5}, Made()) == [0.0, 0.0, 0.0]


def test_results_hold_every_policy_and_both_reductions() -> None:
    made = Made()
    tuned = tune(PLAN, made)
    found = measure(PLAN, tuned, made)
    results = list(planner_policies.results_of(PLAN, tuned, found, [OUTCOME] * 3))
    assert {result.arm for result in results} == {*POLICY_NAMES, "orchestrator", "alone"} - {OURS}
    (reduction,) = [r for r in results if r.metric == "p95_reduction" and r.case == "rate=0.1"]
    assert (reduction.value, reduction.low, reduction.high, reduction.n) == (0.0, 0.0, 0.0, 3)
    assert len({(r.case, r.arm, r.metric) for r in results}) == len(results)


def test_one_small_trial_of_each_policy() -> None:
    """Four replicas of unequal speed; the same programs, so the same work."""
    assert [spec.name for spec in cluster()] == ["a100-0", "a100-1", "a6000", "l40s"]
    found = {name: run(PLAN.trial(name, 0.1, 1, 0.5 if name == BALANCED else None)) for name in POLICY_NAMES}
    for outcome in found.values():
        assert 0 < outcome.p50_s <= outcome.p95_s <= outcome.p99_s
        assert 0 < outcome.throughput_per_s < 0.2
    assert found[OURS].p95_s < found[ROUND_ROBIN].p95_s
