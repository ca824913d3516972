"""A subscription never blocks a run and counts what it drops."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest

from orchestrator import tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.runtime.journal.events import CleanupStarted, Feed, OpDone
from orchestrator.runtime.observe import Subscription
from orchestrator.runtime.runner import Runner


def frame(n: int) -> CleanupStarted:
    return CleanupStarted(f"f[{n}]/", 0.0)


def test_the_oldest_entries_are_dropped_and_counted() -> None:
    feed = Subscription(limit=3)
    for n in range(5):
        feed.push(frame(n))
    assert feed.dropped == 2
    assert feed.drain() == [frame(2), frame(3), frame(4)]
    assert feed.drain() == []


async def test_iteration_waits_for_entries_and_ends_when_closed() -> None:
    feed = Subscription()
    seen: list[object] = []

    async def read() -> None:
        seen.extend([entry async for entry in feed])

    reader = asyncio.create_task(read())
    for n in range(3):
        feed.push(frame(n))
        await asyncio.sleep(0)
    feed.close()
    await reader
    assert seen == [frame(0), frame(1), frame(2)]


class Faulty(Subscription):
    """Fails at the first result it is shown, and at its end."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error
        self.seen: list[Feed] = []

    def push(self, entry: Feed) -> None:
        self.seen.append(entry)
        if isinstance(entry, OpDone):
            raise self.error

    def close(self) -> None:
        raise self.error


paid: list[int] = []


@tool(effects="once")
async def pay(x: int) -> int:
    paid.append(x)
    return x


@workflow
def twice(x: int) -> int:
    return pay(pay(x))


@pytest.mark.parametrize(
    "error", [ValueError("a fault of mine"), SystemExit(2), asyncio.CancelledError(), KeyboardInterrupt()], ids=repr
)
async def test_an_observer_that_fails_is_dropped_and_the_run_goes_on(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    paid.clear()
    faulty, sound = Faulty(error), Subscription()
    runtime = Runner(observers=[faulty, sound])
    result = await runtime.run(compile_workflow(twice), {"x": 5})
    await runtime.close()
    assert (result.value, paid) == (5, [5, 5])
    (warning,) = result.warnings
    assert "Faulty" in warning
    assert type(error).__name__ in warning
    assert "the observer Faulty could not be closed" in caplog.text
    assert sum(isinstance(entry, OpDone) for entry in faulty.seen) == 1
    assert [type(entry) for entry in sound.drain()] == [type(event) for event in result.events]


async def test_readers_in_another_event_loop_are_woken() -> None:
    feed, seen, at_work = Subscription(), [], threading.Semaphore(0)

    async def read() -> None:
        async for entry in feed:
            seen.append(entry)
            at_work.release()

    async def two_read() -> None:
        await asyncio.gather(read(), read())

    reader = threading.Thread(target=lambda: asyncio.run(two_read()))
    reader.start()
    for n in range(50):
        feed.push(frame(n))
        assert await asyncio.to_thread(at_work.acquire, timeout=30)
    feed.close()
    await asyncio.to_thread(reader.join, 30)
    assert not reader.is_alive()
    assert seen == [frame(n) for n in range(50)]


async def test_a_reader_whose_loop_is_gone_disturbs_no_run() -> None:
    feed = Subscription()

    async def read_one() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(anext(feed.__aiter__()), 0.01)

    await asyncio.to_thread(lambda: asyncio.run(read_one()))
    feed.push(frame(1))
    assert feed.drain() == [frame(1)]
