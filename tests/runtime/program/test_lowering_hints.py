"""Hints delay nothing: with them, every op starts after the same others as without."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import branch, chat, loop, map_, race, tool, workflow
from orchestrator.dsl.workflow import Workflow
from orchestrator.passes.kv.lifetime import KvLifetime
from orchestrator.passes.pipeline import PIPELINE, run_pipeline
from orchestrator.planner.graph import read
from orchestrator.runtime.engines.base import GenerateRequest
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.program.lowering import lower
from orchestrator.runtime.program.program import Program, Region
from orchestrator.runtime.program.specs import Generate, Prefetch, Release, Supersede, ToolCall
from orchestrator.runtime.runner import Runner
from tests.runtime.execution.model_calls.test_sessions_properties import flow_of


@tool(effects="idempotent", pause_features=("query",))
async def sql(query: str) -> str:
    return query


@tool(effects="idempotent")
async def web(query: str) -> str:
    return query


@tool(effects="pure")
def is_odd(text: str) -> bool:
    return len(text) % 2 == 1


def lowered(flow: Workflow[..., Any], *, hinted: bool) -> Program:
    """The program of a workflow that no plan was made for."""
    traced = flow.trace()
    passes = [each for each in PIPELINE if hinted or not isinstance(each, KvLifetime)]
    level2, _ = run_pipeline(traced.module, passes=passes)
    return lower(read(level2), traced.bindings, returns=traced.returns, program_hash="hash")


def waits(program: Program) -> dict[str, set[str]]:
    """For each op that is no hint, the ops of its region that have ended when it starts."""
    found: dict[str, set[str]] = {}
    for region in program.regions.values():
        ended = _ended(region)
        for index, segment in enumerate(region.segments):
            for op in segment.starts:
                if not isinstance(op.spec, Release | Supersede | Prefetch):
                    found[region.key + op.id] = ended[index]
    return found


def _ended(region: Region) -> list[set[str]]:
    """By segment, the ops that have ended when it runs; segments come behind those that they wait for."""
    ended: list[set[str]] = [set() for _ in region.segments]
    for index, segment in enumerate(region.segments):
        for join in segment.joins:
            ended[join] |= ended[index]
        for op in segment.starts:
            ended[op.after] |= {*ended[index], op.id}
    return ended


def beside_a_branch(q: str) -> str:
    reply, talk = chat("s").say("outline " + q)
    rows = branch(is_odd(q), then=lambda: sql(q), otherwise=lambda: web(q))
    return talk.say(f"{reply} {rows}").reply


def beside_a_tool(q: str) -> str:
    reply, talk = chat("s").say(q)
    return talk.say(f"{reply} {sql(web(q))}").reply


def beside_some(q: str) -> str:
    reply, talk = chat("s").say(q)
    rows = branch(is_odd(q), then=lambda: sql(reply), otherwise=lambda: web(web(q)))
    return talk.say(f"{rows} {sql(web(q))}").reply


def beside_in_regions(q: str) -> str:
    talk = chat("s").say(q).chat

    def step(state: Any) -> Any:
        text, talk = state
        rows = map_(sql, [web(text), text])
        reply, after = talk.say("x" + text)
        won = race(lambda: web(text), lambda: sql(reply))
        reply, after = after.say(f"{rows[0]} {won}")
        return reply, after

    return loop(step, (q, talk), max=3)[0]


FLOWS = [beside_a_branch, beside_a_tool, beside_some, beside_in_regions]


@pytest.mark.parametrize("flow", FLOWS)
def test_an_op_waits_for_nothing_that_only_a_hint_is_about(flow: Any) -> None:
    compiled = workflow(flow)
    plain = waits(lowered(compiled, hinted=False))
    assert waits(lowered(compiled, hinted=True)) == plain
    assert len(plain) > 3


async def test_a_tool_runs_beside_the_turn_that_it_does_not_need() -> None:
    begun = asyncio.Event()

    @tool(effects="idempotent", pause_features=("query",))
    async def begin(query: str) -> str:
        begun.set()
        return query

    async def reply_after_it_has_begun(_: GenerateRequest) -> str:
        await begun.wait()
        return "ok"

    def flow(q: str) -> str:
        reply, talk = chat("s").say(q)
        return talk.say(f"{reply} {begin(web(q))}").reply

    async with Runner({"main": ScriptedEngine(reply_after_it_has_begun)}) as runtime, asyncio.timeout(20):
        assert (await runtime.run_program(lowered(workflow(flow), hinted=True), ("q",))).value == "ok"


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 1 << 30))
def test_an_op_of_a_random_workflow_waits_for_nothing_that_only_a_hint_is_about(seed: int) -> None:
    flow = flow_of(seed)
    assert waits(lowered(flow, hinted=True)) == waits(lowered(flow, hinted=False))


def test_a_tool_that_needs_the_turn_still_says_what_the_pause_is_about() -> None:
    def flow(q: str) -> str:
        reply, talk = chat("s").say(q)
        rows = branch(is_odd(reply), then=lambda: sql(web(q)), otherwise=lambda: web(q))
        return talk.say(f"{rows} {web(q)}").reply

    regions = lowered(workflow(flow), hinted=True).regions
    refining = {
        region.key + op.id: [pause.tool for pause in op.spec.in_pauses]
        for region in regions.values()
        for op in region.ops()
        if isinstance(op.spec, ToolCall) and op.spec.in_pauses
    }
    assert refining == {
        "branch_1.then/web_1": ["is_odd+web+sql+web"],
        "branch_1.then/sql_1": ["is_odd+web+sql+web"],
        "branch_1.otherwise/web_2": ["is_odd+web+web"],
    }
    (first, _) = (op.spec for op in regions[""].ops() if isinstance(op.spec, Generate))
    assert first.pause is not None
    assert first.pause.is_refined
