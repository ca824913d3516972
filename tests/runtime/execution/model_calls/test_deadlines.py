"""Each model call of a run says by when its run should be done, and what of the run is left behind it."""

from __future__ import annotations

import pytest

from orchestrator import chat, llm, loop, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.runtime.runner import Runner
from tests.runtime.session_runs import CLUSTER, Engine, Run, text


@workflow(slo="p95 < 8s")
def agent(question: str) -> str:
    def turn(state: tuple[str, object]) -> tuple[str, object]:
        reply, talk = state[1].say(state[0])
        return reply, talk

    last = loop(turn, (question, chat("s")), max=4)
    return llm(f"Sum up: {last[0]}")


async def test_later_calls_have_the_deadline_of_their_run_and_less_behind_them() -> None:
    engine = Engine(text)
    run = Run(agent, engine)
    await run.result("why")
    told = engine.hints
    assert len(told) == 5
    assert {hint.deadline_s for hint in told} == {run.execution.arrival_s + 8.0}
    left = [hint.critical_path_s for hint in told]
    assert all(each is not None for each in left)
    assert left == sorted(left, reverse=True)  # type: ignore[type-var]
    assert left[0] > left[1] > 0.0  # type: ignore[operator]
    assert left[-1] == pytest.approx(0.0, abs=1e-3)
    assert all(hint.call_s and hint.call_s > 0 for hint in told)


async def test_a_run_without_an_slo_has_no_deadline() -> None:
    def unhurried(question: str) -> str:
        return llm(question)

    engine = Engine(text)
    await Run(unhurried, engine).result("why")
    assert [hint.deadline_s for hint in engine.hints] == [None]


async def test_an_inner_run_is_to_be_done_by_the_deadline_of_the_one_that_waits_for_it() -> None:
    """Its own, of 8 s, is later than that of the outer one, of 2 s."""

    @tool(effects="idempotent")
    async def delegate(question: str) -> str:
        return await agent.arun(question)

    @workflow(slo="p95 < 2s")
    def outer(question: str) -> str:
        return llm(delegate(llm(question)))

    engine = Engine(text)
    async with Runner({"main": engine}) as runtime:
        await runtime.run(compile_workflow(outer, CLUSTER), {"question": "why"})
    told = engine.hints
    assert len(told) == 7
    assert len({hint.program for hint in told}) == 2
    assert {hint.deadline_s for hint in told} == {(told[0].program_arrival_s or 0.0) + 2.0}
