"""Starts of attempts that are written down late, or not at all.

A resumed run has to know that a tool was started where that says more than that it has no result: where it must run at
most once, or runs in another process, or has seconds to keep to. Of any other tool the result says when it began, which
halves what is written of it. What people want to see is there all the same: whoever takes longer than :data:`LATE_S`,
fails, or runs a workflow has a start in the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from time import time
from typing import Any, Final

from orchestrator.errors import JournalError
from orchestrator.runtime.journal.events import OpStarted
from orchestrator.runtime.journal.run_log import RunLog

LATE_S: Final = 1.0
"""An attempt that takes longer is written down while it goes on."""


class Starts:
    """The attempts of one run that have started, of which its log says nothing yet; ``spawn`` does something in the
    background."""

    __slots__ = ("_log", "_spawn", "_timer", "_unwritten")

    def __init__(self, log: RunLog, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        self._log = log
        self._spawn = spawn
        self._unwritten: dict[tuple[str, str], OpStarted] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, event: OpStarted) -> None:
        """An attempt starts."""
        self._unwritten[event.frame, event.op] = event
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LATE_S, self._look)

    def take(self, frame: str, op: str, at: float) -> float | None:
        """An attempt has given a result at that time, which says how many seconds it took: these. None where the log
        says when it began."""
        event = self._unwritten.pop((frame, op), None)
        return None if event is None else round(max(at - event.at, 0.0), 6)

    def drop(self, frame: str, op: str) -> None:
        """An attempt was cancelled: nothing is written of it."""
        self._unwritten.pop((frame, op), None)

    def write(self, frame: str, op: str) -> bool:
        """Write down that an attempt has started; False where that is done. Raises ``JournalError``."""
        event = self._unwritten.pop((frame, op), None)
        if event is None:
            return False
        self._log.append_noted(event)
        return True

    def close(self) -> None:
        """Nothing more is written."""
        self._unwritten.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        """Write down what has been going on for long."""
        self._timer = None
        now, late = time(), []
        for event in self._unwritten.values():
            if (left_s := event.at + LATE_S - now) > 0.0:
                self._timer = asyncio.get_running_loop().call_later(min(left_s, LATE_S), self._look)
                break
            late.append(event)
        with suppress(JournalError):  # whatever the run does next tells it
            for event in late:
                self.write(event.frame, event.op)
        if late:
            self._spawn(self._log.durable())
