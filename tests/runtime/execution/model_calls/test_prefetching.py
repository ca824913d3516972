"""Prefetches are made once, for calls that are to come, and nothing is kept for longer than those need it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from orchestrator import chat, map_, tool
from orchestrator.errors import RunError
from orchestrator.runtime.engines.base import GenerateRequest, Usage, sent
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.lifecycle import run_to_end
from orchestrator.runtime.journal.events import Event, OpDone, RunFailed, Spent
from orchestrator.runtime.journal.lines.chats import Chats
from orchestrator.runtime.journal.lines.live import Live
from orchestrator.runtime.journal.lines.wire import Wire
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.journal.replay import replay
from orchestrator.runtime.program.specs import Limits
from orchestrator.runtime.services import Services
from tests.awaiting import until
from tests.runtime.session_runs import PREFIX, Controlled, OneEngine, Run, prefetching, text


@tool(effects="idempotent", typical_s=1.0)
async def fetch(what: str) -> str:
    await asyncio.sleep(0.05)
    return what


def of_many(question: str) -> str:
    texts = map_(lambda each: chat(PREFIX).say(fetch(each)).reply, [question, "other", "third"])
    return texts[0]


@tool(effects="once")
async def broken(what: str) -> str:
    await asyncio.sleep(0.05)
    raise ValueError(what)


def failing_before_its_call(question: str) -> str:
    return chat(PREFIX).say(broken(question)).reply


def spent(run: Run) -> list[Spent]:
    return [event for event in run.execution.events if isinstance(event, Spent)]


async def test_a_known_prefix_is_computed_while_the_tool_runs_and_charged() -> None:
    engine = Controlled(text)
    run = Run(prefetching, engine)
    assert await run.result("q") == "q"
    (request,) = engine.prefetched
    assert request.messages[0].content == PREFIX
    assert request.sampling.max_tokens == 1
    assert request.kv is not None
    assert (request.kv.prefetch, request.kv.tool, request.kv.program) == (True, "linger", "run-1")
    assert [event.usage for event in spent(run)] == [Usage(100, 0, 1)]
    assert engine.hints[0].supersedes == (request.session,)
    assert engine.cut == 0


async def test_a_prefetch_ends_when_its_call_begins() -> None:
    engine = Controlled(text, prefetch_s=60.0)
    run = Run(prefetching, engine)
    assert await run.result("q") == "q"
    assert engine.cut == 1
    (event,) = spent(run)
    assert event.usage.input_tokens > 50


async def test_a_prefetch_ends_with_the_run() -> None:
    engine = Controlled(text, prefetch_s=60.0)
    with pytest.raises(RunError):
        await Run(failing_before_its_call, engine).result("q")
    await until(lambda: engine.cut == 1)


async def test_a_budget_is_for_calls_alone() -> None:
    engine = Controlled(text)
    assert await Run(prefetching, engine, budget=Limits(tokens=100_000)).result("q") == "q"
    assert not engine.prefetched


async def test_calls_that_begin_alike_share_a_prefetch() -> None:
    engine = Controlled(text)
    run = Run(of_many, engine)
    assert await run.result("q") == "q"
    (request,) = engine.prefetched
    assert len(spent(run)) == 1
    assert sorted(hint.supersedes for hint in engine.hints) == [(), (), (request.session,)]


async def test_a_shared_prefetch_goes_on_until_the_last_of_its_calls_begins() -> None:
    engine = Controlled(text, prefetch_s=60.0)
    run = Run(of_many, engine)
    await run.result("q")
    assert (len(engine.prefetched), engine.cut, len(spent(run))) == (1, 1, 1)


@pytest.mark.parametrize("flow", [prefetching, of_many])
async def test_whoever_goes_on_finds_what_prefetches_have_used(flow: Any) -> None:
    run = Run(flow, Controlled(text))
    await run.result("q")
    assert spent(run)
    program, (*events, _) = run.execution.program, await run.execution.log.load()
    wire, live = Wire(program, Chats()), Live()
    for event in events:
        live.add(wire.write(event))
    found = replay(program, [wire.read(data) for data in live.data()])
    assert found.spending == replay(program, events).spending


async def resumed(run: Run, events: Sequence[Event]) -> tuple[Controlled, Execution]:
    program, engine = run.execution.program, Controlled(text)
    services = Services(OneEngine(engine))  # type: ignore[arg-type]
    execution = Execution(program, services, MemoryJournal(), "run-1", state=replay(program, events))
    assert await run_to_end(execution, ()) == "q"
    return engine, execution


async def test_a_call_that_the_journal_knows_is_not_prefetched_for() -> None:
    run = Run(of_many, Controlled(text))
    await run.result("q")
    engine, _ = await resumed(run, run.execution.events[:-1])
    assert not engine.prefetched


async def test_a_prefetch_that_its_call_overtakes_costs_nothing() -> None:
    run = Run(of_many, Controlled(text))
    await run.result("q")
    events = run.execution.events
    last = next(each for each in reversed(events) if isinstance(each, OpDone) and each.usage is not None)
    engine, execution = await resumed(run, events[: events.index(last)])
    assert (len(engine.requests), len(engine.prefetched)) == (1, 0)
    cut_off = [each.op for each in execution.events if isinstance(each, Spent)]
    assert cut_off == [last.op]  # the call itself, whose end the journal does not know


async def test_a_prefetch_is_let_go_though_its_call_fails() -> None:
    engine = Controlled(lambda _: ConnectionError("lost"))
    with pytest.raises(RunError, match="lost"):
        await Run(prefetching, engine).result("q")
    assert engine.prefetched[0].session in engine.released


async def test_a_prefetch_is_let_go_though_its_call_never_begins() -> None:
    engine = Controlled(text)
    with pytest.raises(RunError):
        await Run(failing_before_its_call, engine).result("q")
    assert engine.released == [engine.prefetched[0].session]


class FullDisk(MemoryJournal):
    """It takes no more once a prefetch is to be written down."""

    def append(self, run_id: str, event: Event) -> None:
        if isinstance(event, Spent):
            raise OSError("no space left")
        super().append(run_id, event)


async def test_a_run_lets_go_of_its_engines_though_its_journal_fails_at_its_end() -> None:
    finished: list[str] = []

    class Watched(OneEngine):
        def finish(self, program: str) -> None:
            finished.append(program)

    engine = Controlled(text, prefetch_s=60.0)
    program = Run(failing_before_its_call, engine).execution.program
    services = Services(Watched(engine))  # type: ignore[arg-type]
    with pytest.raises(RunError) as caught:
        await run_to_end(Execution(program, services, FullDisk(), "run-1"), ("q",))
    assert caught.value.code == "ORCH-R048"
    assert finished == ["run-1"]
    await until(lambda: engine.cut == 1)


async def test_what_a_prefetch_took_that_ends_with_the_run_is_counted_once() -> None:
    class Prompt(Controlled):
        """The run goes on, and ends, before anybody is told that a prefetch is done."""

        async def prefetch(self, request: GenerateRequest) -> Usage:
            self.prefetched.append(request)
            sent()
            await asyncio.sleep(0.01)
            ready.set()
            return Usage(100, 0, 1)

    @tool(effects="once")
    async def fails(what: str) -> str:
        await ready.wait()
        raise ValueError(what)

    def flow(question: str) -> str:
        return chat(PREFIX).say(fails(question)).reply

    ready = asyncio.Event()
    run = Run(flow, Prompt(text))
    with pytest.raises(RunError):
        await run.result("q")
    await asyncio.sleep(0.01)
    assert [event.usage for event in spent(run)] == [Usage(100, 0, 1)]
    assert isinstance(run.execution.events[-1], RunFailed)
