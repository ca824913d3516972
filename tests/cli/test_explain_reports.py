"""``orch explain``: what if, differences between plans, and plans against runs; and ``orch run --record``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.planner.plan import Plan
from orchestrator.planner.portable import portable
from orchestrator.planner.record import RunRecord
from tests.cli.conftest import Orch
from tests.cli.test_plan import CLUSTER, SLOWER
from tests.cli.test_run import ADDS, SELECT, scripted
from tests.planner.clusters import LLAMA_8B


@pytest.fixture
def priced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a cluster and two workflows, and nothing learned from earlier runs."""
    (folder / "c.toml").write_text(CLUSTER)
    (folder / "llama.json").write_text(json.dumps(LLAMA_8B))
    (folder / "slower.py").write_text(SLOWER)
    monkeypatch.setenv("ORCH_CALIBRATION", str(folder / "calibration.jsonl"))
    return folder


def record_of(folder: Path, factor: float, simulated: bool = False) -> str:
    """A record in which every model call took ``factor`` times what was planned."""
    plan = Plan.load(folder / "p.json")
    call = plan.by_id["llm_1"]
    op = {"id": "llm_1", "place": call.place, "seconds": call.seconds.mid * factor}
    runs = [{"run_id": f"run_{n}", "seconds": 1.0, "ops": [op]} for n in range(4)]
    text = json.dumps({"plan": json.loads(plan.to_json()), "simulated": simulated, "runs": runs})
    (folder / "r.json").write_text(text)
    return "r.json"


def test_explain_shows_batch_kv_what_dominates_and_what_was_rejected(orch: Orch, priced: Path) -> None:
    text = orch("explain", "flow.py", "--cluster", "c.toml").out
    for words in ("batch ≤", "MiB", "decode weights", "time goes into", "p95", "other plans", "critical path"):
        assert words in text
    assert "engine:cheap instead of engine:main" in text
    assert "rate           0.5 runs/s" in orch("explain", "flow.py", "--cluster", "c.toml", "--rate", "30/min").out
    assert "made for energy" in orch("explain", "flow.py", "--cluster", "c.toml", "--objective", "energy").out


def test_what_if_stands_beside_what_is(orch: Orch, priced: Path) -> None:
    ended = orch(
        "explain", "flow.py", "--cluster", "c.toml", "--what-if", "device=b200-sxm,count=4,rate=2.5,price=1.9",
        "--what-if", "rate=1000000",
    )  # fmt: skip
    assert ended.code == 0
    first, second = ended.out.split("What if ")
    assert "as it is → device=b200-sxm,count=4,rate=2.5,price=1.9" in first
    assert "llm_1" in first
    assert "p95" in first
    assert "one at a time → 2.5 runs/s" in first
    assert second.startswith("rate=1000000: there is no such plan.")
    assert "ORCH-P021" in second


def test_what_if_as_json(orch: Orch, priced: Path) -> None:
    scenarios = ("--what-if", "price=250", "--what-if", "rate=1000000")
    data = json.loads(orch("explain", "flow.py", "--cluster", "c.toml", "--json", *scenarios).out)
    before = Plan.model_validate(data["plan"])
    dearer, impossible = data["what_if"]
    after = Plan.model_validate(dearer["plan"])
    assert before.cost_usd is not None
    assert after.cost_usd is not None
    assert after.cluster.device("gpu").usd_per_hour == 250
    assert after.cost_usd.mid > 10 * before.cost_usd.mid
    assert dearer["diff"]["seconds"][0] == dearer["diff"]["seconds"][1]
    assert impossible["errors"][0]["code"] == "ORCH-P021"


@pytest.mark.parametrize(
    ("scenario", "says"),
    [("colour=red", "device, count, rate, price"), ("device=h1000", "h100-sxm"), ("count=-1", "count")],
)
def test_a_scenario_that_cannot_be_is_a_usage_error(orch: Orch, priced: Path, scenario: str, says: str) -> None:
    ended = orch("explain", "flow.py", "--cluster", "c.toml", "--what-if", scenario)
    assert (ended.code, "ORCH-U022" in ended.err, says in ended.err) == (2, True, True)
    data = json.loads(orch("explain", "flow.py", "--cluster", "c.toml", "--what-if", scenario, "--json").out)
    assert data["errors"][0]["code"] == "ORCH-U022"


def test_two_plans_differ_op_by_op(orch: Orch, priced: Path) -> None:
    for flow, name in (("flow.py", "a.json"), ("slower.py", "b.json")):
        orch("plan", flow, "--cluster", "c.toml", "--out", name)
    ended = orch("explain", "--diff", "a.json", "b.json")
    assert (ended.code, "a.json → b.json" in ended.out, "workflow   changed" in ended.out) == (0, True, True)
    against = orch("explain", "--diff", "a.json", "slower.py", "--cluster", "c.toml")
    assert against.out == ended.out.replace("b.json", "slower.py")
    data = json.loads(orch("explain", "--diff", "a.json", "b.json", "--json").out)
    assert data["p95_s"][1] > data["p95_s"][0]
    assert {each["id"] for each in data["ops"]} >= {"llm_1"}


def test_a_run_is_held_against_its_plan_and_later_plans_learn(orch: Orch, priced: Path) -> None:
    orch("plan", "flow.py", "--cluster", "c.toml", "--out", "p.json")
    ended = orch("explain", "--analyze", record_of(priced, 1.5))
    assert ended.code == 0
    assert "llm_1" in ended.out
    assert "1.5×" in ended.out
    assert "learned    4 new model calls" in ended.out
    assert "h100-sxm (vllm) are corrected ×1.22 from 4 runs here" in ended.out  # the square root of 1.5
    assert "learned    0 new model calls" in orch("explain", "--analyze", "r.json").out
    before = Plan.load(priced / "p.json")
    plain, learned = (
        Plan.from_json(orch("explain", "flow.py", "--cluster", "c.toml", "--json", *words).out)
        for words in (["--no-calibration"], [])
    )
    assert portable(plain, priced / "p.json") == before.model_copy(update={"target": ""})
    assert learned.by_id["llm_1"].seconds.mid == pytest.approx(1.5**0.5 * before.by_id["llm_1"].seconds.mid)
    assert any("corrected ×1.22 from 4 runs here" in note for note in learned.notes)


def test_what_a_corrected_plan_predicts_is_not_learned_twice(orch: Orch, priced: Path) -> None:
    orch("plan", "flow.py", "--cluster", "c.toml", "--out", "p.json")
    orch("explain", "--analyze", record_of(priced, 1.5))
    orch("plan", "flow.py", "--cluster", "c.toml", "--out", "p.json")
    path = record_of(priced, 1.0)
    (priced / path).write_text((priced / path).read_text().replace('"run_id": "run_', '"run_id": "later_'))
    data = json.loads(orch("explain", "--analyze", path, "--json").out)
    # Half of the runs measured 1.5, half its square root: the median of the logs is three quarters of the first.
    [factor] = data["corrections"]
    assert data["learned"]["added"] == 4
    assert factor["factor"] == pytest.approx(1.5 ** (0.75 * 8 / 12))


def test_nothing_is_learned_where_that_is_switched_off(
    orch: Orch, priced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orch("plan", "flow.py", "--cluster", "c.toml", "--out", "p.json")
    assert (
        "learned    nothing: the calibration is switched off"
        in orch("explain", "--analyze", record_of(priced, 1.5), "--no-calibration").out
    )
    monkeypatch.setenv("ORCH_CALIBRATION", "off")
    data = json.loads(orch("explain", "--analyze", "r.json", "--json").out)
    assert data["learned"] == {"added": 0, "file": None, "nothing_because": "the calibration is switched off"}
    assert not (priced / "calibration.jsonl").exists()


def test_a_calibration_file_that_cannot_be_written_does_not_hide_the_analysis(
    orch: Orch, priced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orch("plan", "flow.py", "--cluster", "c.toml", "--out", "p.json")
    monkeypatch.setenv("ORCH_CALIBRATION", str(priced / "p.json" / "calibration.jsonl"))
    ended = orch("explain", "--analyze", record_of(priced, 1.5))
    assert (ended.code, "1.5×" in ended.out, "ORCH-U090" in ended.err) == (1, True, True)


def test_a_spoilt_calibration_file_is_a_warning_in_the_plan(orch: Orch, priced: Path) -> None:
    (priced / "calibration.jsonl").write_text("{oops\n")
    ended = orch("explain", "flow.py", "--cluster", "c.toml")
    assert ended.code == 0
    assert "calibration.jsonl:1 is skipped" in " ".join(ended.out.split())


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([], "ORCH-U002", "TARGET"),
        (["flow.py", "--diff", "a", "b"], "ORCH-U002", "--diff"),
        (["flow.py", "--analyze", "r.json"], "ORCH-U002", "its own plan"),
        (["--diff", "a", "b", "--analyze", "r.json"], "ORCH-U002", "--diff and --analyze"),
        (["flow.py", "--what-if", "rate=1", "--format", "dot"], "ORCH-U002", "dot"),
        (["--diff", "a.json"], "ORCH-U002", "--diff"),
        (["--diff", "none.json", "flow.py"], "ORCH-P001", "none.json"),
        (["--diff", "c.json", "flow.py"], "ORCH-P004", "c.json"),
        (["--analyze", "none.json"], "ORCH-P001", "none.json"),
        (["--analyze", "c.json"], "ORCH-P023", "--record"),
    ],
)
def test_bad_options(orch: Orch, priced: Path, words: list[str], code: str, says: str) -> None:
    (priced / "c.json").write_text("{}")
    ended = orch("explain", *words)
    assert ended.code == (2 if code == "ORCH-U002" else 1)
    assert code in ended.err
    assert says in ended.err
    assert "Traceback" not in ended.err


def test_run_records_its_plan_and_what_was_measured(orch: Orch, priced: Path) -> None:
    ended = orch("run", "flow.py", "How?", "--cluster", scripted(priced, SELECT, SELECT, SELECT), "--record", "r.json")
    assert ended.code == 0
    record = RunRecord.load(priced / "r.json")
    assert record.simulated
    assert (record.concurrency, record.failed, len(record.runs)) == (1, 0, 1)
    assert record.plan.p95_s is not None
    by_id = {op.id: op for op in record.runs[0].ops}
    assert by_id["llm_1"].usage is not None
    assert by_id["llm_1"].usage.output_tokens > 0
    shown = orch("explain", "--analyze", "r.json")
    assert (shown.code, "SIMULATED" in shown.out, "nothing: its replies are simulated" in shown.out) == (0, True, True)
    assert not (priced / "calibration.jsonl").exists()


def test_failed_runs_are_counted_and_not_recorded(orch: Orch, priced: Path) -> None:
    (priced / "sums.py").write_text(ADDS)
    (priced / "in.jsonl").write_text('{"left": 1, "right": 2}\n{"left": 1, "right": 0}\n')
    ended = orch("run", "sums.py", "--inputs", "in.jsonl", "--record", "r.json")
    assert ended.code == 1
    record = RunRecord.load(priced / "r.json")
    assert (record.failed, len(record.runs), record.concurrency) == (1, 1, 2)
    assert "1 run, not counted" in orch("explain", "--analyze", "r.json").out


def test_a_record_that_cannot_be_written_is_said(orch: Orch, priced: Path) -> None:
    (priced / "sums.py").write_text(ADDS)
    ended = orch("run", "sums.py", "-i", "left=1", "-i", "right=2", "--record", "no/such/r.json")
    assert (ended.code, "ORCH-U090" in ended.err, "no/such/r.json" in ended.err) == (1, True, True)
