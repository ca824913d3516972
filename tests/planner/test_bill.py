"""What a plan costs an hour and a month."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.planner.bill import HOURS_A_MONTH, bill
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.diff import diff, render_diff
from orchestrator.planner.explain import render
from orchestrator.planner.plan import Plan
from tests.planner.clusters import cpu, gpu, one_engine
from tests.planner.test_planning import planned

SERVICE = EngineSpec(
    name="cloud",
    kind="openai",
    model="big",
    usd_per_million_input_tokens=3.0,
    usd_per_million_output_tokens=15.0,
)


def test_a_device_is_paid_for_however_busy_it_is_and_all_of_them(tmp_path: Path) -> None:
    cluster = one_engine(tmp_path)
    devices = tuple(each.model_copy(update={"usd_per_hour": 2.5, "count": 4}) for each in cluster.devices)
    for rate in (None, 0.01):
        found = planned(cluster.model_copy(update={"devices": devices}), rate_per_s=rate).bill
        assert found is not None
        assert found.parts_usd_per_hour == {"cpu": 10.0, "gpu": 10.0}
        assert found.usd_per_hour == 20.0
        assert found.usd_per_month == 20.0 * HOURS_A_MONTH


def test_a_coordinator_without_a_price_is_no_part_of_it(tmp_path: Path) -> None:
    cluster = one_engine(tmp_path)
    devices = tuple(
        each.model_copy(update={"usd_per_hour": 2.5 if each.kind == "gpu" else None}) for each in cluster.devices
    )
    found = planned(cluster.model_copy(update={"devices": devices})).bill
    assert found is not None
    assert found.parts_usd_per_hour == {"gpu": 2.5}


def test_a_service_is_paid_by_the_runs_that_arrive() -> None:
    made = planned(Cluster(devices=(cpu(),), engines=(SERVICE,)), rate_per_s=2.0)
    assert made.bill is not None
    assert made.cost_usd is not None
    assert made.bill.parts_usd_per_hour["cloud"] == pytest.approx(made.cost_usd.mid * 2 * 3600)
    idle = planned(Cluster(devices=(cpu(),), engines=(SERVICE,)))
    assert idle.bill is not None
    assert idle.bill.parts_usd_per_hour["cloud"] is None
    assert "of cloud unknown, --rate tells" in render(idle)


def test_what_has_no_price_is_named_and_nothing_is_said_where_nothing_is_known(tmp_path: Path) -> None:
    priced = one_engine(tmp_path)
    made = planned(priced)
    assert made.bill is not None
    (op,) = [op for op in made.ops if op.kind == "decode"]
    other = gpu(name="other", usd_per_hour=None)
    beside = made.model_copy(
        update={
            "cluster": priced.model_copy(update={"devices": (*priced.devices, other)}),
            "ops": (*made.ops, op.model_copy(update={"id": "llm_2", "device": "other"})),
        }
    )
    found = bill(beside)
    assert found is not None
    assert (found.usd_per_hour, found.usd_per_month, found.parts_usd_per_hour["other"]) == (None, None, None)
    assert "of other unknown" in render(beside.model_copy(update={"bill": found}))
    free = tuple(each.model_copy(update={"usd_per_hour": None}) for each in priced.devices)
    assert planned(priced.model_copy(update={"devices": free})).bill is None


def test_it_is_in_the_text_the_file_and_the_comparison(tmp_path: Path) -> None:
    made = planned(one_engine(tmp_path), rate_per_s=0.5)
    assert made.bill is not None
    assert "an hour" in render(made)
    assert "a month" in render(made)
    assert Plan.from_json(made.to_json()) == made
    assert "an hour" in render_diff(diff(made, made), "then", "now")
