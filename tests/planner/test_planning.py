"""Choosing among whole plans, and saying why the others lost."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from orchestrator.dsl.declared.policy import parse_seconds
from orchestrator.errors import PlanError
from orchestrator.planner.choice import joules
from orchestrator.planner.cluster import Cluster, Device, EngineSpec
from orchestrator.planner.observations import Correction
from orchestrator.planner.place import plan as greedy_plan
from orchestrator.planner.plan import Plan
from orchestrator.planner.planning import Asked, Planning
from tests.planner.clusters import config_file, cpu, gpu, one_engine
from tests.planner.level2 import parsed, workflow


def planned(cluster: Cluster, opts: dict[str, Any] | None = None, model: str = "default", **asked: Any) -> Plan:
    body, (question,) = workflow(question="str")
    reply, _ = body.ask_model(
        "llm_1", body.prompt("p", ["Answer: ", ""], [question]), model=model, opts={"max_tokens": 300}
    )
    with parsed(body.closed([reply]), **(opts or {})) as module:
        return Planning(module, "abc").plan(Asked(cluster, **asked))


def fleet(folder: Path, *devices: Device) -> Cluster:
    """An engine for the same model on each device."""
    config = config_file(folder)
    engines = [
        EngineSpec(name=f"on_{each.name}", kind="vllm", model="llama", device=each.name, config=config)
        for each in devices
    ]
    return Cluster(devices=(cpu(), *devices), engines=tuple(engines))


@pytest.fixture
def pair(tmp_path: Path) -> Cluster:
    """One that is fast, dear and hungry, and one that is none of it."""
    fast = gpu(name="fast", memory_bytes_per_s=4e12, usd_per_hour=36.0, power_w=1000)
    return fleet(tmp_path, fast, gpu(name="slow", usd_per_hour=1.8, power_w=100))


@pytest.mark.parametrize("rate_per_s", [None, 40.0])
def test_what_the_error_says_to_ask_for_can_be_had(tmp_path: Path, rate_per_s: float | None) -> None:
    """At a rate, too, where the tail is longer than that of a run alone."""
    cluster = one_engine(tmp_path)
    with pytest.raises(PlanError) as caught:
        planned(cluster, sla_s=0.001, rate_per_s=rate_per_s)
    (problem,) = caught.value.diagnostics
    assert problem.fix is not None
    asked = re.search(r"ask for (\S+) or more", problem.fix)
    assert asked is not None
    assert planned(cluster, sla_s=parse_seconds(asked[1]), rate_per_s=rate_per_s).p95_s is not None


@pytest.mark.parametrize(
    ("objective", "place"),
    [("latency", "fast"), ("throughput", "fast"), ("cost", "slow"), ("energy", "slow")],
)
def test_each_objective_takes_its_engine_and_says_why_the_other_lost(pair: Cluster, objective: str, place: str) -> None:
    made = planned(pair, objective=objective)
    assert made.objective == objective
    assert made.by_id["llm_1"].place == f"engine:on_{place}"
    assert made.cluster == pair
    other = {"fast": "slow", "slow": "fast"}[place]
    lost = next(each for each in made.rejected if each.label == f"engine:on_{other} instead of engine:on_{place}")
    assert lost.seconds is not None
    word = {"latency": "slower", "throughput": "runs/s", "cost": "dearer", "energy": "J instead of"}[objective]
    assert word in lost.why.split(";")[0]


def test_at_most_three_are_named_the_best_first(tmp_path: Path) -> None:
    devices = [gpu(name=f"g{n}", memory_bytes_per_s=n * 1e12) for n in range(1, 6)]
    made = planned(fleet(tmp_path, *devices))
    assert made.by_id["llm_1"].place == "engine:on_g5"
    assert len(made.rejected) <= 3
    times = [each.seconds.mid for each in made.rejected if each.seconds]
    assert times == sorted(times)
    assert made.rejected[0].label == "engine:on_g4 instead of engine:on_g5"


def test_a_device_without_an_engine_is_an_alternative_that_the_cluster_rules_out(tmp_path: Path) -> None:
    one = fleet(tmp_path, gpu(name="slow"))
    both = one.model_copy(update={"devices": (*one.devices, gpu(name="fast", memory_bytes_per_s=4e12))})
    made = planned(both)
    assert made.by_id["llm_1"].device == "slow"
    moved = next(each for each in made.rejected if each.label == "engine:on_slow on fast instead of slow")
    assert "faster" in moved.why
    assert "the cluster has on_slow on slow" in moved.why


def test_one_that_does_not_fit_says_what_is_missing(tmp_path: Path) -> None:
    one = fleet(tmp_path, gpu(name="large"))
    both = one.model_copy(update={"devices": (*one.devices, gpu(name="tiny", memory_bytes=1e9))})
    lost = next(each for each in planned(both).rejected if each.label == "engine:on_large on tiny")
    assert lost.seconds is None
    assert lost.cost_usd is None
    assert "GiB" in lost.why


def test_an_unknown_price_is_said_and_never_zero(tmp_path: Path) -> None:
    priced = gpu(name="priced")
    unpriced = gpu(name="unpriced", usd_per_hour=None, memory_bytes_per_s=4e12)
    made = planned(fleet(tmp_path, priced, unpriced), objective="cost")
    assert made.by_id["llm_1"].device == "priced"
    lost = next(each for each in made.rejected if "engine:on_unpriced" in each.label)
    assert lost.cost_usd is None
    assert "price is unknown" in lost.why


def test_the_sla_can_overrule_the_objective(pair: Cluster) -> None:
    cheap, fast = planned(pair, objective="cost"), planned(pair, objective="latency")
    assert cheap.p95_s is not None
    assert fast.p95_s is not None
    between = (cheap.p95_s + fast.p95_s) / 2
    made = planned(pair, objective="cost", sla_s=between)
    assert made.by_id["llm_1"].place == "engine:on_fast"
    assert made.sla_s == between
    lost = next(each for each in made.rejected if "engine:on_slow" in each.label)
    assert "misses the SLA" in lost.why
    assert "cheaper" in lost.why


def test_an_sla_that_nothing_meets_says_what_would(pair: Cluster) -> None:
    with pytest.raises(PlanError) as caught:
        planned(pair, sla_s=0.001)
    [problem] = caught.value.diagnostics
    assert problem.code == "ORCH-P020"
    assert "llm_1" in (problem.why or "")
    assert "decode weights" in (problem.why or "")


def test_a_rate_that_every_plan_breaks_under_is_overload(pair: Cluster) -> None:
    with pytest.raises(PlanError) as caught:
        planned(pair, rate_per_s=1e6)
    assert caught.value.code == "ORCH-P021"


def test_a_rate_that_one_engine_takes_goes_there(tmp_path: Path) -> None:
    fast = gpu(name="fast", memory_bytes_per_s=4e12, flops={"bf16": 1e16}, usd_per_hour=36.0)
    pair = fleet(tmp_path, fast, gpu(name="slow", usd_per_hour=1.8))
    alone = planned(pair, objective="cost")
    assert alone.by_id["llm_1"].place == "engine:on_slow"
    for rate_per_s in (50.0, 100.0, 200.0, 400.0, 800.0):
        try:
            made = planned(pair, objective="cost", rate_per_s=rate_per_s)
        except PlanError:
            break
        if made.by_id["llm_1"].place == "engine:on_fast":
            assert any("overload" in each.why for each in made.rejected)
            return
    pytest.fail("no rate overloads the slow engine alone")


def test_energy_needs_to_know_the_power(tmp_path: Path) -> None:
    with pytest.raises(PlanError) as caught:
        planned(one_engine(tmp_path), objective="energy")
    assert caught.value.code == "ORCH-P022"
    assert "power_w" in (caught.value.diagnostics[0].why or "")


def test_joules_count_every_device_of_the_engine(tmp_path: Path) -> None:
    engine = EngineSpec(
        name="main", kind="vllm", model="llama", device="gpu", config=config_file(tmp_path),
        options={"tensor_parallel_size": 2},
    )  # fmt: skip
    made = planned(Cluster(devices=(gpu(count=2, power_w=500),), engines=(engine,)))
    assert joules(made) == pytest.approx(made.by_id["llm_1"].seconds.mid * 2 * 500)


def test_promises_are_held_against_the_corrected_plan(tmp_path: Path) -> None:
    cluster = one_engine(tmp_path)
    slo = {"slo": "p95 < 60s"}
    assert not any("slo" in each for each in planned(cluster, slo).warnings)
    slow = planned(cluster, slo, corrections={("round", "vllm"): Correction(100.0, "from 9 runs here")})
    assert any("slo of 1min is" in each for each in slow.warnings)
    assert slow.by_id["llm_1"].correction == 100.0
    fast = planned(cluster, {"slo": "p95 < 3s"}, corrections={("round", "vllm"): Correction(0.01, "from 9 runs here")})
    assert not any("slo" in each for each in fast.warnings)


def test_the_only_plan_is_the_greedy_one(tmp_path: Path) -> None:
    cluster = one_engine(tmp_path).model_copy(update={"devices": (gpu(),)})
    made = planned(cluster)
    body, (question,) = workflow(question="str")
    reply, _ = body.ask_model("llm_1", body.prompt("p", ["Answer: ", ""], [question]), opts={"max_tokens": 300})
    with parsed(body.closed([reply])) as module:
        greedy = greedy_plan(module, cluster, ir_hash="abc")
    assert made.rejected == ()
    assert (made.seconds, made.cost_usd, made.tokens) == (greedy.seconds, greedy.cost_usd, greedy.tokens)
    assert made.p95_s is not None
    assert made.seconds.mid < made.p95_s


def test_a_plan_with_everything_in_it_round_trips(pair: Cluster) -> None:
    made = planned(pair, objective="cost", rate_per_s=0.5, sla_s=600.0)
    assert Plan.from_json(made.to_json()) == made
