"""A run's log in a store: from every prefix of it the run goes on to the same result, and repeats nothing done."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator import chat, loop, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import JournalError, RunError
from orchestrator.runtime.coordinator.owner import Owner
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.lifecycle import result_of
from orchestrator.runtime.journal import recorder as module
from orchestrator.runtime.journal.events import Event, OpDone, OpFailed, OpStarted, RunStarted
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.journal.recorder import Recorder
from orchestrator.runtime.journal.stores.base import Row
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.result import RunResult
from orchestrator.runtime.runner import Runner
from orchestrator.runtime.services import Engines, Services
from tests.runtime.executing import execute
from tests.runtime.random_programs import BoomError, Builder, Generator, Shape, interpret

PROFILE = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
SEEDS = st.integers(0, 2**32)


async def recorded(program: Program, inputs: tuple[object, ...]) -> tuple[RunResult, list[Row]]:
    """A run, and the rows of its log."""
    store = MemoryStore()
    owner = Owner(store)
    started = RunStarted("run", program.name, program.fingerprint, inputs, 0.0)
    log = await owner.begin(program, started, None)
    assert isinstance(log, Recorder)
    result = await result_of(Execution(program, Services(Engines({})), log, "run", started=started), inputs)
    await owner.close()
    return result, [row async for row in store.history("run")]


def lines_of(rows: Sequence[Row]) -> list[bytes]:
    """The log line by line, as if each had been committed by itself; snapshots are left out."""
    return [line for row in rows if not row.is_snapshot for line in row.data.splitlines(keepends=True)]


def read(program: Program, rows: Sequence[Row]) -> list[Event]:
    last = max((at for at, row in enumerate(rows) if row.is_snapshot), default=0)
    return Recorder(MemoryStore(), program, patience_s=1.0).read(rows[last:])


def resumed(program: Program, events: Sequence[Event]) -> RunResult:
    async def main() -> RunResult:
        journal = MemoryJournal()
        for event in events:
            journal.append("run", event)
        return await execute(program, (7,), Services(Engines({})), journal, "run", resume=True)

    return asyncio.run(main())


@PROFILE
@given(SEEDS)
def test_every_prefix_goes_on_to_the_same_result_and_repeats_nothing(seed: int) -> None:
    body = Generator(Random(seed), Shape(races=False, flaky=False)).program()
    first, rows = asyncio.run(recorded(Builder(Random(seed)).build(body), (7,)))
    lines = lines_of(rows)
    for cut in range(2, len(lines) + 1):
        builder = Builder(Random(seed))
        program = builder.build(body)
        events = read(program, [Row(1, False, 0.0, b"".join(lines[:cut]))])
        done = {(event.frame, event.op) for event in events if isinstance(event, OpDone)}
        result = resumed(program, events)
        assert result.value == first.value
        started = {(event.frame, event.op) for event in result.events if isinstance(event, OpStarted)}
        assert not started & done


@PROFILE
@given(SEEDS, st.integers(1, 2000))
def test_so_it_does_from_any_row_of_a_log_with_snapshots(seed: int, least: int) -> None:
    body = Generator(Random(seed), Shape(failing=True, races=False, flaky=False, attempts=True)).program()
    try:
        expected = interpret(body, [7], {})
    except BoomError:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SNAPSHOT_BYTES", least)
        _, rows = asyncio.run(recorded(Builder(Random(seed)).build(body), (7,)))
    for cut in range(1, len(rows) + 1):
        program = Builder(Random(seed)).build(body)
        assert resumed(program, read(program, rows[:cut])).value == expected


@PROFILE
@given(SEEDS)
def test_retries_and_races_go_on_to_the_same_result(seed: int) -> None:
    body = Generator(Random(seed), Shape()).program()
    first, rows = asyncio.run(recorded(Builder(Random(seed)).build(body), (7,)))
    lines = lines_of(rows)
    for cut in range(2, len(lines) + 1):
        builder = Builder(Random(seed))
        program = builder.build(body)
        events = read(program, [Row(1, False, 0.0, b"".join(lines[:cut]))])
        builder.failures.update(event.op for event in events if isinstance(event, OpFailed))
        assert resumed(program, events).value == first.value


@PROFILE
@given(SEEDS)
def test_a_once_tool_is_never_started_twice(seed: int) -> None:
    body = Generator(Random(seed), Shape(once=True, races=False, flaky=False)).program()
    first, rows = asyncio.run(recorded(Builder(Random(seed)).build(body), (7,)))
    lines = lines_of(rows)
    for cut in range(2, len(lines) + 1):
        builder = Builder(Random(seed))
        program = builder.build(body)
        events = read(program, [Row(1, False, 0.0, b"".join(lines[:cut]))])
        started = {(e.frame, e.op) for e in events if isinstance(e, OpStarted) and e.op.startswith("once")}
        if started - {(e.frame, e.op) for e in events if isinstance(e, OpDone)}:
            with pytest.raises(RunError) as raised:
                resumed(program, events)
            assert raised.value.code == "ORCH-R020"
        else:
            assert resumed(program, events).value == first.value


@tool(effects="idempotent")
async def more(n: int) -> int:
    return n + 1


@workflow
def counting(n: int) -> int:
    return loop(more, n, max=5000, name="count")


async def test_what_a_long_loop_has_done_is_not_read_again() -> None:
    """Opening a run costs by what is still going on."""
    program = compile_workflow(counting).program
    result, rows = await recorded(program, (0,))
    assert result.value == 5000
    assert sum(len(row.data) for row in rows) > 400_000
    snapshot = max(at for at, row in enumerate(rows) if row.is_snapshot)
    assert len(rows[snapshot].data) < 2000
    events = read(program, rows[:-1])
    assert len(events) < 1000


@workflow
def talking(text: str) -> str:
    talk = chat("You are brief.")
    for _ in range(100):
        _, talk = talk.say(text)
    reply, _ = talk.say("and?")
    return reply


async def test_a_conversation_is_written_once() -> None:
    text = "x" * 2000

    engine = ScriptedEngine(lambda request: f"{len(request.messages)} {text}")
    store = MemoryStore()
    async with Runner({"default": engine}, store=store) as runtime:
        await runtime.run(compile_workflow(talking), {"text": text}, run_id="r")
    rows = [row async for row in store.history("r")]
    new = 101 * 2 * len(text)
    assert sum(len(row.data) for row in rows) < 1.5 * new


async def test_values_are_written_when_they_are_there_whoever_changes_them_later() -> None:
    @tool(effects="idempotent")
    async def rows(n: int) -> list[int]:
        return [3, 1, 2]

    @tool(effects="idempotent")
    async def smallest(found: list[int]) -> int:
        found.sort()
        found.clear()
        return 0

    @workflow
    def flow(n: int) -> int:
        found = rows(n)
        return smallest(found) + len(found)

    program = compile_workflow(flow).program
    _, log = await recorded(program, (1,))
    assert b"[[3,1,2]]" in b"".join(row.data for row in log)


class Failing(MemoryStore):
    """A store that cannot write for a while."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def barrier(self, run_id: str) -> Any:
        waiting = super().barrier(run_id)
        if self.times:
            self.times -= 1
            return self._fail()
        return waiting

    async def _fail(self) -> None:
        raise OSError(28, "No space left on device")


async def test_a_store_that_fails_suspends_the_run_and_is_no_failure_of_its_tools() -> None:
    calls = []

    @tool(effects="idempotent")
    async def counted(n: int) -> int:
        calls.append(n)
        return n + 1

    @workflow
    def flow(n: int) -> int:
        return counted(counted(n))

    store = Failing(3)
    async with Runner(store=store) as runtime:
        assert (await runtime.run(compile_workflow(flow), {"n": 1}, run_id="r")).value == 3
    assert calls == [1, 2]
    assert store.times == 0


async def test_a_run_waits_longer_than_its_lease_for_a_store_when_nobody_else_goes_on_with_it() -> None:
    @tool(effects="idempotent")
    async def counted(n: int) -> int:
        return n + 1

    @workflow
    def flow(n: int) -> int:
        return counted(n)

    store = Failing(5)  # .6 s
    async with Runner(store=store, lease_s=0.05) as runtime:
        assert (await runtime.run(compile_workflow(flow), {"n": 1}, run_id="r")).value == 2
    assert store.times == 0


async def test_a_run_that_somebody_else_has_taken_over_writes_nothing_more() -> None:
    store = MemoryStore()
    gone = asyncio.Event()

    @tool(effects="idempotent")
    async def slow(n: int) -> int:
        gone.set()
        await asyncio.sleep(0.05)
        return n

    @workflow
    def flow(n: int) -> int:
        return slow(n) + slow(n + 1)

    async with Runner(store=store) as runtime:
        task = asyncio.create_task(runtime.run(compile_workflow(flow), {"n": 1}, run_id="r"))
        await gone.wait()
        head = (await store.heads())[0]
        assert head.owner is not None
        await store.claim(head.owner, run_id="r")  # another epoch
        before = [row async for row in store.history("r")]
        with pytest.raises(JournalError, match="executed elsewhere"):
            await task
        assert [row async for row in store.history("r")] == before
