"""Records of runs, and what they say about the plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import PlanError
from orchestrator.planner.analyze import analyze, observations, render_analysis, why_not_learned
from orchestrator.planner.interval import Interval
from orchestrator.planner.plan import PLAN_VERSION
from orchestrator.planner.record import RECORD_VERSION, OpMeasured, RunMeasured, RunRecord, Tokens
from orchestrator.planner.table import cells
from tests.planner.test_observations import calls


def ran(name: str, seconds: float, out: int | None = None, into: int = 100, **changes: Any) -> OpMeasured:
    usage = Tokens(input_tokens=into, output_tokens=out) if out is not None else None
    return OpMeasured(id=name, seconds=seconds, usage=usage, **changes)


def record(*runs: list[OpMeasured], simulated: bool = False, concurrency: int = 1, **call: Any) -> RunRecord:
    """Runs of a model call ``ask`` (2 s for 100 tokens in and 50 out) and a tool ``run``."""
    plan = calls()
    tokens = {"tokens_in": Interval(50, 100, 200), "tokens_out": Interval(10, 50, 90)}
    ask = plan.ops[0].model_copy(update={**tokens, **call})
    measured = [
        RunMeasured(run_id=f"run_{n}", seconds=sum(op.seconds for op in ops), ops=tuple(ops))
        for n, ops in enumerate(runs)
    ]
    plan = plan.model_copy(update={"ops": (ask, *plan.ops[1:])})
    return RunRecord(plan=plan, runs=tuple(measured), simulated=simulated, concurrency=concurrency)


def test_a_record_round_trips(tmp_path: Path) -> None:
    made = record([ran("ask", 2.0, 50), ran("run", 1.0)])
    made.save(tmp_path / "r.json")
    assert RunRecord.load(tmp_path / "r.json") == made


def test_the_worst_prediction_comes_first() -> None:
    found = analyze(record([ran("run", 2.1), ran("ask", 10.0, 50)], [ran("ask", 6.0, 50)]))
    assert [op.id for op in found.ops] == ["ask", "run"]
    ask, run = found.ops
    assert ask.ratio == pytest.approx(4.0)
    assert (ask.covered, ask.inside, ask.executions) == (False, 0, 2)
    assert run.ratio == pytest.approx(1.05)
    assert (run.covered, run.inside, run.executions) == (True, 1, 1)


def test_faster_than_predicted_is_as_wrong_as_slower() -> None:
    found = analyze(record([ran("run", 3.0), ran("ask", 0.5, 50)]))
    assert [op.id for op in found.ops] == ["ask", "run"]
    assert found.ops[0].surprise == pytest.approx(4.0)


def test_an_op_that_is_not_planned_and_one_that_did_not_run() -> None:
    found = analyze(record([ran("stranger", 1.0)]))
    assert found.ops[0].ratio is None
    assert found.did_not_run == ("ask", "run")
    text = render_analysis(found)
    assert "not in the plan" in text
    assert "ask, run did not run" in text


def test_the_table_says_measured_predicted_ratio_and_coverage() -> None:
    text = render_analysis(analyze(record([ran("ask", 6.0, 25), ran("run", 2.0)])))
    row = next(line for line in text.splitlines() if line.startswith("ask"))
    assert row.split() == ["ask", "engine:main", "1", "6s", "2s", "(1s-4s)", "3×", "0/1", "25", "50", "(10-90)"]
    assert "1 of 2 executions lie in their interval; 80% should" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("width", [40, 80])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = render_analysis(analyze(record([ran("ask", 6.0, 25), ran("run", 2.0)])), width).splitlines()
    assert max(map(cells, lines)) <= width


def test_a_record_without_runs_is_no_table() -> None:
    text = render_analysis(analyze(record()))
    assert "0 runs against the plan" in text


def test_json_has_every_row() -> None:
    data = json.loads(json.dumps(analyze(record([ran("ask", 6.0, 25), ran("odd", 2.0)])).as_dict()))
    rows = {row["id"]: row for row in data["ops"]}
    assert rows["ask"]["predicted_s"] == [1, 2, 4]
    assert rows["ask"]["covered"] is False
    assert rows["ask"]["tokens_out"]["measured"] == 25
    assert rows["odd"]["predicted_s"] is None
    assert data["seconds"]["measured"] == [8.0]


def test_what_is_learned_is_the_speed_and_not_the_length_of_the_reply() -> None:
    [seen] = observations(record([ran("ask", 4.0, 100), ran("run", 9.0)]))
    assert (seen.device, seen.engine, seen.op, seen.run) == ("round", "vllm", "ask", "run_0")
    assert seen.predicted_s == pytest.approx(4.0)  # twice the tokens
    assert seen.measured_s == 4.0


def test_prefill_scales_with_the_tokens_that_were_not_cached() -> None:
    parts = {"prefill compute": 1.5, "decode weights": 0.5}
    usage = Tokens(input_tokens=300, cached_tokens=100, output_tokens=50)
    [seen] = observations(record([OpMeasured(id="ask", seconds=9.0, usage=usage)], spent_s=parts))
    assert seen.predicted_s == pytest.approx(1.5 * 2 + 0.5)


def test_neither_corrections_nor_waiting_feed_back() -> None:
    corrected = record([ran("ask", 9.0, 50)], seconds=Interval(2, 6, 12), correction=3.0)
    assert observations(corrected)[0].predicted_s == pytest.approx(2.0)
    waiting = record([ran("ask", 9.0, 50)], seconds=Interval(1, 5, 9), wait_s=Interval(0, 3, 5))
    assert observations(waiting)[0].predicted_s == pytest.approx(2.0)


def test_nothing_is_learned_from_made_up_or_overlapping_runs_or_retries() -> None:
    one = [ran("ask", 2.0, 50)]
    assert "simulated" in why_not_learned(record(one, simulated=True))
    assert observations(record(one, simulated=True)) == []
    assert "version 0.0.1" in why_not_learned(record(one).model_copy(update={"made_by": "0.0.1"}))
    assert "--concurrency 1" in why_not_learned(record(one, one, concurrency=2))
    assert observations(record(one, one, concurrency=2)) == []
    assert len(observations(record(one, concurrency=2))) == 1
    assert observations(record([ran("ask", 2.0, 50, attempts=2)])) == []


def test_simulated_runs_are_labelled() -> None:
    assert "SIMULATED" in render_analysis(analyze(record([ran("ask", 2.0, 50)], simulated=True)))


@pytest.mark.parametrize(
    ("old", "new", "code", "says"),
    [
        (
            '"seconds": 9.25,\n          "attempts"',
            '"seconds": -1,\n          "attempts"',
            "ORCH-P005",
            "`runs.0.ops.0.seconds`",
        ),
        (
            '"seconds": 9.25,\n          "attempts"',
            '"seconds": "fast",\n          "attempts"',
            "ORCH-P005",
            "`runs.0.ops.0.seconds`",
        ),
        (
            '"seconds": 9.25,\n          "attempts"',
            '"secs": 9.25,\n          "attempts"',
            "ORCH-P004",
            "`runs.0.ops.0.seconds` is missing",
        ),
        ('"output_tokens": 50', '"output_tokens": -50', "ORCH-P005", "`runs.0.ops.0.usage.output_tokens`"),
        ('"run_id": "run_0"', '"run_id": ""', "ORCH-P005", "`runs.0.run_id`"),
        ('"workflow": "w",', "", "ORCH-P004", "`plan.workflow` is missing"),
        ('"place": "engine:main"', '"place": "engine:other"', "ORCH-P005", "engine:other"),
        ('"device": "gpu",\n        "shares"', '"device": "npu",\n        "shares"', "ORCH-P005", "npu"),
        ('"plan": {', '"plan": [{', "ORCH-P002", "JSON"),
        ('"plan": {', '"plam": {', "ORCH-P023", "no `plan`"),
        ('"runs": [', '"runz": [', "ORCH-P023", "no `runs`"),
        ('{\n  "version": 1', '{\n  "version": 9', "ORCH-P023", f"reads version {RECORD_VERSION}"),
        (
            f'"plan": {{\n    "version": {PLAN_VERSION}',
            '"plan": {\n    "version": 8',
            "ORCH-P023",
            f"up to {PLAN_VERSION}",
        ),
    ],
)
def test_a_malformed_record_names_file_and_field(tmp_path: Path, old: str, new: str, code: str, says: str) -> None:
    path = tmp_path / "r.json"
    record([ran("ask", 9.25, 50)]).save(path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(PlanError) as caught:
        RunRecord.load(path)
    assert caught.value.code == code
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_what_orch_run_prints_is_no_record(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps({"ok": True, "ops": []}))
    with pytest.raises(PlanError) as caught:
        RunRecord.load(path)
    assert caught.value.code == "ORCH-P023"
    assert "--record" in (caught.value.diagnostics[0].fix or "")


def test_a_missing_record_is_coded(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        RunRecord.load(tmp_path / "none.json")
    assert caught.value.code == "ORCH-P001"
