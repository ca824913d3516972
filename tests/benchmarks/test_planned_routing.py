"""The load, the arms and the simulated side of the experiment on routing; its engines are measured elsewhere."""

from __future__ import annotations

import pytest

from benchmarks.planned.routers import ARMS, BALANCED, OURS, Told, cache_aware, options_of
from benchmarks.planned.routing import Call, Workflow, load, p95, simulated, stages
from orchestrator.dsl.models.messages import Message
from orchestrator.planner.simulate.measured_speed import MeasuredStep, fit_speed
from orchestrator.runtime.engines.base import GenerateRequest, Sampling, complete
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.kv.hints import KvHint
from tests.planner.policies.views import Call as Asked
from tests.planner.policies.views import Server

CALLS = (Call("plan", 0.1, 0.5, 20, 8), Call("draft", 0.6, 0.9, 30, 4, samples=2), Call("end", 1.0, 1.2, 40, 2))
WORKFLOW = Workflow("w", None, {}, 1.2, CALLS)


def test_a_router_follows_the_cache_while_loads_are_balanced() -> None:
    near, far = Server(cached=80, running_count=BALANCED), Server()
    assert cache_aware(Asked(), [near, far], 0.0) == 0
    near.running_count += 1
    assert cache_aware(Asked(), [near, far], 0.0) == 1
    near.running_count, near.cached = 1, 40
    assert cache_aware(Asked(), [near, far], 0.0) == 1


def test_a_call_is_a_stage_after_those_that_had_ended_and_samples_are_several() -> None:
    found = stages(WORKFLOW)
    assert [(each.step, each.after) for each in found] == [
        ("plan", ()), ("draft", (0,)), ("draft", (0,)), ("end", (0, 1, 2)),
    ]  # fmt: skip
    assert [each.tool_s for each in found] == pytest.approx([0.1, 0.1, 0.1, 0.1])


def test_all_arms_get_the_same_programs_at_the_same_times() -> None:
    assert load([WORKFLOW], 2.0, 20) == load([WORKFLOW], 2.0, 20)
    assert load([WORKFLOW], 2.0, 20)[-1][0] == pytest.approx(10.0, rel=0.6)


def test_every_arm_is_simulated_by_its_policy() -> None:
    fast, slow = (
        fit_speed(
            [MeasuredStep(64, 0, 0, 2 * step_s), MeasuredStep(0, 1, 32, step_s), MeasuredStep(0, 8, 256, 2 * step_s)]
        )
        for step_s in (0.01, 0.025)
    )
    said = {arm: simulated(arm, [fast, slow], load([WORKFLOW], 4.0, 40)) for arm in ARMS}
    assert all(0.1 < p95_s < 60 for p95_s in said.values())
    assert said[OURS] < said["round-robin+fcfs"]


def test_the_quantile_is_the_nearest_rank() -> None:
    assert p95([float(each) for each in range(1, 101)]) == 95.0
    assert p95([3.0]) == 3.0


async def test_routers_without_programs_send_no_hints_and_hold_nobody_back() -> None:
    request = GenerateRequest("r", "any", (Message("user", "x"),), Sampling(max_tokens=900), "s", KvHint(program="p"))
    for arm in ARMS:
        engine = ScriptedEngine(lambda _: "yes")
        await complete(Told(engine, 48, hinted=arm == OURS), request)
        (asked,) = engine.requests
        assert asked.sampling.max_tokens == 48
        assert (asked.kv is None, asked.session is None) == ((arm != OURS),) * 2
        assert options_of(arm).routing.policy.name == ARMS[arm].name
