"""A resumed run has spent what it has spent: each budget is as full as it was, and no fuller."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from orchestrator import Retry, llm, loop, tool, workflow
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import BudgetError, RunError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.execution import perform
from orchestrator.runtime.journal.events import (
    Event,
    OpDone,
    OpFailed,
    OpStarted,
    Reserved,
    RunDone,
    RunFailed,
    RunResumed,
    RunStarted,
    Spent,
)  # fmt: skip
from orchestrator.runtime.journal.lines.chats import Chats
from orchestrator.runtime.journal.lines.live import Live
from orchestrator.runtime.journal.lines.wire import Wire
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.journal.replay import replay
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.runner import Runner
from tests.runtime.journal.text import Codec

SPEC = EngineSpec(
    name="main", kind="scripted", model="m", usd_per_million_input_tokens=1e3, usd_per_million_output_tokens=1e4
)
CLUSTER = Cluster(engines=(SPEC,))
WORDS = "word " * 40


def compiled(flow: Any) -> Compiled:
    return compile_workflow(flow, CLUSTER)


def journal_of(events: Sequence[Event]) -> MemoryJournal:
    journal = MemoryJournal()
    for event in events:
        journal.append("r", event)
    return journal


def spent(events: Sequence[Event]) -> int:
    usages = [event.usage for event in events if isinstance(event, (OpDone, Spent)) and event.usage is not None]
    return sum(usage.input_tokens + usage.output_tokens for usage in usages)


@tool(effects="idempotent")
async def note(text: str) -> str:
    return text


@workflow
def chatter(q: str) -> str:
    return loop(lambda s: note(llm(f"go {s}", max_tokens=50)), q, max=8, name="turns", budget="600 tokens")


async def recorded(flow: Compiled, engine: ScriptedEngine, **inputs: object) -> list[Event]:
    async with Runner({"main": engine}) as runtime:
        with pytest.raises(BudgetError):
            await runtime.run(flow, inputs, run_id="r")
        return list(await runtime.journal.load("r"))


async def test_the_budget_of_a_loop_holds_over_every_interruption() -> None:
    flow = compiled(chatter)
    events = await recorded(flow, ScriptedEngine(lambda _: WORDS), q="x")
    assert 400 < spent(events) <= 600
    for cut in range(1, len(events)):
        journal = journal_of(events[:cut])
        async with Runner({"main": ScriptedEngine(lambda _: WORDS)}, journal=journal) as runtime:
            with pytest.raises(BudgetError):
                await runtime.resume(flow, "r")
            assert spent(await journal.load("r")) <= 600


async def test_what_the_attempts_at_a_structured_op_spent_counts_against_its_budget() -> None:
    failures = [OSError("network"), OSError("network")]

    @tool(effects="idempotent")
    async def flaky(text: str) -> str:
        if failures:
            raise failures.pop()
        return text

    @workflow
    def flow(q: str) -> str:
        return loop(
            lambda s: flaky(llm(f"go {s}", max_tokens=50)), q, max=1, budget="110 tokens",
            retry=Retry(attempts=9, backoff_s=0),
        )  # fmt: skip

    flow_ = compiled(flow)
    events = await recorded(flow_, ScriptedEngine(lambda _: WORDS), q="x")
    calls = sum(isinstance(event, Reserved) for event in events)
    cut = [event for event in events if not isinstance(event, RunFailed)]
    while isinstance(cut[-1], OpFailed):
        cut.pop()
    engine = ScriptedEngine(lambda _: WORDS)
    async with Runner({"main": engine}, journal=journal_of(cut)) as runtime:
        with pytest.raises(BudgetError):
            await runtime.resume(flow_, "r")
    assert calls == 2
    assert not engine.requests


async def test_a_call_that_was_under_way_is_charged_at_its_worst() -> None:
    @workflow(budget="$2")
    def flow(q: str) -> str:
        return llm(q, max_tokens=30, name="ask")

    flow_ = compiled(flow)
    async with Runner({"main": ScriptedEngine(["one two three"])}) as runtime:
        await runtime.run(flow_, {"q": "how many?"}, run_id="r")
        events = list(await runtime.journal.load("r"))
    reserved = next(event for event in events if isinstance(event, Reserved))
    assert reserved.most.output_tokens == 30
    crashed = events[: events.index(reserved) + 1]
    async with Runner({"main": ScriptedEngine(["one two three"])}, journal=journal_of(crashed)) as runtime:
        result = await runtime.resume(flow_, "r")
        log = await runtime.journal.load("r")
    charged = [event for event in log if isinstance(event, Spent)]
    assert [(event.usage, event.cost_usd) for event in charged] == [(reserved.most, reserved.cost_usd)]
    assert result.usage.estimated
    assert result.usage.output_tokens == 30 + 3
    state = replay(flow_.program, log)
    assert not state.reserved
    assert result.cost_usd == pytest.approx(state.spending.cost_usd)


async def test_the_call_that_was_under_way_may_have_used_up_the_budget() -> None:
    @workflow(budget="60 tokens")
    def flow(q: str) -> str:
        return llm(q, max_tokens=40, name="ask")

    flow_ = compiled(flow)
    async with Runner({"main": ScriptedEngine(["one"])}) as runtime:
        await runtime.run(flow_, {"q": "how many?"}, run_id="r")
        events = list(await runtime.journal.load("r"))
    crashed = [event for event in events if isinstance(event, (RunStarted, OpStarted, Reserved))]
    engine = ScriptedEngine(["one"])
    async with Runner({"main": engine}, journal=journal_of(crashed)) as runtime:
        with pytest.raises(BudgetError):
            await runtime.resume(flow_, "r")
    assert not engine.requests


async def test_a_refused_call_leaves_nothing_reserved() -> None:
    @workflow
    def flow(q: str) -> str:
        return llm(q, name="ask")

    flow_ = compiled(flow)
    async with Runner({"main": ScriptedEngine([ConnectionError("refused")])}) as runtime:
        with pytest.raises(RunError):
            await runtime.run(flow_, {"q": "?"}, run_id="r")
        state = replay(flow_.program, await runtime.journal.load("r"))
    assert not state.reserved
    assert state.spending.usage == Usage()


def later(events: Sequence[Event], seconds: float) -> list[Event]:
    return [event._replace(at=event.at + seconds) for event in events]


def test_the_time_between_an_interruption_and_the_resume_is_nobodys() -> None:
    flow = compiled(chatter)
    start = RunStarted("r", "chatter", flow.program.fingerprint, ("x",), 100.0)
    events: list[Event] = [
        start,
        OpStarted("", "turns", 1, 100.0),
        OpFailed("", "turns", 1, "ORCH-R001", "crash", None, 103.0),
        RunFailed("ORCH-R001", "crash", "turns", None, 104.0),
        RunResumed(90_000.0, active_s=4.0),
        OpStarted("", "turns", 1, 90_001.0),
        RunResumed(180_000.0, active_s=5.0),
        RunDone("x", 180_002.5),
    ]
    state = replay(flow.program, events)
    assert state.active_s == pytest.approx(4.0 + 1.0 + 2.5)
    assert state.op_s["", "turns"] == pytest.approx(3.0)
    assert replay(flow.program, later(events, 1e6)).active_s == pytest.approx(7.5)


def test_the_time_between_two_resumptions_is_nobodys_where_nothing_began_in_between() -> None:
    flow = compiled(chatter)
    start = RunStarted("r", "chatter", flow.program.fingerprint, ("x",), 100.0)
    events = [start, OpStarted("", "turns", 1, 100.0), RunResumed(90_000.0, active_s=4.0)]
    wire, live = Wire(flow.program, Chats()), Live()
    for event in events:
        live.add(wire.write(event))
    again = RunResumed(180_000.0, active_s=4.0)
    state = replay(flow.program, [*(wire.read(data) for data in live.data()), again])
    assert state.op_s.get(("", "turns"), 0.0) < 5.0


async def test_a_days_pause_uses_up_no_budget_of_seconds() -> None:
    failing = [OSError("network")]

    @tool(effects="idempotent")
    async def step(n: int) -> int:
        if failing:
            raise failing.pop()
        return n + 1

    @workflow(budget="1 h")
    def flow(n: int) -> int:
        return loop(step, n, max=1, budget="10 min")

    flow_ = compiled(flow)
    async with Runner() as runtime:
        with pytest.raises(RunError):
            await runtime.run(flow_, {"n": 1}, run_id="r")
        yesterday = journal_of(later(await runtime.journal.load("r"), -86_400.0))
    async with Runner(journal=yesterday) as runtime:
        assert (await runtime.resume(flow_, "r")).value == 2


@pytest.mark.parametrize("effects", [{"effects": "idempotent"}, {"effects": "once", "key": "key"}])
async def test_the_seconds_of_attempts_count_in_every_part_of_a_run(
    effects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, calls = [0.0], 0
    monkeypatch.setattr(perform, "monotonic", lambda: clock[0])

    @tool(**effects, retry=3, budget="10 min")
    async def step(n: int, key: str = "") -> int:
        nonlocal calls
        calls += 1
        if calls == 1:
            clock[0] += 200.0
            raise ConnectionError("failed slowly")
        if calls < 4:  # the process dies
            running.cancel()
            await asyncio.Event().wait()
        return n

    @workflow
    def flow(n: int) -> int:
        return step(n)

    flow_ = compiled(flow)
    async with Runner(store=MemoryStore()) as runtime:
        running = asyncio.create_task(runtime.run(flow_, {"n": 1}, run_id="r"))
        await asyncio.wait([running])
        running = asyncio.create_task(runtime.resume(flow_, "r"))
        await asyncio.wait([running])
        result = await runtime.resume(flow_, "r")
    assert calls == 4
    (began,) = [event for event in result.events if isinstance(event, OpStarted)]
    assert began.before_s >= 200.0


async def test_the_seconds_of_a_structured_op_that_is_done_end_with_it() -> None:
    failing = [OSError("network")]

    @tool(effects="idempotent")
    async def step(n: int) -> int:
        return n + 1

    @tool(effects="idempotent")
    async def long(n: int) -> int:
        if failing:
            raise failing.pop()
        return n

    @workflow
    def flow(n: int) -> int:
        return long(loop(step, n, max=2, budget="10 min"))

    flow_ = compiled(flow)
    async with Runner() as runtime:
        with pytest.raises(RunError):
            await runtime.run(flow_, {"n": 1}, run_id="r")
        *before, failed, ended = await runtime.journal.load("r")
        an_hour_later = journal_of([*before, *later([failed, ended], 3600.0)])
    async with Runner(journal=an_hour_later) as runtime:
        assert (await runtime.resume(flow_, "r")).value == 3


@workflow
def unbounded(q: str) -> str:
    return loop(lambda s: note(llm(f"go {s}", max_tokens=50)), q, max=20, name="turns")


async def test_a_budget_that_was_given_to_the_run_is_its_own_when_it_is_resumed() -> None:
    flow = compiled(unbounded)
    async with Runner({"main": ScriptedEngine(lambda _: WORDS)}) as runtime:
        with pytest.raises(BudgetError):
            await runtime.run(flow, {"q": "x"}, run_id="r", budget="600 tokens")
        events = list(await runtime.journal.load("r"))
    codec = Codec(flow.program)
    events = [codec.loads(codec.dumps(event)) for event in events]
    journal = journal_of(events[: len(events) // 2])
    async with Runner({"main": ScriptedEngine(lambda _: WORDS)}, journal=journal) as runtime:
        with pytest.raises(BudgetError):
            await runtime.resume(flow, "r")
        with pytest.raises(BudgetError):
            await runtime.resume(flow, "r", budget="800 tokens")
        assert 600 < spent(await journal.load("r")) <= 800
        with pytest.raises(BudgetError):  # that is its own from then on
            await runtime.resume(flow, "r")
        assert (await runtime.resume(flow, "r", budget="8000 tokens")).value
