"""Which tool is running, for the workflows that it calls."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.runtime.budget import Ledger
from orchestrator.runtime.program import Op

if TYPE_CHECKING:
    from orchestrator.runtime.executor import Execution


class Runs:
    """The runs that one call of a tool has begun; those in other threads than the event loop's end with it."""

    __slots__ = ("begun", "is_over", "tasks")

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[object]] = set()
        self.is_over = False
        self.begun: dict[tuple[str, bytes], int] = {}
        """How often it has called a workflow, with a digest of what it was called with."""

    def close(self) -> bool:
        """Let no more begin; whether some still run."""
        self.is_over = True
        return bool(self.tasks)

    async def end(self) -> None:
        """Cancel those that still run, and return when they have ended."""
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


class Caller(NamedTuple):
    """A call of a tool."""

    execution: Execution
    frame: str
    op: Op
    ledger: Ledger
    runs: Runs


caller: ContextVar[Caller | None] = ContextVar("orchestrator_caller", default=None)
"""The tool that runs in this context."""
