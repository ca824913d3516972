"""One simulation of one policy at one rate and seed, and what is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import ceil
from statistics import fmean

from benchmarks.scheduling.cluster import cluster
from orchestrator.planner.policies import POLICIES, workload_balanced_urgency
from orchestrator.planner.policies.view import Policy
from orchestrator.planner.simulate.program import Program
from orchestrator.planner.simulate.simulation import simulate
from orchestrator.planner.study.text2sql import programs, templates

OURS = "critical-path+laxity"
BALANCED = "workload-balanced+urgency"
ROUND_ROBIN = "round-robin+fcfs"
FREENESS = "freeness+migration"
POLICY_NAMES = (ROUND_ROBIN, BALANCED, FREENESS, OURS)
HISTORY_SEED = 99
HISTORY = 500


@dataclass(frozen=True)
class Trial:
    """What to simulate. ``alpha`` is the workload-balanced policy's; its ``beta`` is 1, as only
    ``(1 - alpha) beta / alpha`` counts."""

    policy: str
    rate_per_s: float
    seed: int
    programs: int
    slo_s: float
    alpha: float | None = None

    def scheduler(self) -> Policy:
        """The policy with its setting."""
        return POLICIES[self.policy]() if self.alpha is None else workload_balanced_urgency(self.alpha)


@dataclass(frozen=True)
class Outcome:
    """Of one trial; latencies are of programs, exact."""

    mean_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    slo_attainment: float
    throughput_per_s: float
    hit_share: float


@cache
def known() -> tuple[Program, ...]:
    """What predictions have seen before the first program: drawn with a seed that no trial uses."""
    return templates(HISTORY, HISTORY_SEED)


def run(trial: Trial) -> Outcome:
    """Simulate."""
    latencies: list[float] = []

    def note(program: Program, end_s: float | None) -> None:
        assert end_s is not None, "no policy here turns programs away"
        latencies.append(end_s - program.arrival_s)

    load = programs(trial.programs, trial.rate_per_s, trial.seed, trial.slo_s)
    report = simulate(load, cluster(), trial.scheduler(), history=known(), observer=note)
    latencies.sort()
    return Outcome(
        mean_s=fmean(latencies),
        p50_s=_rank(latencies, 0.5),
        p95_s=_rank(latencies, 0.95),
        p99_s=_rank(latencies, 0.99),
        slo_attainment=sum(latency <= trial.slo_s for latency in latencies) / len(latencies),
        throughput_per_s=report.throughput_per_s or 0.0,
        hit_share=report.hit_share or 0.0,
    )


def _rank(ascending: list[float], share: float) -> float:
    """Nearest rank."""
    return ascending[ceil(share * len(ascending)) - 1]
