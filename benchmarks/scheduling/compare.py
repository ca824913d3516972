"""Tune on some seeds, compare on others: the same programs for every policy, so that seeds pair."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import log
from statistics import fmean, median

from benchmarks.scheduling.trial import BALANCED, OURS, POLICY_NAMES, Outcome, Trial

RunAll = Callable[[Sequence[Trial]], list[Outcome]]
ALONE_PER_S = 1e-4
"""At this rate nearly every program has the cluster, with warm caches, to itself."""


@dataclass(frozen=True)
class Plan:
    """The size of a study."""

    rates_per_s: tuple[float, ...]
    alphas: tuple[float, ...]
    tuning_seeds: tuple[int, ...]
    seeds: tuple[int, ...]
    programs: int
    slo_s: float
    bisections: int

    def trial(self, policy: str, rate_per_s: float, seed: int, alpha: float | None = None) -> Trial:
        """One simulation of this size."""
        return Trial(policy, rate_per_s, seed, self.programs, self.slo_s, alpha)


LOWEST_PER_S, HIGHEST_PER_S = 0.02, 1.28
"""Where the highest rate that meets an SLO is looked for."""


def tune(plan: Plan, run_all: RunAll) -> dict[float, float]:
    """The ``alpha`` with the least mean p95 over the tuning seeds, by rate."""
    keys = list(product(plan.rates_per_s, plan.alphas))
    trials = [plan.trial(BALANCED, rate, seed, alpha) for rate, alpha in keys for seed in plan.tuning_seeds]
    found = iter(run_all(trials))
    p95 = {key: fmean(next(found).p95_s for _ in plan.tuning_seeds) for key in keys}
    return {rate: min(plan.alphas, key=lambda alpha: p95[rate, alpha]) for rate in plan.rates_per_s}


def measure(plan: Plan, tuned: Mapping[float, float], run_all: RunAll) -> dict[tuple[float, str], list[Outcome]]:
    """Outcomes by rate and policy, one a reported seed, in the order of the seeds."""
    keys = list(product(plan.rates_per_s, POLICY_NAMES))
    trials = [
        plan.trial(policy, rate, seed, tuned[rate] if policy == BALANCED else None)
        for rate, policy in keys
        for seed in plan.seeds
    ]
    found = iter(run_all(trials))
    return {key: [next(found) for _ in plan.seeds] for key in keys}


def alone(plan: Plan, run_all: RunAll) -> list[Outcome]:
    """Of the reported programs when they do not meet: no policy gets a p95 much below this one, at any load."""
    return run_all([plan.trial(OURS, ALONE_PER_S, seed) for seed in plan.seeds])


def capacities(
    plan: Plan, policy: str, attainment: float, tuned: Mapping[float, float], run_all: RunAll
) -> list[float]:
    """The highest rate at which that share of programs meets the SLO, by reported seed (bisection in the logarithm).

    0 where even the lowest rate misses it. The workload-balanced policy uses the ``alpha`` of the nearest tuned rate.
    """

    def trials(rates: Iterable[float]) -> list[Trial]:
        return [
            plan.trial(policy, rate, seed, _nearest(tuned, rate) if policy == BALANCED else None)
            for rate, seed in zip(rates, plan.seeds, strict=True)
        ]

    low, high = [LOWEST_PER_S] * len(plan.seeds), [HIGHEST_PER_S] * len(plan.seeds)
    lowest_met = [outcome.slo_attainment >= attainment for outcome in run_all(trials(low))]
    for _ in range(plan.bisections):
        middle = [(a * b) ** 0.5 for a, b in zip(low, high, strict=True)]
        for i, outcome in enumerate(run_all(trials(middle))):
            if outcome.slo_attainment >= attainment:
                low[i] = middle[i]
            else:
                high[i] = middle[i]
    return [rate if met else 0.0 for rate, met in zip(low, lowest_met, strict=True)]


def reductions(ours: Sequence[Outcome], theirs: Sequence[Outcome]) -> list[float]:
    """By how much our p95 is below theirs, seed by seed."""
    return [1 - mine.p95_s / other.p95_s for mine, other in zip(ours, theirs, strict=True)]


def middle(outcomes: Sequence[Outcome]) -> Outcome:
    """Median of each figure."""
    names = Outcome.__dataclass_fields__
    return replace(outcomes[0], **{name: median(getattr(each, name) for each in outcomes) for name in names})


def _nearest(tuned: Mapping[float, float], rate: float) -> float:
    return tuned[min(tuned, key=lambda known: abs(log(known / rate)))]
