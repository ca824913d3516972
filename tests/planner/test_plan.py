import json
import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestrator.errors import PlanError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.interval import ONE, ZERO, Interval
from orchestrator.planner.plan import PLAN_VERSION, OpPlan, Plan, Share
from tests.planner.clusters import cpu, gpu


def op(name: str, **changes: object) -> OpPlan:
    defaults = {"kind": "tool", "place": "thread", "seconds": ONE, "tokens_in": ZERO, "tokens_out": ZERO, "count": ONE}
    return OpPlan.model_validate({"id": name, **defaults, **changes})


def small_plan(**changes: object) -> Plan:
    cluster = Cluster(devices=(cpu(), gpu()), engines=(EngineSpec(name="main", kind="vllm", model="m", device="gpu"),))
    defaults = {
        "workflow": "w",
        "ir_hash": "0123",
        "cluster": cluster,
        "ops": (op("a", cost_usd=Interval(0.1, 0.2, 0.3)), op("b", parent="a", alternatives=("ray-task: slower",))),
        "seconds": ONE,
        "tokens": ZERO,
        "cost_usd": None,
        "critical_path": ("a",),
    }
    return Plan.model_validate({**defaults, **changes})


def test_json_and_file_round_trip(tmp_path: Path) -> None:
    plan = small_plan()
    assert Plan.from_json(plan.to_json()) == plan
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == plan


def test_an_unknown_cost_is_null_and_not_zero() -> None:
    data = json.loads(small_plan().to_json())
    assert data["cost_usd"] is None
    assert data["ops"][1]["cost_usd"] is None


def test_engine_specs_pickle() -> None:
    spec = EngineSpec(name="main", kind="sim", model="m", options={"seed": 1, "stop": ["a", {"b": None}]})
    assert pickle.loads(pickle.dumps(spec)) == spec


@pytest.mark.parametrize("version", [1, 2])
def test_a_plan_of_an_earlier_version_is_read(version: int) -> None:
    old = small_plan().to_json().replace(f'"version": {PLAN_VERSION}', f'"version": {version}')
    assert Plan.from_json(old) == small_plan()


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ((Share(engine="main", share=0.5),), "add up to 0.5"),
        ((Share(engine="main", share=0.5), Share(engine="other", share=0.5)), "shares on other"),
        ((Share(engine="other", share=1.0),), "its largest share at 'other'"),
    ],
)
def test_shares_add_up_are_of_known_engines_and_the_place_is_the_largest(shares: tuple[Share, ...], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        small_plan(ops=(op("a", kind="decode", place="engine:main", shares=shares),))


def test_a_plan_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        small_plan().workflow = "other"  # type: ignore[misc]


def test_ids_are_unique_and_known() -> None:
    with pytest.raises(ValueError, match="same id"):
        small_plan(ops=(op("a"), op("a")))
    with pytest.raises(ValueError, match="not in it: x, y"):
        small_plan(ops=(op("a", parent="y"),), critical_path=("x",))


def test_looking_up_an_op_changes_nothing() -> None:
    plan = small_plan()
    assert plan.by_id["b"].parent == "a"
    assert plan == small_plan()
    assert plan.to_json() == small_plan().to_json()
    assert pickle.loads(pickle.dumps(plan)) == plan


@pytest.mark.parametrize(
    ("change", "code", "field", "line"),
    [
        (("{", "["), "ORCH-P002", "JSON", 2),
        ((f'"version": {PLAN_VERSION}', '"version": 99'), "ORCH-P003", "version 99", 2),
        (('"workflow": "w",\n', ""), "ORCH-P004", "`workflow` is missing", 1),
        (('"mid": 0.2', '"mid": 9.0'), "ORCH-P005", "`ops.0.cost_usd`", None),
        (('"workflow"', '"note": "", "workflow"'), "ORCH-P006", "`note` is not a known field", 3),
    ],
)
def test_a_spoilt_plan_names_code_file_field_and_line(
    tmp_path: Path, change: tuple[str, str], code: str, field: str, line: int | None
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(small_plan().to_json().replace(*change, 1))
    with pytest.raises(PlanError) as caught:
        Plan.load(path)
    [first, *_] = caught.value.diagnostics
    assert first.code == code
    assert field in first.message
    assert first.where is not None
    assert first.where.file == str(path)
    assert line is None or first.where.line == line


def test_a_missing_plan_is_coded(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        Plan.load(tmp_path / "none.json")
    assert caught.value.code == "ORCH-P001"
