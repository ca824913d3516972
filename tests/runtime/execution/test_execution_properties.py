"""Random programs: the executor agrees with a sequential interpreter, and resumes from every prefix of its journal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import RunError, qualified
from orchestrator.runtime.journal.events import Event, OpCaught, OpDone, OpFailed, OpStarted, attempt_path, occurrence
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.result import RunResult
from orchestrator.runtime.services import Engines, Services
from tests.runtime.executing import execute
from tests.runtime.journal.text import Codec
from tests.runtime.random_programs import BoomError, Builder, Generator, Shape, interpret

PROFILE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SEEDS = st.integers(0, 2**32)


def run(program: Program, events: Sequence[Event] = ()) -> RunResult:
    """Run from the start, or resume after ``events``; nothing may be left running behind it."""
    return journaled(program, events)[0]


def journaled(program: Program, events: Sequence[Event] = ()) -> tuple[RunResult, Sequence[Event]]:
    """:func:`run`, and what the journal has then."""

    async def main() -> tuple[RunResult, Sequence[Event]]:
        journal = MemoryJournal()
        for event in events:
            journal.append("run", event)
        try:
            result = await execute(program, (7,), Services(Engines({})), journal, "run", resume=bool(events))
            return result, await journal.load("run")
        finally:
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left

    return asyncio.run(main())


@PROFILE
@given(SEEDS)
def test_agrees_with_the_sequential_interpreter(seed: int) -> None:
    body = Generator(Random(seed), Shape()).program()
    assert run(Builder(Random(seed)).build(body)).value == interpret(body, [7], {})


@PROFILE
@given(SEEDS)
def test_fails_exactly_when_the_interpreter_does(seed: int) -> None:
    body = Generator(Random(seed), Shape(failing=True, races=False, attempts=True)).program()
    program = Builder(Random(seed)).build(body)
    try:
        expected = interpret(body, [7], {})
    except BoomError:
        with pytest.raises(RunError) as raised:
            run(program)
        value = raised.value.raised
        assert value is not None and qualified(BoomError) in (value.kind, *value.bases)
    else:
        assert run(program).value == expected


def _recorded(seed: int, shape: Shape) -> tuple[Any, RunResult, Sequence[Event]]:
    body = Generator(Random(seed), shape).program()
    return body, *journaled(Builder(Random(seed)).build(body))


@settings(PROFILE, max_examples=15)
@given(SEEDS)
def test_resumes_from_every_prefix_and_repeats_nothing(seed: int) -> None:
    body, first, events = _recorded(seed, Shape(races=False, flaky=False))
    executed = {(event.frame, event.op) for event in first.events if isinstance(event, OpStarted)}
    for cut in range(1, len(events) + 1):
        prefix = events[:cut]
        completed = {(event.frame, event.op) for event in prefix if isinstance(event, OpDone)}
        builder = Builder(Random(seed))
        resumed = run(builder.build(body), prefix)
        assert resumed.value == first.value
        again = {(event.frame, event.op) for event in resumed.events if isinstance(event, OpStarted)}
        assert not again & completed
        assert again <= executed
        leaves = [op for _, op in again if op.partition("_")[0] in ("wait", "thread")]
        assert builder.calls.total() == len(leaves)


@settings(PROFILE, max_examples=40)
@given(SEEDS)
def test_resumes_caught_failures_to_the_same_result_and_executes_nothing_again_that_was_caught(seed: int) -> None:
    """What led to a failure and is not caught yet is executed again, by a journal that went through its JSON form."""
    shape = Shape(failing=True, races=False, flaky=False, attempts=True)
    body = Generator(Random(seed), shape).program()
    try:
        expected = interpret(body, [7], {})
    except BoomError:
        return
    program = Builder(Random(seed)).build(body)
    codec = Codec(program)
    first, events = journaled(program)
    assert first.value == expected
    for cut in range(1, len(events) + 1):
        prefix = [codec.loads(codec.dumps(event)) for event in events[:cut]]
        resumed = run(Builder(Random(seed)).build(body), prefix)
        assert resumed.value == expected
        again = {(event.frame, event.op) for event in resumed.events if isinstance(event, OpStarted)}
        assert not again & {(event.frame, event.op) for event in prefix if isinstance(event, OpDone)}
        for caught in (event for event in prefix if isinstance(event, OpCaught)):
            tried = f"{attempt_path(caught.frame, caught.op, caught.attempt)}.try/"
            assert not [path for path, _ in again if path.startswith(tried)]


@settings(PROFILE, max_examples=15)
@given(SEEDS)
def test_resumes_retries_and_races_to_the_same_result(seed: int) -> None:
    body, first, events = _recorded(seed, Shape())
    for cut in range(1, len(events) + 1):
        builder = Builder(Random(seed))
        builder.failures.update(event.op for event in events[:cut] if isinstance(event, OpFailed))
        assert run(builder.build(body), events[:cut]).value == first.value


@settings(PROFILE, max_examples=15)
@given(SEEDS)
def test_a_once_tool_is_never_started_twice(seed: int) -> None:
    body, first, events = _recorded(seed, Shape(once=True, races=False, flaky=False))
    for cut in range(1, len(events) + 1):
        prefix = events[:cut]
        started = {(e.frame, e.op) for e in prefix if isinstance(e, OpStarted) and e.op.startswith("once")}
        builder = Builder(Random(seed))
        if started - {(e.frame, e.op) for e in prefix if isinstance(e, OpDone)}:
            with pytest.raises(RunError) as raised:
                run(builder.build(body), prefix)
            assert raised.value.code == "ORCH-R020"
        else:
            assert run(builder.build(body), prefix).value == first.value


@settings(PROFILE, max_examples=150)
@given(SEEDS, st.lists(st.integers(2, 15), min_size=1, max_size=4))
def test_a_once_tool_is_never_called_twice_however_often_the_run_is_cut_and_whatever_is_retried(
    seed: int, cuts: list[int]
) -> None:
    """Structured ops around it are tried again, losers are cancelled, and the run is cancelled and resumed."""
    builder = Builder(Random(seed), retried=True)
    program = builder.build(Generator(Random(seed), Shape(failing=True, once=True, attempts=True)).program())

    async def main() -> None:
        journal = MemoryJournal()
        for ticks in [*cuts, 10_000]:
            resume = bool(await journal.load("run"))
            task = asyncio.create_task(execute(program, (7,), Services(Engines({})), journal, "run", resume=resume))
            for _ in range(ticks):
                await asyncio.sleep(0)
                if task.done():
                    break
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        started = {occurrence(e.frame, e.op) for e in await journal.load("run") if isinstance(e, OpStarted)}
        for node, calls in builder.calls.items():
            if node.startswith("once"):
                assert calls <= len([path for path in started if path.rpartition("/")[2] == node])

    asyncio.run(main())


@settings(PROFILE, max_examples=30)
@given(SEEDS, st.integers(0, 40))
def test_cancelling_leaves_nothing_behind(seed: int, ticks: int) -> None:
    program = Builder(Random(seed)).build(Generator(Random(seed), Shape(failing=True, attempts=True)).program())

    async def main() -> None:
        task = asyncio.create_task(execute(program, (7,), Services(Engines({})), MemoryJournal(), "run"))
        for _ in range(ticks):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
