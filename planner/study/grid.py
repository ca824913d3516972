"""Policies x clusters x load: one simulation each, on the same programs.

A :class:`Load` is either a trace with its own times, replayed, or programs drawn from templates at a chosen rate with
Gamma gaps. Rates that nobody chose run from light to overload: shares of the rate at which programs leave a cluster
that has all of them at once. Predictions start from another draw of the same templates, never from the load itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from orchestrator.errors import PlanError
from orchestrator.planner.policies import POLICIES
from orchestrator.planner.simulate.arrivals import draw, fit_arrivals, gamma_arrivals
from orchestrator.planner.simulate.program import Program
from orchestrator.planner.simulate.report import SimulationReport
from orchestrator.planner.simulate.simulation import simulate
from orchestrator.planner.simulate.speed import ReplicaSpec

LOAD_SHARES: Final = (0.25, 0.5, 0.75, 1.0, 1.25)
SLO_FACTOR: Final = 5.0
"""An SLO that nobody gave is so many times the median latency of programs that have the cluster to themselves."""
BULK: Final = 0.8
"""Programs that leave a full cluster; the last ones leave one that runs dry."""
PROBES: Final = 100
HISTORY: Final = 300
_HISTORY_SEED_OFFSET: Final = 1_000_003


@dataclass(frozen=True, slots=True)
class Load:
    """Programs to draw from, and how."""

    templates: tuple[Program, ...]
    requests: int
    """Programs of a simulation."""
    seed: int
    burstiness: float = 1.0
    """Standard deviation of the gaps over their mean."""
    timed: bool = False
    """The templates have arrival times of their own, to be replayed where no rate is given."""

    def programs(self, rate_per_s: float | None, slo_s: float) -> list[Program]:
        """The load at that rate; as recorded for ``None``."""
        if rate_per_s is None:
            return [replace(program, slo_s=slo_s) for program in self.templates[: self.requests]]
        times = gamma_arrivals(rate_per_s, self.burstiness, self.seed)
        return list(draw(self.templates, times, self.requests, self.seed, slo_s))

    def history(self) -> list[Program]:
        """What predictions start from."""
        seed = self.seed + _HISTORY_SEED_OFFSET
        return list(draw(self.templates, gamma_arrivals(1.0, 1.0, seed), HISTORY, seed))


@dataclass(frozen=True, slots=True)
class Run:
    """One simulation."""

    cluster: str
    policy: str
    rate_per_s: float
    """It is the rate of arrivals; of a replayed trace it is the mean."""
    report: SimulationReport
    latencies_s: tuple[float, ...]
    """They are those of the programs that were done, ascending."""

    def row(self) -> dict[str, object]:
        """One line of the table."""
        report = self.report
        return {
            "simulated": True,
            "cluster": self.cluster,
            "policy": self.policy,
            "rate_per_s": self.rate_per_s,
            "programs": report.programs,
            "rejected": report.rejected,
            "mean_s": report.latency.mean_s,
            "p50_s": report.latency.p50_s,
            "p95_s": report.latency.p95_s,
            "p99_s": report.latency.p99_s,
            "ttft_p95_s": report.ttft.p95_s,
            "tpot_p50_s": report.tpot.p50_s,
            "slo_attainment": report.slo_attainment,
            "goodput_per_s": report.goodput_per_s,
            "throughput_per_s": report.throughput_per_s,
            "hit_share": report.hit_share,
            "preemptions": report.preemptions,
        }


@dataclass(frozen=True, slots=True)
class Study:
    """Everything simulated, and with which SLO."""

    runs: tuple[Run, ...]
    slo_s: float
    slo_given: bool


def burstiness_of(programs: Sequence[Program]) -> float:
    """Of a trace's own arrivals; 1 (Poisson) where there are too few of them or they have no times."""
    times = [program.arrival_s for program in programs]
    return fit_arrivals(times).cv if len(times) > 2 and times[-1] > times[0] else 1.0


def study(
    load: Load, clusters: Sequence[tuple[str, Sequence[ReplicaSpec]]], policies: Sequence[str],
    rates_per_s: Sequence[float], slo_s: float | None,
) -> Study:  # fmt: skip
    """Run them all. Without rates a timed load is replayed, and another gets five rates from light to overload.

    Raises :class:`PlanError` as :func:`~orchestrator.planner.simulate.simulation.simulate`, ORCH-P070 for a rate or
    burstiness that cannot be, and ORCH-P078 when nothing fits the first cluster.
    """
    history = load.history()
    wanted: Sequence[float | None] = rates_per_s
    if not rates_per_s:
        wanted = [None] if load.timed else _rates(load, clusters[0][1], history)
    slo = unloaded_s(load, clusters[0][1], history) * SLO_FACTOR if slo_s is None else slo_s
    runs = []
    for rate in wanted:
        programs = load.programs(rate, slo)
        for name, cluster in clusters:
            for policy in policies:
                found = _run(programs, cluster, policy, history)
                runs.append(Run(name, policy, _rate(programs) if rate is None else rate, *found))
    return Study(tuple(runs), slo, slo_s is not None)


def unloaded_s(load: Load, cluster: Sequence[ReplicaSpec], history: Sequence[Program]) -> float:
    """Median latency of programs that have the cluster to themselves."""
    chosen = draw(load.templates, gamma_arrivals(1.0, 0.0, 0), PROBES, load.seed)
    done = (_run([replace(program, arrival_s=0.0)], cluster, _FIRST, history)[1] for program in chosen)
    alone = _fitting(sorted(chain.from_iterable(done)))
    return alone[len(alone) // 2]


def _fitting(latencies_s: Sequence[float]) -> Sequence[float]:
    """The latencies, if there are any."""
    if not latencies_s:
        raise PlanError(
            "ORCH-P078",
            "no program of the load fits any replica of the cluster",
            why="the KV of its longest call needs more blocks than a replica has",
            fix="use devices with more memory, or a trace with shorter calls",
        )
    return latencies_s


def _rates(load: Load, cluster: Sequence[ReplicaSpec], history: Sequence[Program]) -> list[float]:
    """The rates, from light to overload."""
    at_once = [replace(program, arrival_s=0.0) for program in load.programs(1.0, float("inf"))]
    ends_s = _fitting(_run(at_once, cluster, _FIRST, history)[1])
    bulk = max(1, int(BULK * len(ends_s)))
    return [float(f"{share * bulk / ends_s[bulk - 1]:.3g}") for share in LOAD_SHARES]


_FIRST: Final = "freeness+migration"
"""Whose throughput sets the rates: a policy that needs no predictions."""


def _run(
    programs: Sequence[Program], cluster: Sequence[ReplicaSpec], policy: str, history: Sequence[Program]
) -> tuple[SimulationReport, tuple[float, ...]]:
    latencies: list[float] = []

    def note(program: Program, end_s: float | None) -> None:
        if end_s is not None:
            latencies.append(end_s - program.arrival_s)

    report = simulate(programs, cluster, POLICIES[policy](), history=history, observer=note)
    return report, tuple(sorted(latencies))


def _rate(programs: Sequence[Program]) -> float:
    span_s = programs[-1].arrival_s - programs[0].arrival_s
    return (len(programs) - 1) / span_s if span_s > 0 else float(len(programs))
