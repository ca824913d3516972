"""Checks of results wait for nobody but each other, and what waits for one is neither late nor paid for again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, field_validator

from orchestrator import llm, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError, UnsettledError
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.execution.at_most_once import once
from orchestrator.runtime.execution.lifecycle import result_of
from orchestrator.runtime.journal.events import OpFailed, OpStarted, OpUnsettled, Reserved, Spent
from orchestrator.runtime.runner import Runner
from tests.awaiting import until
from tests.runtime.engines.answering import chunk, serving, usage
from tests.runtime.slow_checks import CLUSTER, Gate, Slow, SlowInt, closed_gate, losing, running, waits


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    with closed_gate():
        yield


@asynccontextmanager
async def no_thread_for_checks(runtime: Runner) -> AsyncIterator[None]:
    """Something else takes the only one in there."""
    checks = runtime._services.checks
    checks._most_running = 1
    ended = threading.Event()
    holder = asyncio.create_task(checks.call(lambda: ended.wait(30)))
    yield
    ended.set()
    await holder


def is_waiting(runtime: Runner) -> bool:
    """Whether a check waits for a thread."""
    return any(each.waiting for each in runtime._services.checks._tenants.values())


@workflow
def replying(n: int) -> Slow:
    return llm(f"count {n}", returns=Slow, max_tokens=20)


@tool(effects="idempotent")
async def on_the_loop(n: int) -> SlowInt:
    return n


@workflow
def awaited(n: int) -> int:
    return on_the_loop(n)


@workflow
def answered_in_time(n: int) -> Slow:
    return llm(f"count {n}", returns=Slow, max_tokens=20, timeout=1)


def remote(url: str) -> OpenAIEngine:
    return OpenAIEngine("main", "scripted", OpenAIOptions(base_url=url, key_env="NO_SUCH_KEY", kv_hints=False))


async def test_the_timeout_ends_it_behind_an_endpoint_too() -> None:
    with serving([chunk('{"n": 3}', "stop"), usage()]) as endpoint:
        async with asyncio.timeout(60), Runner({"main": remote(endpoint.url)}) as runtime:
            Gate.opened.set()
            await runtime.run(compile_workflow(replying, CLUSTER), {"n": 3})  # the first call connects
            Gate.begun.clear()
            Gate.opened.clear()
            with pytest.raises(RunError) as caught:
                await runtime.run(compile_workflow(answered_in_time, CLUSTER), {"n": 3})
    assert caught.value.code == "ORCH-R004"
    assert Gate.begun.is_set()


async def test_a_call_that_is_cancelled_while_its_reply_is_checked_had_its_turn() -> None:
    with serving([chunk('{"n": 3}', "stop"), usage()]) as endpoint:
        async with asyncio.timeout(60), Runner({"main": remote(endpoint.url)}) as runtime:
            runtime._services.checks._most_running = 0
            flow = compile_workflow(replying, CLUSTER)
            run = asyncio.create_task(runtime.run(flow, {"n": 3}, run_id="r"))
            checks = runtime._services.checks
            await until(lambda: any(each.waiting for each in checks._tenants.values()))
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
            events = await runtime.journal.load("r")
    assert [each for each in events if isinstance(each, OpFailed)] == []
    assert [each.usage.output_tokens for each in events if isinstance(each, Spent)] == [5]


@workflow
def patient(n: int) -> Slow:
    return llm(f"count {n}", returns=Slow, max_tokens=20, timeout=0.2, retry=2)


async def test_waiting_for_a_thread_is_no_time_of_the_call() -> None:
    Gate.opened.set()
    async with running() as runtime:
        async with no_thread_for_checks(runtime):
            run = asyncio.create_task(runtime.run(compile_workflow(patient, CLUSTER), {"n": 3}, run_id="r"))
            await until(lambda: is_waiting(runtime))
            await asyncio.sleep(0.4)  # longer than its timeout
        assert (await run).value == Slow(n=3)
        assert len([each for each in await runtime.journal.load("r") if isinstance(each, OpStarted)]) == 1


async def test_slow_tools_hold_no_check_up() -> None:
    Gate.opened.set()
    async with running() as runtime:
        runtime._services.threads._most_running = 0
        runtime._services.threads._most_written_off = 0
        assert (await runtime.run(compile_workflow(replying, CLUSTER), {"n": 3})).value == Slow(n=3)


@pytest.mark.parametrize("flow", [replying, awaited], ids=lambda flow: flow.name)
async def test_nothing_is_paid_for_that_could_not_be_checked(flow: Any) -> None:
    async with running() as runtime:
        runtime._services.checks._most_written_off = 1
        hanging = asyncio.create_task(runtime._services.checks.call(partial(waits, 1)))
        await until(Gate.begun.is_set)
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)
        with pytest.raises(RunError) as caught:
            await runtime.run(compile_workflow(flow, CLUSTER), {"n": 3}, run_id="r")
        events = await runtime.journal.load("r")
    assert caught.value.code == "ORCH-R040"
    assert [each for each in events if isinstance(each, Reserved)] == []


paid: list[int] = []


@tool(effects="once", timeout=0.2)
async def paying_once(n: int) -> SlowInt:
    paid.append(n)
    return n


@workflow
def buying(n: int) -> int:
    return paying_once(n)


@pytest.mark.parametrize("ends", ["its timeout", "the run"])
async def test_a_payment_that_returned_is_never_unsettled(ends: str) -> None:
    paid.clear()
    flow = compile_workflow(buying, CLUSTER)
    async with running() as runtime:
        if ends == "the run":
            run = asyncio.create_task(runtime.run(flow, {"n": 3}, run_id="r"))
            await until(Gate.begun.is_set)
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
        else:
            with pytest.raises(RunError, match="has returned") as caught:
                await runtime.run(flow, {"n": 3}, run_id="r")
            assert caught.value.code == "ORCH-R004"
        events = await runtime.journal.load("r")
        assert [each.began for each in events if isinstance(each, OpFailed)] == [True]
        assert [each for each in events if isinstance(each, OpUnsettled)] == []
        with pytest.raises(RunError, match=r"took longer|has returned") as again:
            await runtime.resume(flow, "r")
        assert again.value.code in {"ORCH-R004", "ORCH-R024"}
        Gate.opened.set()
        await runtime.settle(flow, "r", "paying_once_1", result=3)
        assert (await runtime.resume(flow, "r")).value == 3
    assert paid == [3]


async def test_a_payment_whose_check_waits_for_a_thread_succeeds() -> None:
    Gate.opened.set()
    async with running() as runtime:
        async with no_thread_for_checks(runtime):
            run = asyncio.create_task(runtime.run(compile_workflow(buying, CLUSTER), {"n": 3}))
            await until(lambda: is_waiting(runtime))
            await asyncio.sleep(0.4)  # longer than its timeout
        assert (await run).value == 3


@tool(effects="idempotent")
async def once_checked(n: int) -> int:
    await until(Gate.begun.is_set)
    return n


@workflow
def two(n: int) -> list[Slow]:
    first = llm(f"count {n}", returns=Slow, max_tokens=400)
    return [first, llm(f"count {once_checked(n)}", returns=Slow, max_tokens=400)]


async def test_what_a_call_does_not_use_is_free_while_its_reply_is_checked() -> None:
    """Two worst cases do not fit into the budget, and all that is used does."""
    async with running() as runtime:
        run = asyncio.create_task(
            runtime.run(compile_workflow(two, CLUSTER), {"n": 3}, run_id="r", budget="700 tokens")
        )
        engine = next(iter(runtime.engines)).replicas[0]
        await until(lambda: run.done() or len(engine.requests) == 2)
        Gate.opened.set()
        result = await run
        events = await runtime.journal.load("r")
    assert result.value == [Slow(n=3)] * 2
    assert [each for each in events if isinstance(each, Spent)] == []


async def test_a_reply_that_does_not_fit_is_counted_once() -> None:
    class Fussy(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def _refuses(cls, value: int) -> int:
            raise ValueError("three is too many")

    @workflow
    def fussy(n: int) -> Fussy:
        return llm("count", returns=Fussy, max_tokens=100)

    async with running() as runtime:
        execution = runtime._execution(compile_workflow(fussy, CLUSTER).program, "r")
        with pytest.raises(RunError, match="three is too many"):
            await result_of(execution, (3,))
        (spent,) = [each.usage for each in await runtime.journal.load("r") if isinstance(each, Spent)]
    assert execution.ledger.tokens == spent.input_tokens + spent.output_tokens


async def test_a_check_has_its_seconds_for_what_it_answers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "CHECK_TIMEOUT_S", 0.2)

    async with running() as runtime:
        with pytest.raises(UnsettledError):
            await runtime.run(compile_workflow(losing, CLUSTER), {"n": 3})


@workflow
def inner(n: SlowInt) -> int:
    return n


@tool(effects="idempotent")
async def calls_inner(n: int) -> int:
    return await inner.arun(n)


@workflow
def outer(n: int) -> int:
    return calls_inner(n)


async def test_inputs_of_workflows_that_async_tools_call_stop_nobody() -> None:
    async with running() as runtime:
        run = asyncio.create_task(runtime.run(compile_workflow(outer, CLUSTER), {"n": 3}))
        await until(lambda: Gate.begun.is_set() or run.done())
        assert not run.done()
        Gate.opened.set()
        assert (await run).value == 3


LANGUAGE: ContextVar[str] = ContextVar("language", default="none")


def in_the_language(value: str) -> str:
    return f"{value} in {LANGUAGE.get()}"


Said = Annotated[str, AfterValidator(in_the_language)]


@workflow
def echo(text: Said) -> str:
    return text


async def test_validators_of_inputs_see_the_callers_context() -> None:
    LANGUAGE.set("Basque")
    async with Runner() as runtime:
        assert (await runtime.run(compile_workflow(echo), {"text": "said"})).value == "said in Basque"


async def test_samples_that_fit_are_read_again_under_the_timeout() -> None:
    seen: list[int] = []

    class Again(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def _waits(cls, value: int) -> int:
            seen.append(value)
            return value if len(seen) == 1 else int(waits(value))

    @workflow
    def sampling(n: int) -> list[Again]:
        return llm("count", returns=Again, samples=2, at_least=1, max_tokens=20, timeout=0.2)

    engine = ScriptedEngine(['{"n": 3}', "none"])
    async with asyncio.timeout(20), Runner({"main": engine}) as runtime:
        with pytest.raises(RunError) as caught:
            await runtime.run(compile_workflow(sampling, CLUSTER), {"n": 3})
    assert caught.value.code == "ORCH-R003"
