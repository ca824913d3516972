"""What the executor needs of a journal: an ordered log of events per run."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol, runtime_checkable

from orchestrator.runtime.journal.events import Event


@runtime_checkable
class Journal(Protocol):
    """Where events are kept.

    ``append`` takes events in order and may buffer them. ``barrier`` makes everything appended so far durable: the
    executor calls it before anything becomes visible outside (a model call or a tool that is not pure starts, the run
    returns), so an implementation may commit many events at once.

    What any of them raises ends the run with ORCH-R048 (:class:`~orchestrator.runtime.journal.run_log.RunLog`); after
    that nothing is appended any more.
    """

    def append(self, run_id: str, event: Event) -> None:
        """Add an event to a run's log."""

    def barrier(self, run_id: str) -> Awaitable[None] | None:
        """Something to await until all appended events are durable; None if they are."""

    async def load(self, run_id: str) -> Sequence[Event]:
        """The events of a run, in order; empty for an unknown run."""
