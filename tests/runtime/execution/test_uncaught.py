"""What nothing catches: doubt, budgets, cancellation and a failing journal, and what is cleaned up all the same."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from orchestrator import attempt, llm, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.declared.policy import Budget
from orchestrator.errors import BudgetError, JournalError, UnsettledError
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.events import Event, OpDone
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.runner import Runner
from tests.runtime.catching import CLUSTER, compile_and_run, side_by_side


async def test_a_tool_that_must_run_once_and_was_cut_is_in_doubt_so_nothing_is_caught() -> None:
    started = asyncio.Event()

    @tool(effects="once")
    async def pay(n: int) -> int:
        started.set()
        await asyncio.sleep(60)
        return n

    @tool(effects="idempotent")
    async def fails(n: int) -> int:
        await started.wait()
        raise KeyError(n)

    @workflow
    def flow(n: int) -> str:
        return attempt(lambda: side_by_side(pay, fails, n), lambda e: "caught")

    compiled = compile_workflow(flow)
    async with Runner() as runtime:
        with pytest.raises(UnsettledError) as raised:
            await runtime.run(compiled, {"n": 1}, run_id="r")
        assert [each.code for each in raised.value.diagnostics] == ["ORCH-R020", "ORCH-R001"]
        await runtime.settle(compiled, "r", "pay_1", did_not_happen=True)
        with pytest.raises(UnsettledError):
            await runtime.resume(compiled, "r")


async def test_so_it_is_in_a_workflow_that_a_tool_calls() -> None:
    started = asyncio.Event()

    @tool(effects="once")
    async def pay(n: int) -> int:
        started.set()
        await asyncio.sleep(60)
        return n

    @workflow
    def inner(n: int) -> int:
        return pay(n)

    @tool(effects="idempotent")
    async def calls(n: int) -> int:
        return await inner.arun(n)

    @tool(effects="idempotent")
    async def fails(n: int) -> int:
        await started.wait()
        raise KeyError(n)

    @workflow
    def flow(n: int) -> str:
        return attempt(lambda: side_by_side(calls, fails, n), lambda e: "caught")

    with pytest.raises(UnsettledError) as raised:
        await compile_and_run(flow, {"n": 1})
    assert "`pay_1` of `inner`: it was cancelled while it ran" in raised.value.message
    assert raised.value.diagnostics[1].code == "ORCH-R001"


async def test_a_check_that_tells_makes_the_failure_one_that_is_caught() -> None:
    started = asyncio.Event()

    def was_paid(n: int) -> Literal["did not happen"]:
        return "did not happen"

    @tool(effects="once", check=was_paid)
    async def pay(n: int) -> int:
        started.set()
        await asyncio.sleep(60)
        return n

    @tool(effects="idempotent")
    async def fails(n: int) -> int:
        await started.wait()
        raise KeyError(n)

    @workflow
    def flow(n: int) -> str:
        return attempt(lambda: side_by_side(pay, fails, n), lambda e: "caught")

    assert await compile_and_run(flow, {"n": 1}) == "caught"


async def test_a_budget_around_the_attempt_is_not_caught_and_one_inside_is() -> None:
    @workflow(budget="10 tokens")
    def whole(q: str) -> str:
        return attempt(lambda: llm(q, max_tokens=500), lambda e: "caught")

    @workflow
    def own(q: str) -> str:
        return attempt(lambda: llm(q, max_tokens=500), lambda e: "caught", budget="10 tokens")

    @workflow
    def inside(q: str) -> str:
        return attempt(lambda: llm(q, max_tokens=500, budget="10 tokens"), lambda e: f"{e.kind}")

    async with Runner({"main": ScriptedEngine(["never"])}) as runtime:
        for flow in (whole, own):
            with pytest.raises(BudgetError):
                await runtime.run(compile_workflow(flow, CLUSTER), {"q": "?"})
        assert (await runtime.run(compile_workflow(inside, CLUSTER), {"q": "?"})).value == "budget"


async def test_the_seconds_of_a_run_are_not_caught_but_cleaned_up_after() -> None:
    log: list[str] = []

    @tool(effects="idempotent")
    async def slow(n: int) -> int:
        await asyncio.sleep(60)
        return n

    @tool(effects="idempotent")
    async def clean(n: int) -> int:
        await asyncio.sleep(0)
        log.append("cleaned")
        return n

    @workflow(budget=Budget(seconds=0.05))
    def flow(n: int) -> int:
        return attempt(lambda: slow(n), lambda e: 7, cleanup=lambda: clean(n))

    with pytest.raises(BudgetError):
        await compile_and_run(flow, {"n": 1})
    assert log == ["cleaned"]


async def test_cancelling_is_not_caught_and_cleans_up_and_so_does_the_run_that_goes_on() -> None:
    log: list[str] = []
    started = asyncio.Event()

    @tool(effects="idempotent")
    async def slow(n: int) -> int:
        started.set()
        if len(log) == 0:
            await asyncio.sleep(60)
        return n

    @tool(effects="idempotent")
    async def clean(text: str) -> str:
        await asyncio.sleep(0)
        log.append(text)
        return text

    @workflow
    def flow(n: int) -> int:
        return attempt(lambda: slow(n), lambda e: 7, cleanup=lambda: clean(f"cleaned {n}"))

    compiled = compile_workflow(flow)
    async with Runner() as runtime:
        task = asyncio.create_task(runtime.run(compiled, {"n": 1}, run_id="r"))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["cleaned 1"]
        assert (await runtime.resume(compiled, "r")).value == 1
        assert log == ["cleaned 1"] * 2
        events = await runtime.journal.load("r")
    cleaned = [event.frame for event in events if isinstance(event, OpDone) and event.op.startswith("clean")]
    assert cleaned == ["attempt_1.finally[0]/", "attempt_1.finally/"]


async def test_a_cleanup_that_fails_while_the_run_is_cancelled_is_told_and_the_run_stays_cancelled() -> None:
    started = asyncio.Event()

    @tool(effects="idempotent")
    async def slow(n: int) -> int:
        started.set()
        await asyncio.sleep(60)
        return n

    @tool(effects="idempotent")
    async def clean(n: int) -> int:
        raise KeyError(n)

    @workflow
    def flow(n: int) -> int:
        inner = lambda: attempt(lambda: slow(n), lambda e: 7, cleanup=lambda: clean(n))  # noqa: E731
        return attempt(inner, lambda e: 8)

    async with Runner() as runtime:
        task = asyncio.create_task(runtime.run(compile_workflow(flow), {"n": 1}, run_id="r"))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_journal_that_fails_is_not_caught() -> None:
    class Full(MemoryJournal):
        def append(self, run_id: str, event: Event) -> None:
            if isinstance(event, OpDone):
                raise OSError("no space left on device")
            super().append(run_id, event)

    @tool(effects="idempotent")
    async def fine(n: int) -> int:
        return n

    @workflow
    def flow(n: int) -> int:
        return attempt(lambda: fine(n), lambda e: 7, cleanup=lambda: fine(n))

    async with Runner(journal=Full()) as runtime:
        with pytest.raises(JournalError, match="no space left"):
            await runtime.run(compile_workflow(flow), {"n": 1})
