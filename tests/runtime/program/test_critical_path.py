"""What a run still has before it once an op is done."""

from __future__ import annotations

import pytest

from orchestrator import chat, loop, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.plan import Plan
from orchestrator.runtime.program.critical_path import remaining_s

CLUSTER = Cluster(engines=(EngineSpec(name="main", kind="sim", model="m"),))


@tool(effects="reads", typical_s=5.0)
def slow(text: str) -> str:
    return text


@tool(effects="reads", typical_s=1.0)
def quick(text: str) -> str:
    return text


@workflow
def flow(question: str) -> str:
    reply, talk = chat().say(question)
    both = quick(reply) + slow(reply)

    def step(state: tuple[str, str]) -> tuple[str, str]:
        text, _ = state
        return slow(text), quick(text)

    rounds = loop(step, (both, both), max=4)
    return talk.say(rounds[0]).reply


@pytest.fixture(scope="module")
def plan() -> Plan:
    return compile_workflow(flow, cluster=CLUSTER).plan


def test_the_longest_chain_counts(plan: Plan) -> None:
    left = remaining_s(plan)
    last, loop_s = plan.by_id["llm_2"].seconds.mid, plan.by_id["loop_1"].seconds.mid
    assert left["llm_2"] == pytest.approx(0.0, abs=1e-3)
    assert left["loop_1"] == pytest.approx(last, abs=1e-3)
    assert left["quick_1"] == pytest.approx(left["slow_1"])
    assert left["llm_1"] == pytest.approx(plan.by_id["slow_1"].seconds.mid + loop_s + last, abs=1e-3)


def test_inside_a_loop_half_of_the_other_iterations_count(plan: Plan) -> None:
    left = remaining_s(plan)
    loop_s, rounds = plan.by_id["loop_1"].seconds.mid, plan.by_id["slow_2"].count.mid
    assert rounds > 1
    assert left["slow_2"] == pytest.approx(left["loop_1"] + (rounds - 1) / (2 * rounds) * loop_s, abs=1e-3)
    assert left["quick_2"] == pytest.approx(left["slow_2"])


def test_it_only_falls_along_the_data(plan: Plan) -> None:
    left = remaining_s(plan)
    assert set(left) == set(plan.by_id)
    for op in plan.ops:
        assert all(left[earlier] >= left[op.id] for earlier in op.after)


def test_a_call_is_told(plan: Plan) -> None:
    del plan
    program = compile_workflow(flow, cluster=CLUSTER).program
    told = [getattr(op.spec, "critical_path_s", None) for op in program.body.ops() if op.id.startswith("llm")]
    assert told[0] is not None
    assert told[1] == pytest.approx(0.0, abs=1e-3)
    assert told[0] > 10
