"""What is concluded from records and runs, and the cluster files that plans are made for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import plan_runs
from benchmarks.planned import elastic, placed
from benchmarks.planned.elastic import Ended, served_again_s
from orchestrator.planner.cluster_file import read_cluster


def record(*seconds: float, place: str = "engine:quick") -> dict[str, object]:
    said = {"lo": 1.0, "mid": 2.0, "hi": 4.0}
    plan = {"seconds": said, "ops": [{"id": "say", "place": "engine:quick", "seconds": said}]}
    runs = [{"seconds": each, "ops": [{"id": "say", "place": place, "seconds": each}]} for each in seconds]
    return {"plan": plan, "runs": runs}


def test_ops_and_runs_are_held_against_their_intervals() -> None:
    found = placed.executions(record(1.5, 5.0))
    assert (found.held, found.of, found.elsewhere, found.ops) == (2, 4, 0, 2)
    assert placed.summary([found]) == {"as_placed": 1.0, "inside": 0.5, "width": 4.0}


def test_an_op_that_ran_elsewhere_is_seen() -> None:
    found = placed.executions(record(1.5, 2.0, place="engine:thrifty"))
    assert found.elsewhere == 2
    assert placed.summary([found])["as_placed"] == 0.0


def test_a_wrong_plan_asks_the_other_engine_each_time(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    ops = [{"place": "engine:quick", "device": "fast"}, {"place": "ray-task", "device": "tools"}]
    plan.write_text(json.dumps({"ops": ops}))
    made = json.loads(placed.swapped(plan).read_text())["ops"]
    assert made == [{"place": "engine:thrifty", "device": "slow"}, {"place": "ray-task", "device": "tools"}]
    assert json.loads(plan.read_text())["ops"] == ops


@pytest.mark.parametrize(
    ("seconds_by_window", "expected"),
    [
        ([[1.0, 1.0], [1.1]], 0.0),
        ([[1.0, 9.0], [2.0], [1.0]], 10.0),
        ([[1.0], [1.0], [9.0]], None),
        ([], None),
    ],
)
def test_all_is_well_again_where_no_later_run_is_slow(
    seconds_by_window: list[list[float]], expected: float | None
) -> None:
    runs = [
        Ended(100.0 + elastic.WINDOW_S * number + 1.0, each, done=True)
        for number, window in enumerate(seconds_by_window)
        for each in window
    ]
    assert served_again_s([Ended(99.0, 50.0, done=True), *runs], 100.0, usual_p95_s=1.0) == expected


def test_the_cluster_files_are_read(tmp_path: Path) -> None:
    cluster = read_cluster(placed.cluster_file(tmp_path, placed.ENGINE_ON))
    assert {each.name: each.device for each in cluster.engines} == placed.ENGINE_ON
    assert read_cluster(elastic.cluster_file(tmp_path, 3)).engine("all").options == {"replicas": 3}


def test_an_unknown_case_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        plan_runs.main(["--cases", "elastic,none"])
    assert "there is no case none" in capsys.readouterr().err
