"""Tasks that tools start: one that calls ``sys.exit`` fails, and does not end the event loop and every run on it.

asyncio lets ``SystemExit`` and ``KeyboardInterrupt`` out of a task through the loop. So the loops of runs have a task
factory that turns them into a :class:`~orchestrator.runtime.tools.raised.TaskExitError` where a tool has started the
task; every other task is as it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from orchestrator.leaving import passes_through
from orchestrator.runtime.tools.caller import caller
from orchestrator.runtime.tools.raised import TaskExitError


def contain_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Have tasks of tools on this loop end nothing but themselves, from now on."""
    factory = loop.get_task_factory()
    if not isinstance(factory, _Factory):
        loop.set_task_factory(_Factory(factory))


class _Factory:
    """Makes the tasks of a loop, with the factory that it had before."""

    def __init__(self, before: Callable[..., Any] | None) -> None:
        self._before = before

    def __call__(self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> Any:
        if caller.get() is not None:
            work = _Contained(work)
        if self._before is None:
            return asyncio.Task(work, loop=loop, **options)
        return self._before(loop, work, **options)


class _Contained(Coroutine[Any, Any, Any]):
    """A coroutine that neither exits nor interrupts."""

    __slots__ = ("_work",)

    def __init__(self, work: Any) -> None:
        self._work = work

    def send(self, value: Any) -> Any:
        try:
            return self._work.send(value)
        except (SystemExit, KeyboardInterrupt) as error:
            if passes_through(error):
                raise
            raise TaskExitError(error) from error

    def throw(self, *raised: Any) -> Any:
        try:
            return self._work.throw(*raised)
        except (SystemExit, KeyboardInterrupt) as error:
            if passes_through(error):
                raise
            raise TaskExitError(error) from error

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return (yield from self._work.__await__())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)  # for debuggers, which show a coroutine's name and frame
