"""The overhead workloads at tiny sizes, in bare asyncio and through the process protocol; no peer is needed."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.arms import asyncio_floor
from benchmarks.arms.workloads import DEGREE, LAYERS, SIZES, expected, layered_dag, payload, sinks, steps
from benchmarks.harness.machine import Machine
from benchmarks.harness.process import ArmError, ArmProcess
from benchmarks.harness.record import OURS, Report
from benchmarks.harness.turns import Bench, Live
from benchmarks.overhead import ARMS, table

TINY = {"W1": 5, "W2": 4, "W3": 60, "W4": 2}


@pytest.mark.parametrize(("case", "value"), [("W1", 5), ("W2", 1 + 2 + 3 + 4), ("W4", 2 * 10 * 2)])
def test_expected_values_by_hand(case: str, value: int) -> None:
    assert expected(case, TINY[case]) == value


def test_the_dag_is_layered_seeded_and_as_large_as_promised() -> None:
    deps = layered_dag(SIZES["W3"])
    width = SIZES["W3"] // LAYERS
    assert len(deps) == 2000
    assert sum(not ps for ps in deps.values()) == width
    assert all(len(set(ps)) == DEGREE and {p // width for p in ps} == {k // width - 1} for k, ps in deps.items() if ps)
    assert deps == layered_dag(SIZES["W3"])
    assert sinks({0: (), 1: (0,), 2: (0,)}) == [1, 2]


def test_a_state_is_about_200_bytes() -> None:
    import json

    assert 180 <= len(json.dumps(payload(0))) <= 220


def test_steps_count_the_source_and_the_join_of_a_fan_out() -> None:
    assert [steps(case, SIZES[case]) for case in SIZES] == [1000, 1002, 2000, 4000]


@pytest.mark.parametrize("case", SIZES)
def test_the_floor_returns_what_is_expected(case: str) -> None:
    assert asyncio_floor.CASES[case](TINY[case])() == expected(case, TINY[case])


@pytest.fixture
def floor() -> Iterator[ArmProcess]:
    with ArmProcess(Path(sys.executable), "benchmarks.arms.asyncio_floor") as process:
        yield process


def test_an_arm_builds_and_runs_on_request_and_survives_an_error(floor: ArmProcess) -> None:
    assert floor.hello["arm"] == "asyncio"
    with pytest.raises(ArmError, match="nothing was built"):
        floor.request(10, do="run")
    with pytest.raises(ArmError, match="KeyError"):
        floor.request(10, do="build", case="W9", size=1)
    assert floor.request(10, do="build", case="W1", size=5)["build_s"] >= 0
    reply = floor.request(10, do="run")
    assert reply["value"] == 5
    assert reply["wall_s"] > 0


def test_an_arm_that_does_not_start_names_the_reason() -> None:
    with pytest.raises(ArmError, match="No module named"):
        ArmProcess(Path(sys.executable), "benchmarks.arms.no_such_arm")


def test_a_slow_arm_is_given_up_on(floor: ArmProcess) -> None:
    floor.request(10, do="build", case="W4", size=1)
    with pytest.raises(ArmError, match="no answer within"):
        floor.request(0.05, do="run")


def test_the_benchmark_measures_and_skips(floor: ArmProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(repetitions=2, sizes=TINY, quick=True)
    live = Live(ARMS[0], floor)
    bench.measure("W1", [live])
    bench.measure("W5", [live])
    monkeypatch.setattr("benchmarks.harness.turns.expected", lambda case, n: -1)
    bench.measure("W2", [live])
    assert {(r.case, r.metric, r.n) for r in bench.results} == {
        ("W1", "us_per_step", 2),
        ("W1", "us_per_step_net", 2),
        ("W1", "build_s", 1),
    }
    assert [(s.case, s.reason) for s in bench.skipped] == [
        ("W5", "has no such construct"),
        ("W2", f"returned {expected('W2', 4)} instead of -1"),
    ]
    machine = Machine(cpu="c", cores=2, memory_gib=8, system="s", python="3", busy_before=0, load_before=0)
    report = Report(benchmark="overhead", machine=machine, versions={}, results=bench.results)
    assert "asyncio" in table(report)


def test_our_arm_is_called_orchestrator_and_peers_have_venvs() -> None:
    assert OURS in {arm.name for arm in ARMS}
    assert {arm.name for arm in ARMS if arm.requirements} == {"hamilton", "burr", "pydantic-graph", "langgraph"}
