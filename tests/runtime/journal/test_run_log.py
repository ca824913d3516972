"""A journal that fails, at whichever event and in whichever way, ends its run with one code and nothing after it."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

import pytest

from orchestrator import map_, race, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import JournalError, RunError
from orchestrator.runtime.journal.events import Event, RunFailed
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.runner import Runner

calls: list[str] = []


@tool(effects="once")
async def pay(n: int) -> int:
    calls.append("pay")
    return n + 1


@tool(effects="idempotent", retry=3)
def store(n: int) -> int:
    calls.append("store")
    return n * 2


@tool(effects="idempotent", retry=2)
async def flaky(n: int) -> int:
    calls.append("flaky")
    raise OSError("not today")


@workflow
def flow(n: int) -> int:
    paid = pay(n)
    stored = map_(store, [paid, n, 7], limit=3)
    return race(lambda: store(stored[0]), lambda: store(stored[1]))


@workflow
def failing(n: int) -> int:
    return flaky(n)


class Failing(MemoryJournal):
    """Fails from its event number ``at`` on."""

    def __init__(self, at: int, error: BaseException) -> None:
        super().__init__()
        self.at, self.error, self.seen = at, error, 0
        self.is_broken = True

    def append(self, run_id: str, event: Event) -> None:
        self.seen += 1
        if self.is_broken and self.seen > self.at:
            calls.append("failed")
            raise self.error
        super().append(run_id, event)


class Unsafe(MemoryJournal):
    """Cannot make anything durable."""

    def __init__(self, *, at_once: bool) -> None:
        super().__init__()
        self.at_once = at_once

    def barrier(self, run_id: str) -> Awaitable[None]:  # type: ignore[override]
        if self.at_once:
            raise ConnectionError("gone")
        return self._sync()

    async def _sync(self) -> None:
        raise ConnectionError("gone")


class Unreadable(MemoryJournal):
    async def load(self, run_id: str) -> Sequence[Event]:
        raise PermissionError("not yours")


@pytest.fixture(autouse=True)
def _afresh() -> None:
    calls.clear()


class Own(BaseException):
    pass


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), Own("odd"), SystemExit(2)])
async def test_a_run_ends_wherever_its_journal_fails_and_goes_on_when_it_works(error: BaseException) -> None:
    compiled = compile_workflow(flow)
    at, finished = 0, False
    while not finished:
        calls.clear()
        journal = Failing(at, error)
        async with Runner(journal=journal) as runtime:
            try:
                value = (await runtime.run(compiled, {"n": 1}, run_id="r")).value
            except JournalError as failure:
                assert failure.code == "ORCH-R048"
                assert str(error) in failure.message
                assert f"of its {at} events the first" in (failure.diagnostics[0].why or "")
                assert calls.count("failed") == 1
                threads = {"store"}  # handed over before, and run beside the loop
                assert {*calls[calls.index("failed") + 1 :]} <= threads
                journal.is_broken = False
                if at:
                    value = await _resumed(runtime)
                    assert value in (8, 4)
                    assert calls.count("pay") <= 1
            else:
                finished = True
                assert value in (8, 4)
        at += 1
    assert at >= 8


async def _resumed(runtime: Runner) -> object:
    try:
        return (await runtime.resume(compile_workflow(flow), "r")).value
    except RunError as unsettled:
        assert unsettled.code == "ORCH-R020"
    await runtime.settle(compile_workflow(flow), "r", "pay_1", result=2)
    return (await runtime.resume(compile_workflow(flow), "r")).value


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_barrier_that_fails_is_such_a_failure_before_anything_starts(at_once: bool) -> None:
    async with Runner(journal=Unsafe(at_once=at_once)) as runtime:
        with pytest.raises(JournalError) as caught:
            await runtime.run(compile_workflow(flow), {"n": 1})
    assert "ConnectionError: gone" in caught.value.message
    assert "the first 0 are known to be durable" in (caught.value.diagnostics[0].why or "")
    assert calls == []


async def test_why_a_run_failed_is_still_said_when_the_journal_does_not_take_it() -> None:
    class Full(MemoryJournal):
        def append(self, run_id: str, event: Event) -> None:
            if isinstance(event, RunFailed):
                raise OSError("full")
            super().append(run_id, event)

    async with Runner(journal=Full()) as runtime:
        with pytest.raises(RunError) as caught:
            await runtime.run(compile_workflow(failing), {"n": 1})
    assert [each.code for each in caught.value.diagnostics] == ["ORCH-R001", "ORCH-R048"]
    assert calls == ["flaky", "flaky"]


async def test_a_journal_that_cannot_be_read_starts_nothing() -> None:
    async with Runner(journal=Unreadable()) as runtime:
        for going in (
            runtime.run(compile_workflow(flow), {"n": 1}, run_id="r"),
            runtime.resume(compile_workflow(flow), "r"),
            runtime.settle(compile_workflow(flow), "r", "pay_1", failed="no"),
        ):
            with pytest.raises(JournalError, match="PermissionError: not yours"):
                await going
    assert calls == []
