"""The store of measured calls, and the corrections that follow from it."""

from __future__ import annotations

import math
import random
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import PlanError
from orchestrator.planner import observations
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.interval import Interval
from orchestrator.planner.observations import (
    Correction,
    Observation,
    append,
    corrected,
    corrections,
    corrections_in,
    hardware_of,
    load,
    store_path,
)
from orchestrator.planner.plan import Plan
from tests.planner.clusters import gpu
from tests.planner.test_plan import op, small_plan


def seen(run: str = "r", op_id: str = "a", ratio: float = 1.0, frame: str = "", **changes: object) -> Observation:
    fields: dict[str, object] = {
        "run": run, "op": op_id, "frame": frame, "kind": "decode", "device": "round", "engine": "vllm",
        "predicted_s": 2.0, "measured_s": 2.0 * ratio,
    }  # fmt: skip
    return Observation.model_validate({**fields, **changes})


def calls(**prices: float) -> Plan:
    engine = EngineSpec(name="main", kind="vllm", model="m", device="gpu", **prices)
    cluster = Cluster(devices=(gpu(),), engines=(engine,))
    call = op(
        "ask", kind="decode", place="engine:main", device="gpu", seconds=Interval(1, 2, 4),
        cost_usd=Interval(0.1, 0.2, 0.4), spent_s={"decode weights": 2.0},
    )  # fmt: skip
    tool = op("run", seconds=Interval(1, 2, 4), cost_usd=Interval(0.1, 0.2, 0.4), after=("ask",))
    return small_plan(
        cluster=cluster, ops=(call, tool), seconds=Interval(2, 4, 8), cost_usd=Interval(0.2, 0.4, 0.8), critical_path=()
    )


def test_the_file_is_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCH_CALIBRATION", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert store_path() == tmp_path / "orchestrator" / "calibration.jsonl"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert store_path() == Path.home() / ".local" / "share" / "orchestrator" / "calibration.jsonl"
    monkeypatch.setenv("ORCH_CALIBRATION", str(tmp_path / "mine.jsonl"))
    assert store_path() == tmp_path / "mine.jsonl"
    for off in ("off", "OFF", ""):
        monkeypatch.setenv("ORCH_CALIBRATION", off)
        assert store_path() is None


def test_what_is_appended_is_there_once(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.jsonl"
    first, second = seen(), seen(frame="loop[1]")
    assert load(path) == ([], [])
    assert append(path, [first]) == 1
    assert append(path, [first, second]) == 1
    assert load(path) == ([first, second], [])


def test_the_file_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observations, "MOST_LINES", 10)
    path = tmp_path / "file.jsonl"
    for number in range(25):
        append(path, [seen(run=f"r{number}")])
        assert len(path.read_text().splitlines()) <= 10
    assert load(path)[0][-1].run == "r24"
    assert [each.name for each in tmp_path.iterdir() if "lock" not in each.name] == ["file.jsonl"]


def test_a_spoilt_line_is_skipped_and_named(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    append(path, [seen()])
    with path.open("a") as file:
        file.write("{oops\n" + seen(run="x").model_dump_json().replace('"measured_s":2.0', '"measured_s":-1') + "\n")
    found, problems = load(path)
    assert found == [seen()]
    assert len(problems) == 2
    assert f"{path}:2" in problems[0]
    assert f"{path}:3" in problems[1]
    assert "`measured_s`" in problems[1]


def test_a_line_that_was_cut_short_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    append(path, [seen(run="a"), seen(run="b")])
    path.write_bytes(path.read_bytes()[:-20])
    append(path, [seen(run="c")])
    found, problems = load(path)
    assert [each.run for each in found] == ["a", "c"]
    assert len(problems) == 1


@pytest.mark.parametrize("line", ["[" * 100_000, "9" * 5000, '{"run": "a", "measured_s": ' + "9" * 5000 + "}", "null"])
def test_lines_that_python_cannot_hold_are_skipped(tmp_path: Path, line: str) -> None:
    path = tmp_path / "file.jsonl"
    path.write_text(f"{line}\n")
    found, problems = load(path)
    assert found == []
    assert len(problems) == 1
    assert len(problems[0]) < 300


def test_a_file_that_cannot_be_read_is_coded(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        load(tmp_path)
    assert caught.value.code == "ORCH-P001"
    assert "ORCH_CALIBRATION" in (caught.value.diagnostics[0].fix or "")


def test_few_runs_move_little_and_many_move_all_the_way() -> None:
    def factor(runs: int) -> float:
        return corrections([seen(run=str(n), ratio=2.0) for n in range(runs)])["round", "vllm"].factor

    assert corrections([]) == {}
    assert factor(1) == pytest.approx(2 ** (1 / 5))
    assert factor(4) == pytest.approx(math.sqrt(2))
    assert factor(1000) == pytest.approx(2.0, rel=0.01)


def test_a_run_counts_once_however_many_calls_it_made() -> None:
    talkative = [seen(run="one", frame=str(n), ratio=8.0) for n in range(100)]
    others = [seen(run=name, ratio=1.0) for name in ("two", "three")]
    found = corrections([*talkative, *others])["round", "vllm"]
    assert found.factor == pytest.approx(1.0)
    assert found.origin == "from 3 runs here (102 calls)"


@given(st.lists(st.floats(0.05, 20), min_size=1, max_size=12))
def test_a_factor_lies_between_one_and_what_was_measured(ratios: list[float]) -> None:
    factor = corrections([seen(run=str(n), ratio=each) for n, each in enumerate(ratios)])["round", "vllm"].factor
    assert min(1.0, *ratios) * (1 - 1e-9) <= factor <= max(1.0, *ratios) * (1 + 1e-9)


def test_what_another_version_predicted_says_nothing_about_this_one() -> None:
    assert corrections([seen(ratio=9.0, made_by="0.0.1")]) == {}


def test_hardware_is_told_apart() -> None:
    found = corrections([seen(ratio=4.0), seen(run="s", device="other"), seen(run="t", engine="sim")])
    assert set(found) == {("round", "vllm"), ("other", "vllm"), ("round", "sim")}
    assert found["other", "vllm"].factor == 1.0


def test_a_plan_is_corrected_once_and_says_so() -> None:
    by = {("round", "vllm"): Correction(1.5, "from 9 runs here")}
    made = corrected(calls(), by)
    ask, tool = made.ops
    assert ask.seconds.bounds == pytest.approx((1.5, 3.0, 6.0))
    assert ask.cost_usd is not None
    assert ask.cost_usd.mid == pytest.approx(0.3)
    assert sum(ask.spent_s.values()) == pytest.approx(3.0)
    assert tool.seconds == calls().ops[1].seconds
    assert made.seconds.mid == pytest.approx(5.0)
    assert made.cost_usd is not None
    assert made.cost_usd.mid == pytest.approx(0.5)
    assert made.notes == ("model calls on round (vllm) are corrected ×1.50 from 9 runs here",)
    assert corrected(made, by) == made
    assert corrections_in(made) == {("round", "vllm"): Correction(1.5, "as in the earlier plan")}


def test_what_was_measured_takes_the_place_of_what_was_assumed_of_the_hardware() -> None:
    plan = calls()
    half = Interval(0.5, 1.0, 1.0)  # the lower half of the seconds comes from the hardware, the upper from the tokens
    plan = plan.model_copy(update={"ops": (plan.ops[0].model_copy(update={"speed": half}), plan.ops[1])})
    by = {("round", "vllm"): Correction(1.5, "from 9 runs here", Interval(0.8, 1.0, 1.25))}
    made = corrected(plan, by)
    assert made.ops[0].seconds.bounds == pytest.approx((1.5 * 2 * 0.8, 1.5 * 2, 1.5 * 4 * 1.25))
    assert made.ops[0].speed == Interval(0.8, 1.0, 1.25)
    assert corrected(made, by) == made
    assert corrections_in(made) == {("round", "vllm"): Correction(1.5, "as in the earlier plan", made.ops[0].speed)}


@pytest.mark.parametrize("ratio", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("runs", [5, 20, 100])
def test_most_later_calls_lie_within_what_was_learned(ratio: float, runs: int) -> None:
    draw = random.Random(runs)
    held = total = 0
    width = []
    for _ in range(200):
        # What is off by call and not by run: noise, and shapes that the cost model does not see alike.
        measured = [ratio * math.exp(draw.gauss(0, 0.2)) for _ in range(runs + 20)]
        learned = corrections([seen(run=str(n), ratio=each) for n, each in enumerate(measured[:runs])])["round", "vllm"]
        assert learned.spread is not None
        held += sum(each / learned.factor in learned.spread for each in measured[runs:])
        total += 20
        width.append(learned.spread.hi / learned.spread.lo)
    assert held / total > 0.75
    if runs >= 20:
        assert median(width) < 3


@pytest.mark.parametrize(("predicted_s", "measured_s"), [(1e-200, 1e200), (1e200, 1e-200)])
def test_an_absurd_line_moves_plans_by_a_bounded_factor(predicted_s: float, measured_s: float) -> None:
    lines = [seen(run=str(n), predicted_s=predicted_s, measured_s=measured_s) for n in range(50)]
    found = corrections([*lines, seen(run="sane")])["round", "vllm"]
    assert 1e-6 <= found.factor <= 1e6
    assert found.spread is not None


def test_few_calls_say_little_of_how_far_others_are_off() -> None:
    def width(runs: int) -> float:
        found = corrections([seen(run=str(n), ratio=2.0) for n in range(runs)])["round", "vllm"].spread
        assert found is not None
        return found.hi / found.lo

    assert width(1) > width(4) > width(20) > width(100) > 1.0


def test_other_hardware_is_left_alone_and_prices_per_token_too() -> None:
    assert corrected(calls(), {("other", "vllm"): Correction(9.0, "")}) == calls()
    priced = calls(usd_per_million_input_tokens=1.0, usd_per_million_output_tokens=2.0)
    made = corrected(priced, {("round", "vllm"): Correction(2.0, "")})
    assert made.cost_usd == priced.cost_usd


def test_an_unknown_price_stays_unknown() -> None:
    made = calls()
    ops = (made.ops[0].model_copy(update={"cost_usd": None}), made.ops[1])
    unpriced = made.model_copy(update={"ops": ops, "cost_usd": None})
    assert corrected(unpriced, {("round", "vllm"): Correction(2.0, "")}).cost_usd is None


def test_only_model_calls_on_known_devices_teach_anything() -> None:
    made = calls()
    ask, tool = made.ops
    assert hardware_of(ask, made.cluster) == ("round", "vllm")
    assert hardware_of(tool, made.cluster) is None
    assert hardware_of(ask.model_copy(update={"device": None}), made.cluster) is None
    own = Cluster(devices=(gpu(type="custom"),), engines=made.cluster.engines)
    assert hardware_of(ask, own) == ("custom gpu", "vllm")
