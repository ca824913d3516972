"""Every construct of the DSL is planned on level 2 and explained in each format; level 1 is refused."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest

from orchestrator import ask, attempt, branch, chat, llm, loop, map_, race, react, switch, tool, vote, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.regions.raising import fail_op
from orchestrator.dsl.tracing.tracer import require_tracer
from orchestrator.dsl.workflow import Workflow
from orchestrator.errors import PlanError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.explain import render
from orchestrator.planner.place import plan

CLUSTER = Cluster(engines=(EngineSpec(name="main", kind="sim", model="m"),))


@tool(effects="idempotent", typical_s=0.5)
def search(query: str) -> str:
    return query


@workflow
def branches(question: str) -> str:
    reply = llm(question)
    return branch(reply == "yes", then=lambda: llm("why?"), otherwise=lambda: search(reply))


@workflow
def switches(question: str) -> str:
    reply = llm(question, returns=Literal["bug", "billing", "other"])
    cases = {"bug": lambda: llm("why?"), "billing": lambda: search(reply)}
    return switch(reply, cases, otherwise=lambda: "none")


@workflow
def catches(question: str) -> str:
    found = attempt(lambda: search(question), lambda error: llm(f"{error}"), cleanup=lambda: search("in the end"))
    return branch(found == "", then=nothing, otherwise=lambda: found)


def nothing() -> str:
    fail_op(require_tracer("nothing"), KeyError("nothing was found"))
    return ""


@workflow
def loops(question: str) -> str:
    return loop(lambda state: llm(f"Shorter: {state}"), question, max=3, until=lambda state: state == "")


@workflow
def maps(items: list[str]) -> list[str]:
    return map_(lambda item: llm(f"About {item}"), items, limit=4)


@workflow
def races(question: str) -> str:
    return race(lambda: search(question), lambda: llm(question))


@workflow
def votes(question: str) -> str:
    return vote(llm(question, samples=3))


@workflow
def reacts(question: str) -> str:
    return react(question, tools=[search], max_steps=3)


@workflow
def calls_others(question: str) -> str:
    return branches(question) + loops(question)


@workflow
def asks(question: str) -> str:
    return search(ask(f"May I search for {question}?", choices=["yes", "no"]))


@workflow
def forks(question: str) -> list[str]:
    chats = chat(system="Be brief.").say(question, samples=3).chats
    return map_(lambda one: one.say("Sure?").reply, chats)


CONSTRUCTS: list[tuple[Workflow[..., Any], str]] = [
    (branches, "branch_1"),
    (switches, "switch_1"),
    (catches, "attempt_1"),
    (loops, "loop_1"),
    (maps, "map_1"),
    (races, "race_1"),
    (votes, "llm_1"),
    (reacts, "loop_1"),
    (calls_others, "branches/branch_1"),
    (asks, "ask_1"),
    (forks, "map_1"),
]
flows = pytest.mark.parametrize(("flow", "op_id"), CONSTRUCTS, ids=[flow.name for flow, _ in CONSTRUCTS])


@flows
def test_a_construct_is_planned_and_explained(flow: Workflow[..., Any], op_id: str) -> None:
    made = compile_workflow(flow, CLUSTER).plan
    planned = made.by_id[op_id]
    assert planned.source.partition(":")[0].endswith("test_levels.py")
    assert 0 < made.seconds.mid <= made.seconds.hi
    assert op_id.rpartition("/")[2] in render(made, every_op=True)
    assert op_id in [op["id"] for op in json.loads(render(made, format="json"))["ops"]]
    dot = render(made, format="dot")
    assert dot.startswith("digraph")
    assert op_id in dot


@flows
def test_level_1_is_refused_with_what_to_do(flow: Workflow[..., Any], op_id: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan(flow.trace().module, CLUSTER)
    for found in caught.value.diagnostics:
        assert (found.code, found.message.partition(" (")[0][:31]) == ("ORCH-P012", "the planner cannot price agent.")
        assert found.fix is not None
        assert "run_pipeline" in found.fix


@pytest.mark.parametrize("depth", [16, 40])
def test_loops_within_loops_without_end_have_a_plan(depth: int) -> None:
    @workflow
    def flow(text: str) -> str:
        def nested(level: int, state: str) -> str:
            if level == 0:
                return llm(f"Go on: {state}")
            return loop(lambda inner: nested(level - 1, inner), state, max=2**31 - 1)

        return nested(depth, text)

    found = compile_workflow(flow).plan
    assert 1e100 < found.seconds.hi < float("inf")
    assert found.tokens.hi < float("inf")
