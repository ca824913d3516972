"""Waiting at a rate of runs: against closed forms, and as a property of plans."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import PlanError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.plan import Plan
from orchestrator.planner.planning import Asked, Planning
from orchestrator.planner.queueing import (
    Load,
    at_rate,
    capacity_runs_per_s,
    erlang_c,
    loads,
    mgk_wait_s,
    replicas,
)
from tests.planner.clusters import gpu, one_engine
from tests.planner.level2 import parsed, workflow


def erlang_c_by_its_sum(servers: int, offered: float) -> float:
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    return last / (sum(offered**n / math.factorial(n) for n in range(servers)) + last)


@given(st.integers(1, 40), st.floats(0.01, 0.99))
def test_erlang_c_is_its_textbook_sum(servers: int, utilisation: float) -> None:
    offered = servers * utilisation
    assert erlang_c(servers, offered) == pytest.approx(erlang_c_by_its_sum(servers, offered), rel=1e-9)


def test_erlang_c_holds_for_many_servers_and_at_overload() -> None:
    assert 0 <= erlang_c(20_000, 19_000) < 1
    assert erlang_c(3, 3.0) == erlang_c(3, 7.0) == 1.0


@given(st.floats(0.01, 0.99), st.floats(0, 5))
def test_one_server_is_pollaczek_khinchine(utilisation: float, variation: float) -> None:
    expected = utilisation / (1 - utilisation) * (1 + variation) / 2
    assert mgk_wait_s(utilisation, 1.0, 1, variation) == pytest.approx(expected)


def test_overload_waits_for_ever() -> None:
    assert mgk_wait_s(2.0, 1.0, 2, 1.0) == math.inf


@given(st.floats(0.001, 2.0), st.floats(0.0, 2.0), st.integers(1, 64), st.integers(1, 4), st.floats(0.01, 0.98))
def test_a_load_is_consistent(shared_s: float, own_s: float, batch: int, copies: int, part: float) -> None:
    load = Load("e", copies, batch, 3.0, shared_s, own_s, 1.5)
    rate = part * load.capacity_runs_per_s
    assert load.utilisation(rate) == pytest.approx(part)
    in_flight = load.in_flight(rate)
    assert 1 <= in_flight <= batch * (1 + 1e-9)
    if in_flight > 1:  # Little's law
        assert in_flight == pytest.approx(rate * 3.0 / copies * load.service_s(in_flight))
    assert load.slowdown(rate) >= 1
    busier = load.wait_s(min(rate * 1.01, 0.999 * load.capacity_runs_per_s))
    for less, more in zip(load.wait_s(rate).bounds, busier.bounds, strict=True):
        assert less <= more * (1 + 1e-9)


def test_replicas_are_the_engines_share_of_the_devices() -> None:
    def engine(name: str, **options: int) -> EngineSpec:
        return EngineSpec(name=name, kind="vllm", model="m", device="gpu", options=options)

    one, pair, told = engine("one"), engine("pair", tensor_parallel_size=2), engine("told", data_parallel_size=5)
    alone = Cluster(devices=(gpu(count=8),), engines=(pair,))
    assert replicas(pair, alone) == 4
    both = Cluster(devices=(gpu(count=8),), engines=(one, pair))
    assert (replicas(one, both), replicas(pair, both)) == (2, 2)
    assert replicas(told, alone) == 5
    assert replicas(engine("three", replicas=3), alone) == 3
    far = EngineSpec(name="far", kind="openai", model="m", options={"endpoints": ["http://a", "http://b"]})
    assert replicas(far, alone) == 2
    assert replicas(EngineSpec(name="far", kind="openai", model="m"), alone) == 1


def called(cluster: Cluster, times: int = 2) -> Plan:
    body, (question,) = workflow(question="str")
    value = question
    for number in range(times):
        value, _ = body.ask_model(f"llm_{number}", body.prompt(f"p_{number}", ["text ", ""], [value]), opts={})
    with parsed(body.closed([value])) as module:
        return Planning(module).plan(Asked(cluster))


def test_a_light_load_changes_next_to_nothing_and_a_heavy_one_stretches_calls(tmp_path: Path) -> None:
    made = called(one_engine(tmp_path))
    capacity = capacity_runs_per_s(made)
    assert capacity is not None
    idle, busy = at_rate(made, capacity / 1e4), at_rate(made, 0.95 * capacity)
    assert idle.seconds.mid == pytest.approx(made.seconds.mid, rel=0.01)
    assert busy.seconds.mid > 1.2 * made.seconds.mid
    assert busy.utilisation == {"main": pytest.approx(0.95)}
    assert busy.cost_usd == made.cost_usd
    for op in busy.ops:
        if op.kind == "decode":
            assert op.wait_s is not None
            assert sum(op.spent_s.values()) == pytest.approx(op.seconds.mid)


def test_overload_is_an_error_that_says_what_would_do(tmp_path: Path) -> None:
    made = called(one_engine(tmp_path))
    capacity = capacity_runs_per_s(made)
    assert capacity is not None
    with pytest.raises(PlanError) as caught:
        at_rate(made, 1.5 * capacity)
    [problem] = caught.value.diagnostics
    assert problem.code == "ORCH-P021"
    assert "150%" in problem.message
    assert f"{capacity:.3g} runs/s" in (problem.why or "")


def test_more_devices_take_more(tmp_path: Path) -> None:
    few, many = one_engine(tmp_path), one_engine(tmp_path)
    many = many.model_copy(update={"devices": tuple(d.model_copy(update={"count": 4}) for d in many.devices)})
    one, four = capacity_runs_per_s(called(few)), capacity_runs_per_s(called(many))
    assert one is not None
    assert four == pytest.approx(4 * one)


def test_a_service_waits_for_nobody_and_says_so() -> None:
    made = called(Cluster(engines=(EngineSpec(name="far", kind="openai", model="m"),)))
    assert loads(made) == {}
    assert capacity_runs_per_s(made) is None
    busy = at_rate(made, 1000.0)
    assert busy.seconds == made.seconds
    assert any("waiting for engine:far is not priced" in warning for warning in busy.warnings)
