"""A subscription never blocks a run and counts what it drops."""

from __future__ import annotations

import asyncio

from orchestrator.runtime.events import FrameOpened
from orchestrator.runtime.observe import Subscription


def frame(n: int) -> FrameOpened:
    return FrameOpened(f"f[{n}]/", 0.0)


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
