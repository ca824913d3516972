"""Which tool is running, for the workflows that it calls."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import NamedTuple

from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.model_calls.budget import Ledger
from orchestrator.runtime.program.program import Op


class Runs:
    """The runs that one call of a tool has begun; those in other threads than the event loop's end with it."""

    __slots__ = ("_counts", "_tasks", "is_over")

    def __init__(self) -> None:
        self.is_over = False
        self._tasks: set[asyncio.Task[object]] | None = None  # of most calls there are none
        self._counts: dict[str, int] | None = None

    def add(self, task: asyncio.Task[object]) -> None:
        """A run begins as a task."""
        self._tasks = self._tasks or set()
        self._tasks.add(task)

    def discard(self, task: asyncio.Task[object]) -> None:
        """A run has ended."""
        if self._tasks:
            self._tasks.discard(task)

    def number(self, call: str) -> int:
        """The how manieth call this is of those that are written alike; the first is 1."""
        self._counts = self._counts or {}
        self._counts[call] = number = self._counts.get(call, 0) + 1
        return number

    def close(self) -> bool:
        """Let no more begin; whether some still run."""
        self.is_over = True
        return bool(self._tasks)

    async def end(self) -> None:
        """Cancel those that still run, and return when they have ended."""
        if self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)


class Caller(NamedTuple):
    """A call of a tool."""

    execution: Execution
    frame: str
    op: Op
    ledger: Ledger
    runs: Runs


caller: ContextVar[Caller | None] = ContextVar("orchestrator_caller", default=None)
"""The tool that runs in this context."""
