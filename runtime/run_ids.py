"""One run for each id: it begins once, and one caller at a time executes it.

Results, idempotency keys and what is known of ``once`` tools go by a run's id. Two executions of one would each start
what neither knows of the other to have started.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.runtime.failures import run_exists, run_under_way
from orchestrator.runtime.journal.base import Journal
from orchestrator.runtime.journal.run_log import RunLog


class RunIds:
    """The ids in a journal, and which of their runs are under way here."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._taken: set[str] = set()

    @contextmanager
    def taken(self, run_id: str) -> Iterator[None]:
        """Nobody else executes the run meanwhile. Raises ORCH-R022 where somebody does."""
        if run_id in self._taken:
            raise run_under_way(run_id)
        self._taken.add(run_id)
        try:
            yield
        finally:
            self._taken.remove(run_id)

    async def check_new(self, run_id: str) -> None:
        """Raises ORCH-R029 for the id of a run that the journal knows."""
        if await RunLog(self._journal, run_id).load():
            raise run_exists(run_id)
