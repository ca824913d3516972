"""Loads, rates and SLOs of a study."""

from __future__ import annotations

import pytest

from orchestrator.errors import PlanError
from orchestrator.planner.simulate.program import Program, Stage
from orchestrator.planner.simulate.speed import ReplicaSpec, ReplicaSpeed
from orchestrator.planner.study.grid import LOAD_SHARES, SLO_FACTOR, Load, burstiness_of, study

ONE_SECOND = ReplicaSpec("gpu", ReplicaSpeed(0.0, 0.0, 0.0, step_s=1.0), kv_blocks=64, max_batch=1)
"""A token a second, one request at a time."""
CALLS = tuple(Program(i, 10.0 * i, (Stage(4, 5),)) for i in range(20))
NAMES = ("round-robin+fcfs", "critical-path+laxity")


def test_rates_nobody_chose_run_from_light_load_to_overload() -> None:
    """Five seconds a call, one at a time: 0.2 a second at most."""
    found = study(Load(CALLS, 40, seed=1), [("one", [ONE_SECOND])], NAMES, (), None)
    assert [run.rate_per_s for run in found.runs[::2]] == pytest.approx([share * 0.2 for share in LOAD_SHARES])
    assert (found.slo_s, found.slo_given) == (5.0 * SLO_FACTOR, False)
    assert [(run.cluster, run.policy) for run in found.runs[:2]] == [("one", name) for name in NAMES]


def test_a_timed_load_is_replayed() -> None:
    found = study(Load(CALLS, 8, seed=1, timed=True), [("one", [ONE_SECOND])], NAMES[:1], (), 4.0)
    (run,) = found.runs
    assert run.rate_per_s == pytest.approx(0.1)
    assert run.latencies_s == (5.0,) * 8
    assert (run.report.slo_attainment, run.row()["goodput_per_s"], run.row()["simulated"]) == (0.0, 0.0, True)


def test_more_clusters_see_the_same_programs() -> None:
    clusters = [("one", [ONE_SECOND]), ("two", [ONE_SECOND] * 2)]
    one, two = study(Load(CALLS, 40, seed=1), clusters, NAMES[:1], (0.18,), None).runs
    assert one.report.requests == two.report.requests == 40
    assert sum(two.latencies_s) < sum(one.latencies_s)


def test_burstiness_is_the_traces_own_where_it_has_times() -> None:
    assert burstiness_of(CALLS) == pytest.approx(0.0)
    assert burstiness_of([Program(i, 0.0, (Stage(4, 5),)) for i in range(9)]) == 1.0
    assert burstiness_of(CALLS[:2]) == 1.0


def test_history_is_not_the_load() -> None:
    templates = tuple(Program(i, 0.0, (Stage(1 + i, 1),)) for i in range(200))
    load = Load(templates, 50, seed=3)
    drawn = [program.stages[0].prompt_tokens for program in load.programs(1.0, 9.0)]
    assert drawn != [program.stages[0].prompt_tokens for program in load.history()][:50]
    assert load.programs(1.0, 9.0) == load.programs(1.0, 9.0)


@pytest.mark.parametrize("rates", [(), (0.1,)])
def test_nothing_fits(rates: tuple[float, ...]) -> None:
    load = Load((Program(0, 0.0, (Stage(5000, 5),)),), 5, seed=1)
    with pytest.raises(PlanError, match="no program of the load fits") as caught:
        study(load, [("one", [ONE_SECOND])], NAMES, rates, None)
    assert caught.value.code == "ORCH-P078"


def test_what_does_not_fit_is_rejected_and_counts_as_late() -> None:
    mixed = (*CALLS, Program(0, 0.0, (Stage(5000, 5),)))
    (run,) = study(Load(mixed, 60, seed=1), [("one", [ONE_SECOND])], NAMES[:1], (0.01,), 100.0).runs
    assert 0 < run.report.rejected < 20
    assert run.report.programs + run.report.rejected == 60
    assert run.report.slo_attainment == pytest.approx(run.report.programs / 60)
