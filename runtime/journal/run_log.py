"""One run's part of a journal, which may fail: a full disk, a lost connection, a defect.

After the first failure nothing is taken any more, so that no event stands behind a gap, and no op starts, as each is
written down first. What the journal raises becomes ORCH-R048, which says what is durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from orchestrator.errors import JournalError, described
from orchestrator.leaving import passes_through
from orchestrator.runtime.journal.base import Journal
from orchestrator.runtime.journal.events import Event
from orchestrator.runtime.journal.stores.failed import LOG_FAILED, advice, in_a_line
from orchestrator.runtime.journal.values.tree import NotKeptError


class RunLog:
    """Where a run is written down."""

    def __init__(self, journal: Journal, run_id: str) -> None:
        self._journal = journal
        self.run_id = run_id
        self.events: list[Event] = []
        """What has happened; what need not be written down, too."""
        self.taken = 0
        """How many of those were taken by the journal."""
        self._durable = 0
        """How many of those that were taken are known to be durable."""
        self.failure: JournalError | None = None
        """Why nothing is taken any more."""

    def append(self, event: Event) -> None:
        """Write an event down. Raises ``JournalError`` if that fails, or has failed before."""
        self.append_noted(event)
        self.events.append(event)

    def append_noted(self, event: Event) -> None:
        """Write an event down that is one of :attr:`events` already. Raises as :meth:`append`."""
        if self.failure is not None:
            raise self.failure
        try:
            self._journal.append(self.run_id, event)
        except NotKeptError:  # the value's fault, and nothing was written
            raise
        except BaseException as error:
            raise self._failed(error, event) from error
        self.taken += 1

    def barrier(self, taken: int | None = None) -> Awaitable[None] | None:
        """What to wait for until everything written down is durable, or so much of it as had been ``taken`` when that
        was so many; None if it is. Raises ``JournalError``."""
        if self.failure is not None:
            raise self.failure
        if taken is not None and taken <= self._durable:
            return None
        taken = self.taken
        try:
            waiting = self._journal.barrier(self.run_id)
        except BaseException as error:
            raise self._failed(error) from error
        if waiting is not None:
            return self._wait(waiting, taken)
        self._durable = taken
        return None

    async def durable(self) -> None:
        """Return when everything written down is durable. Raises ``JournalError``."""
        waiting = self.barrier()
        if waiting is not None:
            await waiting

    async def load(self) -> Sequence[Event]:
        """The events of the run. Raises ``JournalError``."""
        try:
            return await self._journal.load(self.run_id)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if passes_through(error):
                raise
            raise JournalError(
                LOG_FAILED,
                f"the journal cannot be read: {described(error)}",
                why=f"nothing of run {self.run_id} was executed",
                fix="mend what the journal writes to, and try again",
            ) from error

    async def _wait(self, waiting: Awaitable[None], taken: int) -> None:
        try:
            await waiting
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            raise self._failed(error) from error
        self._durable = max(self._durable, taken)

    def _failed(self, error: BaseException, event: Event | None = None) -> BaseException:
        """What to raise for what the journal has raised."""
        if passes_through(error):
            return error
        if isinstance(error, JournalError):
            self.failure = self.failure or error
            return self.failure
        op = getattr(event, "op", None)
        lost = "what came after" if event is None else type(event).__name__ + (f" of `{op}`" if op else "")
        why, fix = advice(error)
        self.failure = self.failure or JournalError(
            LOG_FAILED,
            f"run {self.run_id} was ended, because the journal failed: {in_a_line(error)}",
            why=f"{why}; of its {self.taken} events the first {self._durable} are known to be durable, and {lost} is "
            "not; nothing more was started",
            fix=f"{fix}, and resume the run: what is not durable is executed again, except for `once` tools, which are "
            "unsettled then",
        )
        return self.failure
