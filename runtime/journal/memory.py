"""A journal that lives as long as the process: for tests, and for runs that nobody resumes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from orchestrator.runtime.events import Event

RUNS_KEPT = 64


class MemoryJournal:
    """Keeps the events of the last ``runs_kept`` runs; values are kept by reference."""

    def __init__(self, runs_kept: int = RUNS_KEPT) -> None:
        self._runs: OrderedDict[str, list[Event]] = OrderedDict()
        self._kept = runs_kept

    def append(self, run_id: str, event: Event) -> None:
        """Add an event to a run's log."""
        log = self._runs.get(run_id)
        if log is None:
            log = self._runs[run_id] = []
            if len(self._runs) > self._kept:
                self._runs.popitem(last=False)
        log.append(event)

    def barrier(self, run_id: str) -> None:
        """Memory is as durable as it gets."""

    async def load(self, run_id: str) -> Sequence[Event]:
        """The events of a run, in order; empty for an unknown run."""
        return list(self._runs.get(run_id, ()))
