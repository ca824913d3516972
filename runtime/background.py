"""What runs leave behind: hints that engines have not taken yet when a run's result is there.

Nobody waits for them. What is still under way when the runtime closes gets a moment, and is then cut off.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

MOST_TASKS: Final = 10_000
"""Beyond this, the oldest is cut off: engines that take no hints must not fill the memory."""
CLOSE_S: Final = 2.0
"""How long closing waits."""


class Background:
    """Tasks that no run waits for."""

    def __init__(self) -> None:
        self._tasks: OrderedDict[asyncio.Task[Any], None] = OrderedDict()
        """These are the tasks in the order in which they began."""

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something in the background."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._forget)
        if len(self._tasks) > MOST_TASKS:
            oldest, _ = self._tasks.popitem(last=False)
            if oldest.get_loop() is task.get_loop():
                oldest.cancel()
        return task

    async def close(self) -> None:
        """Let what is under way end, for :data:`CLOSE_S` at most."""
        tasks = self._of_this_loop()
        if not tasks:
            return
        try:
            await asyncio.wait(tasks, timeout=CLOSE_S)
        finally:
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _of_this_loop(self) -> list[asyncio.Task[Any]]:
        """Those that can go on; the others are of an event loop that was closed before they ended."""
        loop = asyncio.get_running_loop()
        for task in [each for each in self._tasks if each.get_loop() is not loop]:
            del self._tasks[task]
        return list(self._tasks)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled():
            task.exception()  # whoever began it has been told
