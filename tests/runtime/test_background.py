"""What runs leave behind keeps nobody, also where it can never end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from orchestrator.runtime import background
from orchestrator.runtime.background import Background
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.services import Engines


@contextmanager
def loop_that_is_closed() -> Iterator[asyncio.AbstractEventLoop]:
    """By somebody who does not end what is under way on it, which asyncio reports when that is collected."""
    loop = asyncio.new_event_loop()
    try:
        yield loop
    finally:
        loop.close()


def test_tasks_of_a_loop_that_is_closed_are_waited_for_by_nobody() -> None:
    kept = Background()

    async def leave() -> None:
        kept.spawn(asyncio.sleep(3600))

    with loop_that_is_closed() as loop:
        loop.run_until_complete(leave())
    assert len(kept._tasks) == 1
    asyncio.run(kept.close())
    assert not kept._tasks


def test_nor_do_they_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "MOST_TASKS", 3)
    kept = Background()

    async def leave(count: int) -> list[asyncio.Task[None]]:
        return [kept.spawn(asyncio.sleep(0.01)) for _ in range(count)]

    async def all_done(count: int) -> bool:
        tasks = await leave(count)
        await asyncio.wait(tasks)
        return not any(task.cancelled() for task in tasks)

    with loop_that_is_closed() as loop:
        loop.run_until_complete(leave(3))
    assert asyncio.run(all_done(3))


def test_an_engine_whose_start_was_left_on_such_a_loop_is_started_again() -> None:
    class Slow(ScriptedEngine):
        starts = 0

        async def start(self) -> None:
            self.starts += 1
            if self.starts == 1:
                await asyncio.sleep(3600)

    async def give_up(work: Coroutine[Any, Any, object]) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(work, 0.05)

    async def use() -> None:
        await engines.started("main")
        await engines.close()

    engine = Slow(["yes"])
    engines = Engines({"main": engine})
    with loop_that_is_closed() as loop:
        loop.run_until_complete(give_up(engines.started("main")))
    asyncio.run(use())
    assert engine.starts == 2


def test_however_many_come_at_once_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "MOST_TASKS", 3)

    async def leave() -> None:
        kept = Background()
        tasks = [kept.spawn(asyncio.sleep(3600)) for _ in range(50)]
        assert list(kept._tasks) == tasks[-3:]
        await asyncio.sleep(0)
        assert [task.cancelled() or task.cancelling() > 0 for task in tasks] == [True] * 47 + [False] * 3
        for task in tasks:
            task.cancel()

    asyncio.run(leave())
