"""Serving one model on given devices: what workers are expected to do, and which are taken."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest

from orchestrator.errors import PlanError
from orchestrator.planner.catalogue import load
from orchestrator.planner.cluster import Cluster, Device
from orchestrator.planner.serving_plan import (
    PREFILL_UTILISATION,
    Goal,
    Served,
    Weights,
    Worker,
    model_asked,
    serve,
)
from orchestrator.planner.solver.one_model import Demand, ServingPlan, Shape
from tests.planner.clusters import LLAMA_8B, cpu


def devices(*kinds: tuple[str, int]) -> Cluster:
    found: list[Device] = []
    for name, count in kinds:
        found.append(load(name).device(name, cores=0, memory_bytes=None).model_copy(update={"count": count}))
    return Cluster(devices=(cpu(), *found))


@cache
def served(
    model: str = "llama-3.1-70b",
    weights: Weights | None = None,
    objective: Goal = "throughput",
    kinds: tuple[tuple[str, int], ...] = (("h100-sxm", 8),),
    ttft_s: float | None = None,
    tpot_s: float | None = None,
    rate_per_s: float | None = None,
) -> Served:
    demand = Demand(4000.0, 500.0, ttft_s, tpot_s, rate_per_s)
    return serve(model_asked(model, weights), devices(*kinds), demand, objective=objective)


def of_mode(found: Served, mode: str) -> list[tuple[Shape, Worker]]:
    return [(shape, worker) for (_, shape), worker in found.workers.items() if shape.mode == mode]


def used(plan: ServingPlan) -> int:
    return sum(each.count * each.shape.devices for each in plan.workers)


def test_a_70b_model_on_eight_h100() -> None:
    found = served()
    assert found.plan.solution.gap <= 1e-4
    assert used(found.plan) == 8
    # 141 GB of weights do not fit on one device of 80 GB, nor with room for a batch on two.
    assert all(each.shape.tensor >= 2 for each in found.plan.workers)
    assert 100 < found.plan.tokens_per_s / 8 < 1000
    assert found.plan.usd_per_hour is not None
    assert {each.kind for each in found.rivals} == {"aggregated", "disaggregated"}
    best = max((each.plan.tokens_per_s for each in found.rivals if each.plan is not None), default=0.0)
    assert found.plan.tokens_per_s >= best * (1 - 1e-3)
    assert all(0 <= found.worse_by(each.plan) < 1 for each in found.rivals if each.plan is not None)


def test_no_worker_does_more_than_its_arithmetic_allows() -> None:
    found = served()
    peak = load("h100-sxm").device("x", cores=0, memory_bytes=None).flops["bf16"]
    for shape, worker in of_mode(found, "prefill"):
        most = peak * shape.devices / (2 * 70e9)
        assert worker.performance.tokens_per_s < PREFILL_UTILISATION * most
    for shape, worker in of_mode(found, "aggregated"):
        requests = worker.performance.tokens_per_s / 500
        assert requests * 4500 < peak * shape.devices / (2 * 70e9)
        # Little's law: what is in flight is the batch.
        in_flight = requests * (worker.performance.ttft_s + 499 * worker.performance.tpot_s)
        assert in_flight == pytest.approx(shape.batch, rel=1e-6)


def test_a_decode_worker_is_not_interrupted() -> None:
    found = served()
    whole = {(s.tensor, s.batch): w.performance.tpot_s for s, w in of_mode(found, "aggregated")}
    apart = {(s.tensor, s.batch): w.performance.tpot_s for s, w in of_mode(found, "decode")}
    assert set(apart) == set(whole)
    assert all(apart[key] < whole[key] for key in whole)
    assert apart[8, 1] > 0.97 * whole[8, 1]


def test_batches_end_where_the_memory_does() -> None:
    for shape, worker in of_mode(served(), "aggregated"):
        assert worker.performance.kv_tokens >= 4500
        assert shape.tensor > 1
    small = {shape.tensor: worker.performance.kv_tokens for shape, worker in of_mode(served(), "decode")}
    assert small[2] < small[4] < small[8]


def test_promises_are_kept_and_cost_throughput() -> None:
    free, strict = served(), served(tpot_s=0.02, ttft_s=1.0)
    assert strict.plan.tpot_s <= 0.02
    assert strict.plan.ttft_s <= 1.0
    assert strict.plan.tokens_per_s < free.plan.tokens_per_s


def test_fewer_bytes_a_weight_are_faster() -> None:
    assert served(weights="fp8").plan.tokens_per_s > served().plan.tokens_per_s


def test_cost_takes_no_more_than_the_rate_needs() -> None:
    kinds = (("h100-sxm", 8), ("a100-sxm-80gb", 8))
    few, many = (served("llama-3.1-8b", objective="cost", kinds=kinds, rate_per_s=rate) for rate in (1.0, 40.0))
    assert few.plan.usd_per_hour is not None
    assert many.plan.usd_per_hour is not None
    assert few.plan.usd_per_hour < many.plan.usd_per_hour
    assert many.plan.requests_per_s >= 40.0 * (1 - 1e-6)
    assert used(few.plan) < used(many.plan)


def test_unlike_devices_share_the_load() -> None:
    """What the kinds of device can do apart they can do together, and equal devices in two pools as much as in one."""

    def most(*kinds: tuple[str, int]) -> float:
        return served("llama-3.1-8b", kinds=kinds, tpot_s=0.05).plan.tokens_per_s

    both = most(("h100-sxm", 8), ("l40s", 4))
    assert both >= (most(("h100-sxm", 8)) + most(("l40s", 4))) * (1 - 1e-3)
    found = served("llama-3.1-8b", kinds=(("h100-sxm", 8), ("l40s", 4)), tpot_s=0.05)
    assert {each.pool for each in found.plan.workers} == {"h100-sxm", "l40s"}
    assert found.plan.tpot_s == max(
        found.workers[each.pool, each.shape].performance.tpot_s
        for each in found.plan.workers
        if each.shape.mode != "prefill"
    )


def test_experts_may_be_spread() -> None:
    found = served("gpt-oss-120b")
    assert any(shape.expert > 1 for _, shape in found.workers)
    assert found.plan.tokens_per_s > 0


def test_a_model_by_name_or_by_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_8B))
    by_name = model_asked("meta-llama/Llama-3.1-8B-Instruct", None)
    for path in (tmp_path, tmp_path / "config.json"):
        assert model_asked(str(path), None).facts.params == by_name.facts.params
    assert (by_name.weights, model_asked("llama-3.1-8b", "fp8").facts.weight_dtype) == ("bf16", "fp8")


def refused(code: str, model: str = "llama-3.1-70b", cluster: Cluster | None = None, **asked: float) -> str:
    demand = Demand(**{"input_tokens": 4000.0, "output_tokens": 500.0, **asked})
    with pytest.raises(PlanError) as caught:
        serve(model_asked(model, None), cluster or devices(("h100-sxm", 8)), demand)
    assert caught.value.code == code
    return str(caught.value)


def test_what_cannot_be_served_says_why() -> None:
    assert "no GPU" in refused("ORCH-P101", cluster=Cluster(devices=(cpu(),)))
    assert "131072" in refused("ORCH-P102", input_tokens=200_000.0)
    assert "673 GB" in refused("ORCH-P104", "deepseek-r1")
    assert "ttft_s" in refused("ORCH-P052", ttft_s=1e-4)
    with pytest.raises(PlanError) as caught:
        served(objective="cost")
    assert caught.value.code == "ORCH-P103"
    with pytest.raises(PlanError) as caught:
        model_asked("llama-3.1-71b", None)
    assert caught.value.code == "ORCH-P100"
    assert "llama-3.1-70b" in (caught.value.diagnostics[0].fix or "")
