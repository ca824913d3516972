"""The output model of every benchmark, and the tables made of it."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks.harness.machine import Machine, describe
from benchmarks.harness.record import OURS, Report, Result, Skip, read
from benchmarks.report import load, render, update

MACHINE = Machine(
    cpu="Test CPU", cores=2, memory_gib=8, system="Linux 6", python="3.11.7", busy_before=0.5, load_before=1.0
)


def result(**changes: object) -> Result:
    fields = {"case": "W1", "arm": OURS, "metric": "us_per_step", "value": 4.0, "unit": "us", "n": 3}
    return Result.model_validate(fields | changes)


def report(*results: Result, **changes: object) -> Report:
    fields = {
        "benchmark": "overhead",
        "command": "python -m benchmarks.overhead",
        "machine": MACHINE,
        "versions": {"python": "3.11.7"},
        "seeds": {"W3": 7},
        "results": list(results),
    }
    return Report.model_validate(fields | changes)


def test_a_report_survives_its_file_and_holds_the_promised_keys(tmp_path: Path) -> None:
    made = report(result(low=3.5, high=5.0), skipped=[Skip(arm="burr", case="W3", reason="has no DAG")])
    path = tmp_path / "deep" / "overhead.json"
    made.write(path)
    assert read(path) == made
    raw = json.loads(path.read_text())
    assert {"benchmark", "machine", "versions", "seeds", "results"} <= raw.keys()
    assert {"case", "arm", "metric", "value", "unit", "n"} <= raw["results"][0].keys()
    assert raw["skipped"] == [{"arm": "burr", "case": "W3", "reason": "has no DAG"}]


@pytest.mark.parametrize(
    "changes",
    [{"n": 0}, {"value": float("nan")}, {"value": float("inf")}, {"low": 1.0}, {"low": 2.0, "high": 1.0}, {"unit": ""}],
)
def test_a_result_that_means_nothing_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        result(**changes)


def test_one_figure_is_given_once() -> None:
    with pytest.raises(ValidationError, match="two results"):
        report(result(), result(value=5.0))


def test_the_machine_is_described_without_its_name_or_paths() -> None:
    text = describe().model_dump_json()
    import platform

    assert platform.node() not in text or not platform.node()
    assert "/" not in text.replace("Linux/", "")


def test_a_target_is_reported_met_missed_and_not_measured(tmp_path: Path) -> None:
    report(
        result(value=4.0),
        result(case="W2", value=9.0),
        result(case="W1", arm="burr", value=35.0),
        result(case="W2", arm="burr", value=8.0),
        result(case="W1", arm="asyncio", value=0.6),
    ).write(tmp_path / "overhead.json")
    lines = render(load(tmp_path)).splitlines()

    def row(start: str) -> str:
        return next(line for line in lines if line.startswith(f"| {start}"))

    assert "| met |" in row("overhead `W1` us_per_step")
    assert "| **missed** |" in row("overhead `W2` us_per_step")
    assert "not measured" in row("overhead `W3` us_per_step")
    assert "4 against 35 (burr) | met" in row("overhead `W1` rank")
    assert "**missed**" in row("overhead `W2` rank")
    assert any("**loaded**" in line for line in lines)


def test_update_replaces_only_what_stands_between_the_markers() -> None:
    readme = "head\n<!-- figures: begin -->\nold\n<!-- figures: end -->\ntail\n"
    assert update(readme, "new\n") == "head\n<!-- figures: begin -->\n\nnew\n\n<!-- figures: end -->\ntail\n"
    with pytest.raises(ValueError, match="figures"):
        update("no markers", "new")
