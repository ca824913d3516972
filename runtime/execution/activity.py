"""What a run does at the moment, for whoever may take it out of its process: nothing is lost while it only waits.

What is *busy* needs the process: a tool that runs, a model call, a pause before a retry. Questions and sleeps do not:
what they wait for is in the log, and comes in whichever process.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from orchestrator.errors import RunError
from orchestrator.runtime.journal.events import Asked


class Delivered(NamedTuple):
    """An answer."""

    value: object
    by: str
    notice: int | None = None
    """The number of the notice that it came by; None for one of whoever is at hand."""


class Activity:
    """What one run does."""

    __slots__ = (
        "_busy", "_delivered", "_once", "_waiting", "asked", "cancelled", "changed", "closing", "ends_with", "halted",
        "is_attended", "sleeping", "took"
    )  # fmt: skip

    def __init__(self) -> None:
        self._busy = 0
        self._once = 0
        self.is_attended = False
        """Whether somebody takes what is sent to the run, and takes it out of the process where it only waits."""
        self.closing = False
        """Whether no tool may be started any more that must run at most once."""
        self.halted = False
        """Whether nothing may begin any more that is not in the log: the run is about to end, or to be given back."""
        self.cancelled: RunError | None = None
        """Who has cancelled the run; None where its task is cancelled for another reason, which interrupts it."""
        self.changed = asyncio.Event()
        """It is set when the run may have come to wait, or such a tool has ended."""
        self.asked: dict[str, Asked] = {}
        """The questions that are waited for, by their paths in the log."""
        self.sleeping: dict[str, float] = {}
        """The sleeps that are waited for, by the path of the op: when each is over, in Unix seconds."""
        self.took: Callable[[int], None] = _forget
        """Told the number of a notice whose answer is in the log, or is none."""
        self.ends_with: list[int] = []
        """Notices that somebody else has to take where this process dies before the run has ended."""
        self._waiting: dict[str, asyncio.Future[Delivered]] = {}
        self._delivered: dict[str, deque[Delivered]] = {}

    @property
    def is_busy(self) -> bool:
        """Whether something goes on that needs this process."""
        return self._busy > 0

    @property
    def runs_once(self) -> bool:
        """Whether a tool runs that must run at most once."""
        return self._once > 0

    def begin(self) -> None:
        """Something begins that needs the process."""
        self._busy += 1

    def end(self) -> None:
        """It has ended, or only waits now."""
        self._busy -= 1
        if not self._busy and self.is_attended and (self.asked or self.sleeping):
            self.changed.set()

    async def begin_once(self) -> None:
        """A tool is about to start that must run at most once; where none may any more, this does not return."""
        if self.closing:
            await asyncio.get_running_loop().create_future()
        self._once += 1

    def end_once(self) -> None:
        """It has ended, or nobody waits for it."""
        self._once -= 1
        if not self._once:
            self.changed.set()

    def end_run(self) -> None:
        """The event that ends the run is appended next, and with it what was sent to end it is done with."""
        for notice in self.ends_with:
            self.took(notice)
        self.ends_with.clear()

    async def answer(self, path: str) -> Delivered:
        """The next answer that is sent to the question with this path."""
        left = self._delivered.get(path)
        if left:
            return left.popleft()
        self._waiting[path] = asyncio.get_running_loop().create_future()
        try:
            return await self._waiting[path]
        finally:
            del self._waiting[path]

    def deliver(self, path: str, answer: Delivered) -> None:
        """Somebody has sent an answer, maybe to a question to which the run has yet to come."""
        waiting = self._waiting.get(path)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
        else:
            self._delivered.setdefault(path, deque()).append(answer)

    def drop_undelivered(self) -> list[str]:
        """The run only waits: what nobody has waited for is no answer to anything. The paths that were meant."""
        meant = [path for path, answers in self._delivered.items() if answers]
        for answers in self._delivered.values():
            for each in answers:
                if each.notice is not None:
                    self.took(each.notice)
        self._delivered.clear()
        return meant


def _forget(_notice: int) -> None:
    """Nobody has sent anything."""
