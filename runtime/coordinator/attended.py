"""Executing a claimed run while somebody may send it something, and taking it out of the process where it only waits.

A run that only waits for answers, or for moments that are far, is given back to its store as ``waiting``. One that is
paused, or whose process is to end, is given back when the tools in flight that must run at most once have ended, or
after a while. What else is in flight is cut, and made again by whoever goes on. In all of this the log is closed first:
what is cut is no failure, and no cleanup of the workflow runs for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from time import time
from typing import TYPE_CHECKING, Final

from orchestrator.errors import JournalError, SuspendedError, described
from orchestrator.runtime.coordinator import notices
from orchestrator.runtime.coordinator.owner import RETRY_S, why_aside
from orchestrator.runtime.execution.activity import Delivered
from orchestrator.runtime.execution.lifecycle import result_of
from orchestrator.runtime.failures import cancelled, moment, suspended, unattended
from orchestrator.runtime.journal.events import RunDone
from orchestrator.runtime.journal.recorder import taken_over
from orchestrator.runtime.journal.stores.base import Change, Notice, Status

if TYPE_CHECKING:
    from orchestrator.runtime.coordinator.owner import Owner
    from orchestrator.runtime.execution.execution import Execution
    from orchestrator.runtime.result import RunResult

DRAIN_S: Final = 10.0
"""So long a tool that must run at most once is waited for, before its run is given back without its outcome."""
SAY_S: Final = 5.0
"""So long a run that was cancelled waits until that is durable."""
_TURNS: Final = 100
"""Behind so many turns of the event loop in which nothing begins, a run only waits: between two ops are a few."""
_WHY_CHARS: Final = 500
_log: Final = logging.getLogger(__name__)


class Attended:
    """One run."""

    def __init__(self, owner: Owner, execution: Execution, *, longest_sleep_s: float) -> None:
        self._owner = owner
        self._execution = execution
        self._activity = execution.activity
        self._longest_sleep_s = longest_sleep_s
        self._task: asyncio.Task[RunResult]
        self._seen: set[int] = set()
        """Notices that need not be looked at again."""
        self._leaving: tuple[Status, str] | None = None
        """What it is to become when it has come to a stop."""
        self._left: tuple[JournalError, Change | None] | None = None
        """Why it is not executed here any more, and what it is now, if that is for this process to say."""
        self._has_begun = False
        self._pauses: list[int] = []
        """Notices that have paused the run."""
        self._over = asyncio.Event()

    async def result(self, inputs: tuple[object, ...]) -> RunResult:
        """Execute the run. Raises ``SuspendedError`` ORCH-R034 where it is not over, and is not executed any more."""
        run_id = self._execution.run_id
        self._activity.is_attended = True
        self._activity.took = partial(self._owner.took, run_id)
        self._task = asyncio.ensure_future(result_of(self._execution, inputs))
        watching = asyncio.ensure_future(self._watch())
        watching.add_done_callback(self._watched)
        self._owner.attend(run_id, self)
        try:
            return await self._task
        except BaseException as error:
            here = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and here is not None and here.cancelling():
                await self._say_that_it_is_cancelled()
                raise
            raise await self._ended(error) from None
        finally:
            watching.cancel()
            self._over.set()

    async def ended(self) -> None:
        """Return when the run is not executed any more."""
        await self._over.wait()

    async def _say_that_it_is_cancelled(self) -> None:
        try:
            async with asyncio.timeout(SAY_S):
                await self._execution.log.durable()
        except (JournalError, TimeoutError) as error:
            _log.warning(
                "run %s: that it was cancelled is not in its log: %s", self._execution.run_id, described(error)
            )

    async def _ended(self, error: BaseException) -> BaseException:
        """What to raise for what the execution has raised."""
        if self._left is not None:
            failure, change = self._left
            if change is not None:
                taken = self._pauses if change.status == "paused" else ()
                await self._owner.give_back(self._execution.run_id, change, taken=taken)
            return failure
        if self._activity.cancelled is not None and isinstance(error, asyncio.CancelledError):
            await self._execution.log.durable()
            return self._activity.cancelled
        return error

    def take(self, left: Sequence[Notice]) -> None:
        """What was left for the run, also what was left before."""
        for notice in left:
            if notice.number not in self._seen:
                self._seen.add(notice.number)
                self._take(notice)

    def _take(self, notice: Notice) -> None:
        try:
            said = notices.read(notice.data)
        except ValueError as error:
            _log.warning("run %s: %s", self._execution.run_id, error)
            self._activity.took(notice.number)
            return
        if isinstance(said, notices.Answer):
            self._activity.deliver(said.path, Delivered(said.value, said.by, notice.number))
            self._activity.changed.set()
        elif isinstance(said, notices.Cancel):
            self._activity.ends_with.append(notice.number)
            # A second one would cut what the workflow does in the end, and what has its result is over.
            if self._activity.cancelled is None and not self._has_result:
                self._activity.cancelled = cancelled(said.by, said.at)
                self._cancel()
        elif isinstance(said, notices.Pause):
            self._activity.ends_with.append(notice.number)
            self._pauses.append(notice.number)
            self.stop("paused", f"paused by {said.by}")
        # a settlement waits for whoever claims the run next

    def stop(self, status: Status, why: str) -> None:
        """Give the run back as soon as no tool is in flight that must run at most once, or after ``DRAIN_S``."""
        if self._leaving is None:
            self._activity.closing = self._activity.halted = True
            self._leaving = status, why
            self._activity.changed.set()
            asyncio.get_running_loop().call_later(DRAIN_S, self._cut)

    def lost(self) -> None:
        """Somebody else executes the run now: nothing that happens here counts."""
        self._leave(taken_over(self._execution.run_id), None)

    def _cut(self) -> None:
        if self._leaving is not None:
            status, why = self._leaving
            self._leave(suspended(self._execution.run_id, status, why), Change(status, why))

    @property
    def _has_result(self) -> bool:
        """Whether the run has its result, though that may not be durable yet."""
        events = self._execution.log.events
        return bool(events) and isinstance(events[-1], RunDone)

    def _watched(self, watching: asyncio.Task[None]) -> None:
        """Put the run aside for a defect: one that nobody watches would never be given back, nor be told anything."""
        error = None if watching.cancelled() else watching.exception()
        if error is not None:
            failure = unattended(self._execution.run_id, error)
            _log.error("%s", failure.message, exc_info=error)
            self._leave(failure, Change("suspended", why_aside(failure)))

    def _leave(self, failure: JournalError, change: Change | None) -> None:
        if self._task.done() or self._left is not None or self._has_result:
            return
        self._left = failure, change
        log = self._execution.log
        log.failure = log.failure or failure
        self._task.cancel()

    def _cancel(self) -> None:
        """Cancel the execution; one that has yet to begin, when it is where it was, as that is cleaned up."""
        if self._has_begun:
            self._activity.halted = False
            self._task.cancel()
        else:
            self._activity.halted = True

    async def _watch(self) -> None:
        if self._activity.cancelled is not None:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
        self._has_begun = True
        if self._activity.cancelled is not None:
            self._cancel()
        elif self._execution.resumed is not None:
            await self._was_told_nothing()  # it was claimed a while ago
        while True:
            await self._activity.changed.wait()
            self._activity.changed.clear()
            if self._leaving is not None:
                if not self._activity.runs_once:
                    self._cut()
            elif await self._only_waits() and await self._was_told_nothing() and await self._only_waits():
                self._leave(*self._waiting())

    async def _was_told_nothing(self) -> bool:
        """Whether nothing is left for the run that it has not seen: it would be ready again at once."""
        try:
            await self._owner.look(self._execution.run_id)
        except Exception as error:  # noqa: BLE001 - a store that fails keeps the run here
            _log.warning("run %s: its notices could not be read: %s", self._execution.run_id, described(error))
            await asyncio.sleep(RETRY_S)
            self._activity.changed.set()
        return not self._activity.changed.is_set()

    async def _only_waits(self) -> bool:
        for _ in range(_TURNS):
            if self._activity.is_busy or self._activity.changed.is_set():
                return False
            await asyncio.sleep(0)
        sleeping = self._activity.sleeping
        if not self._activity.asked and not sleeping:
            return False
        return all(wake_at - time() > self._longest_sleep_s for wake_at in sleeping.values())

    def _waiting(self) -> tuple[SuspendedError, Change]:
        """What the run waits for."""
        for path in self._activity.drop_undelivered():
            _log.warning("run %s: an answer was dropped, as nothing is asked at %s", self._execution.run_id, path)
        asked, sleeping = self._activity.asked.values(), self._activity.sleeping
        said = [f"`{each.frame}{each.op}` asks: {each.question}" for each in asked]
        said += [f"`{path}` sleeps until {moment(wake_at)}" for path, wake_at in sleeping.items()]
        why = "; ".join(said)[:_WHY_CHARS]
        ends = [*sleeping.values(), *(each.expires_at for each in asked if each.expires_at is not None)]
        wake_at = min(ends, default=None)
        paths = [each.frame + each.op for each in asked]
        failure = suspended(self._execution.run_id, "waiting", why, questions=paths, wake_at=wake_at)
        return failure, Change("waiting", why, wake_at)
