"""Workflows that tools call: on the engines, in the budget and for the tenant of the run around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest

from orchestrator import Happened, Retry, ask, llm, map_, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import BudgetError, EngineError, RunError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.base import Chunk, GenerateRequest
from orchestrator.runtime.engines.errors import overloaded
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.journal.replay import replay
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.result import RunResult
from orchestrator.runtime.runner import Runner
from orchestrator.runtime.tools.threads import MOST_RUNNING
from orchestrator.testing import fake

CLUSTER = Cluster(engines=(EngineSpec(name="main", kind="scripted", model="scripted"),))


class Heard(ScriptedEngine):
    """Keeps for whom it was asked; answers with the last word of the prompt."""

    def __init__(self) -> None:
        super().__init__(lambda request: request.messages[-1].content.split()[-1])
        self.tenants: list[str | None] = []
        self.closed_early = 0
        self.waits: asyncio.Event | None = None

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        self.tenants.append(request.kv.tenant if request.kv is not None else None)
        try:
            if self.waits is not None:
                self.waits.set()
                await asyncio.Event().wait()
            async for chunk in super().generate(request):
                yield chunk
        except (asyncio.CancelledError, GeneratorExit):
            self.closed_early += 1
            raise


@workflow
def inner(q: str) -> str:
    return llm(f"say {q}", max_tokens=20)


@tool(effects="idempotent")
def by_thread(q: str) -> str:
    return inner(q) + inner(q)


@tool(effects="idempotent")
async def by_await(q: str) -> str:
    return await inner.arun(q) + await inner.arun(q)


@tool(effects="idempotent")
async def by_gather(q: str) -> str:
    return "".join(await asyncio.gather(inner.arun(q), inner.arun(q)))


@tool(effects="idempotent")
def by_own_loop(q: str) -> str:
    return asyncio.run(inner.arun(q)) + asyncio.run(inner.arun(q))


@tool(effects="idempotent")
async def by_to_thread(q: str) -> str:
    return "".join([await asyncio.to_thread(inner, q), await asyncio.to_thread(inner, q)])


@tool(effects="idempotent")
def by_own_pool(q: str) -> str:
    with ThreadPoolExecutor(2) as pool:
        begun = [pool.submit(copy_context().run, inner, q) for _ in range(2)]
        return "".join(each.result() for each in begun)


def around(called: Any) -> Any:
    """A workflow of one call."""

    def flow(q: str) -> str:
        return called(q)  # type: ignore[no-any-return]

    flow.__name__ = called.name
    return workflow(flow)


threaded, awaited, gathered, own_loop = map(around, (by_thread, by_await, by_gather, by_own_loop))
to_thread, own_pool = map(around, (by_to_thread, by_own_pool))


async def result(flow: Any, engine: Heard, value: object = "hi", **options: Any) -> RunResult:
    (name,) = flow.boundary.params
    async with asyncio.timeout(60), Runner({"main": engine}) as runtime:
        return await runtime.run(compile_workflow(flow, CLUSTER), {name: value}, **options)


ways = pytest.mark.parametrize(
    "flow", [threaded, awaited, gathered, own_loop, to_thread, own_pool], ids=lambda flow: flow.name
)


@ways
async def test_has_the_engine_and_the_tenant_and_is_in_the_usage(flow: Any) -> None:
    engine = Heard()
    found = await result(flow, engine, tenant="acme")
    assert found.value == "hihi"
    assert engine.tenants
    assert set(engine.tenants) == {"acme"}
    stats = await engine.stats()
    assert found.usage.output_tokens == stats.usage.output_tokens > 0


@ways
async def test_counts_against_the_budget_around_it(flow: Any) -> None:
    engine = Heard()
    with pytest.raises(BudgetError) as caught:
        await result(flow, engine, budget="23 tokens")
    assert caught.value.code == "ORCH-R010"


@tool(effects="idempotent")
def through_two(n: int) -> int:
    return deeper(n)


@tool(effects="idempotent")
def leaf(n: int) -> int:
    return n + 1


@workflow
def deepest(n: int) -> int:
    return leaf(n)


@tool(effects="idempotent")
def middle(n: int) -> int:
    return deepest(n)


@workflow
def deeper(n: int) -> int:
    return middle(n)


@workflow
def many(ns: list[int]) -> list[int]:
    return map_(through_two, ns, limit=1000)


async def test_tools_that_wait_for_workflows_leave_them_threads() -> None:
    ns = list(range(MOST_RUNNING * 3))
    assert (await result(many, Heard(), ns)).value == [n + 1 for n in ns]


@tool(effects="idempotent")
async def by_blocking(q: str) -> str:
    return inner(q)


@tool(effects="pure", cheap=True)
def by_blocking_inline(q: str) -> str:
    return inner(q)


@tool(effects="idempotent")
def by_itself(q: str) -> str:
    return endless(q)


endless = around(by_itself)


@tool(effects="idempotent", isolation="process")
def in_a_process(q: str) -> str:
    return inner(q)


@pytest.mark.parametrize(
    ("flow", "fix"),
    [
        (around(by_blocking), "await inner.arun"),
        (around(by_blocking_inline), "await inner.arun"),
        (endless, "end the recursion"),
        (around(in_a_process), 'without isolation="process"'),
    ],
    ids=lambda each: getattr(each, "name", ""),
)
async def test_is_refused_where_it_cannot_run(flow: Any, fix: str) -> None:
    with pytest.raises(RunError) as caught:
        await result(flow, Heard())
    assert caught.value.code == "ORCH-R045"
    assert fix in (caught.value.diagnostics[0].fix or "")


@pytest.mark.parametrize("called", [by_thread, by_to_thread, by_own_loop], ids=lambda called: called.name)
async def test_ends_with_the_call_of_its_tool(called: Any) -> None:
    @workflow
    def cut_short(q: str) -> str:
        return called.options(timeout=2)(q)  # type: ignore[no-any-return]

    engine = Heard()
    engine.waits = asyncio.Event()
    with pytest.raises(RunError) as caught:
        await result(cut_short, engine)
    assert caught.value.code == "ORCH-R004"
    assert engine.waits.is_set()
    assert engine.closed_early == 1


@tool(effects="idempotent")
async def twice(q: str) -> str:
    first = await awaited.arun(q)
    return first + await inner.arun("more")


async def test_the_tool_around_several_runs_stays_the_one_that_calls() -> None:
    engine = Heard()
    found = await result(around(twice), engine)
    assert found.value == "hihimore"
    assert found.usage.output_tokens == (await engine.stats()).usage.output_tokens


def test_runs_on_the_fake_engine_too() -> None:
    with fake(lambda messages: "faked") as engine:
        assert threaded("x") == "fakedfaked"
    assert len(engine.requests) == 2


@workflow
def questions(q: str) -> str:
    return ask(f"{q}?", name="sure")


@tool(effects="idempotent")
async def unsure(q: str) -> str:
    return await questions.arun(q)


@pytest.mark.parametrize("store", [None, MemoryStore()], ids=["without a store", "with one"])
async def test_a_question_that_nobody_is_there_for_says_where_it_could_wait(store: MemoryStore | None) -> None:
    async with Runner(store=store) as runtime:
        with pytest.raises(RunError) as caught:
            await runtime.run(compile_workflow(around(unsure)), {"q": "hi"})
    assert caught.value.code == "ORCH-R030"
    (told,) = caught.value.diagnostics
    assert told.why is not None
    assert "the tool `unsure_1` has called `questions`" in told.why
    assert told.fix is not None
    assert "call `questions` in the workflow itself, or ask there and give `unsure_1` the answer" in told.fix


def asks(q: str) -> Any:
    return Happened(inner(q))


async def asks_and_awaits(q: str) -> Any:
    return Happened(await inner.arun(q))


@pytest.mark.parametrize("check", [asks, asks_and_awaits])
async def test_checks_may_call_workflows_too(check: Any) -> None:
    @tool(effects="once", check=check, timeout=0.01)
    async def pay(q: str) -> str:
        await asyncio.sleep(60)
        return "never"

    @workflow
    def pays(q: str) -> str:
        return pay(q)

    found = await result(pays, Heard())
    assert (found.value, found.usage.output_tokens) == ("hi", 1)


async def test_the_checks_of_inner_runs_do_not_wait_for_the_tools_around_them() -> None:
    def was_paid(q: str) -> Any:
        return Happened(q)

    @tool(effects="once", check=was_paid, timeout=0.01)
    async def pay(q: str) -> str:
        await asyncio.sleep(60)
        return "never"

    @workflow
    def pays(q: str) -> str:
        return pay(q)

    @tool(effects="idempotent")
    def around(q: str) -> str:
        return pays(q)

    @workflow
    def flow(qs: list[str]) -> list[str]:
        return map_(around, qs, limit=100)

    names = [str(n) for n in range(MOST_RUNNING)]
    async with Runner() as runtime:
        assert (await runtime.run(compile_workflow(flow), {"qs": names})).value == names


@pytest.mark.parametrize("flow", [threaded, awaited], ids=["thread", "await"])
async def test_after_a_crash_what_the_inner_runs_have_used_counts_and_what_they_were_about_to(flow: Any) -> None:
    journal, engine = MemoryJournal(), Heard()
    program = compile_workflow(flow, CLUSTER).program
    async with Runner({"main": engine}, journal=journal) as runtime:
        run = asyncio.create_task(runtime.run(compile_workflow(flow, CLUSTER), {"q": "hi"}, run_id="r"))
        while not (spent := replay(program, await journal.load("r")).spending.usage).output_tokens:
            await asyncio.sleep(0)
        engine.waits = asyncio.Event()
        await engine.waits.wait()
        state = replay(program, await journal.load("r"))
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    assert spent == state.spending.usage
    (lost,) = state.lost_calls(0.0)
    assert lost.usage.output_tokens == 20
    assert state.spent_within(next(iter(state.unfinished))[1]).tokens == spent.input_tokens + spent.output_tokens


async def test_a_call_within_that_goes_on_without_what_was_refused_leaves_nothing_reserved_around_it() -> None:
    said = iter([["7", "no number"], [overloaded("main", "busy")]])

    def answer(request: GenerateRequest) -> Any:
        replies: Any = next(said)
        if isinstance(replies[0], EngineError):
            raise replies[0]
        return replies

    @workflow
    def counts(q: str) -> list[int]:
        return llm(q, returns=int, samples=2, at_least=1, retry=Retry(2, backoff_s=0), max_tokens=10)

    @tool(effects="idempotent")
    async def several(q: str) -> list[int]:
        return await counts.arun(q)

    @workflow
    def around(q: str) -> list[int]:
        return several(q)

    flow = compile_workflow(around, CLUSTER)
    async with Runner({"main": ScriptedEngine(answer)}) as runtime:
        result = await runtime.run(flow, {"q": "how many?"}, run_id="r")
        assert result.value == [7]
        assert not replay(flow.program, await runtime.journal.load("r")).reserved
