"""What a plan says of tools that declare no effects."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import branch, loop, parallel, tool, workflow
from orchestrator.dsl.workflow import Workflow
from orchestrator.passes.pipeline import run_pipeline
from orchestrator.planner.cluster import Cluster
from orchestrator.planner.explain import render
from orchestrator.planner.plan import Plan
from orchestrator.planner.planning import Asked, Planning


@tool(typical_s=1.0)
def fetch(x: str) -> str:
    return x


@tool(typical_s=1.0)
def look(x: str) -> str:
    return x


@tool(typical_s=1.0, effects="once")
def write(x: str) -> str:
    return x


@tool(typical_s=1.0, key="key")
def pay(x: str, key: str = "") -> str:
    return x


def planned(wf: Workflow[..., Any]) -> Plan:
    traced = wf.trace()
    level2, _ = run_pipeline(traced.module)
    return Planning(level2, traced.hash).plan(Asked(Cluster()))


def saved(plan: Plan) -> dict[str, tuple[int, float]]:
    return {each.tool: (each.calls, round(each.saved_s, 1)) for each in plan.undeclared}


def test_three_calls_that_wait_for_each_other_for_nothing() -> None:
    @workflow(rewrite=False)
    def flow(a: str, b: str, c: str) -> list[str]:
        return [fetch(a), fetch(b), fetch(c)]

    plan = planned(flow)
    assert plan.seconds.mid == pytest.approx(3.0, abs=0.1)
    assert saved(plan) == {"fetch": (3, 2.0)}
    text = " ".join(render(plan, width=400).split())
    assert (
        "effects `fetch` declares none, so its 3 calls count as writes and wait for others, and others for them: "
        'effects="reads" or "pure", if that is true, saves up to about 2s of 3s'
    ) in text
    assert Plan.from_json(plan.to_json()).undeclared == plan.undeclared


def test_data_and_declared_writes_still_wait() -> None:
    @workflow(rewrite=False)
    def flow(a: str) -> str:
        write(a)
        fetch(fetch(a))
        return write(a)

    assert saved(planned(flow)) == {"fetch": (2, 2.0)}


def test_each_tool_says_what_it_saves_on_top() -> None:
    @workflow(rewrite=False)
    def flow(a: str) -> list[str]:
        return [fetch(a), look(a), fetch(a), look(a)]

    found = saved(planned(flow))
    assert set(found) == {"fetch", "look"}
    assert sum(seconds for _, seconds in found.values()) == pytest.approx(3.0, abs=0.1)


def test_regions_are_ordered_by_what_is_in_them() -> None:
    @workflow(rewrite=False)
    def flow(a: str, go: bool) -> tuple[str, str]:
        first = branch(go, lambda: fetch(a), lambda: look(a))
        return first, loop(lambda s: (fetch(s), fetch(a))[0], a, max=2)

    found = saved(planned(flow))
    assert found["fetch"][0] == 3
    assert sum(seconds for _, seconds in found.values()) == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("kind", ["declared", "alone", "data", "parallel", "key"])
def test_nothing_is_said_where_nothing_is_to_be_saved(kind: str) -> None:
    @workflow(rewrite=False)
    def flow(a: str) -> list[str]:
        if kind == "declared":
            return [write(a), write(a)]
        if kind == "alone":
            return [fetch(a)]
        if kind == "data":
            return [fetch(look(fetch(a)))]
        if kind == "key":
            return [pay(a), pay(a)]
        with parallel():
            return [fetch(a), look(a)]

    plan = planned(flow)
    assert plan.undeclared == ()
    assert "declares none" not in render(plan)
