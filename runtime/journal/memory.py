"""A journal that lives as long as the process: for tests, and for runs that nobody resumes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from orchestrator.runtime.events import Event, RunDone, RunFailed

FINISHED_RUNS_KEPT: Final = 64


class MemoryJournal:
    """Keeps the events of the runs in progress and of the last ``kept`` that ended; values are kept by reference."""

    def __init__(self, kept: int = FINISHED_RUNS_KEPT) -> None:
        self._runs: dict[str, list[Event]] = {}
        self._ended: deque[str] = deque()
        self._kept = kept

    def append(self, run_id: str, event: Event) -> None:
        """Add an event to a run's log."""
        log = self._runs.get(run_id)
        if log is None:
            log = self._runs[run_id] = []
        log.append(event)
        if isinstance(event, (RunDone, RunFailed)):
            self._end(run_id)

    def _end(self, run_id: str) -> None:
        if run_id in self._ended:
            self._ended.remove(run_id)
        self._ended.append(run_id)
        if len(self._ended) > self._kept:
            self._runs.pop(self._ended.popleft(), None)

    def barrier(self, run_id: str) -> None:
        """Memory is as durable as it gets."""

    async def load(self, run_id: str) -> Sequence[Event]:
        """The events of a run, in order; empty for an unknown run."""
        return list(self._runs.get(run_id, ()))
