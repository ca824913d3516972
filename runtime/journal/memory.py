"""A journal that lives as long as the process: for tests, and for runs that nobody resumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orchestrator.runtime.journal.events import Event, RunDone, RunFailed, RunResumed

FINISHED_RUNS_KEPT: Final = 64
_ENDS: Final = frozenset({RunDone, RunFailed})


class MemoryJournal:
    """Keeps the events of the runs in progress and of the last ``kept`` that ended, and their values as they are: those
    are the run's own, which nobody outside of it has (:mod:`orchestrator.runtime.values.by_value`)."""

    def __init__(self, kept: int = FINISHED_RUNS_KEPT) -> None:
        self._runs: dict[str, list[Event]] = {}
        self._ended: dict[str, None] = {}
        """Runs that are not in progress, in the order in which they ended."""
        self._kept = kept

    def append(self, run_id: str, event: Event) -> None:
        """Add an event to a run's log."""
        log = self._runs.get(run_id)
        if log is None:
            log = self._runs[run_id] = []
        log.append(event)
        if type(event) in _ENDS:
            self._ended[run_id] = None
            if len(self._ended) > self._kept:
                oldest = next(iter(self._ended))
                del self._ended[oldest], self._runs[oldest]
        elif type(event) is RunResumed:
            self._ended.pop(run_id, None)

    def barrier(self, run_id: str) -> None:
        """Memory is as durable as it gets."""

    async def load(self, run_id: str) -> Sequence[Event]:
        """The events of a run, in order; empty for an unknown run."""
        return list(self._runs.get(run_id, ()))
