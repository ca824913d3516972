"""Tasks that live and die together: the first failure cancels the others, and is what the group raises."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Self


class Group:
    """``asyncio.TaskGroup`` that raises the first error itself instead of an exception group.

    Once a task has failed ``spawn`` drops what it is given, so that a task which has not noticed yet can go on to its
    next await, where it is cancelled.
    """

    def __init__(self) -> None:
        self._tasks = asyncio.TaskGroup()
        self._failed = False

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run ``work`` as a task of the group."""
        if self._failed:
            work.close()
        else:
            self._tasks.create_task(work).add_done_callback(self._note)

    def _note(self, task: asyncio.Task[None]) -> None:
        self._failed |= not task.cancelled() and task.exception() is not None

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._failed |= error is not None
        failure: BaseException | None = None
        try:
            await self._tasks.__aexit__(kind, error, trace)
        except BaseExceptionGroup as group:
            failure = _first(group)
        if failure is not None:
            raise failure


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
