"""Watching a run: a bounded feed of its events and of the tokens of its replies.

A subscription never slows a run down. If its reader does not keep up, the oldest entries are dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final

from orchestrator.errors import described
from orchestrator.leaving import passes_through
from orchestrator.runtime.journal.events import Feed

FEED_LIMIT: Final = 10_000
_log: Final = logging.getLogger(__name__)


class Subscription:
    """The feed of the runs of a runtime it was given to: ``async for event in subscription``, or ``drain()``.

    It may be read in another thread or event loop than the runs'. Each entry goes to one reader.
    """

    def __init__(self, limit: int = FEED_LIMIT) -> None:
        self.dropped = 0
        """Entries that were dropped because nobody read them in time."""
        self._entries: deque[Feed] = deque()
        self._limit = limit
        self._closed = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def push(self, entry: Feed) -> None:
        """Add an entry; called by the run, on its event loop."""
        if len(self._entries) >= self._limit:
            with suppress(IndexError):  # a reader was faster
                self._entries.popleft()
                self.dropped += 1
        self._entries.append(entry)
        self._wake()

    def drain(self) -> list[Feed]:
        """Everything that has arrived, without waiting; from any thread."""
        taken: list[Feed] = []
        with suppress(IndexError):
            while True:
                taken.append(self._entries.popleft())
        return taken

    def close(self) -> None:
        """End the iteration once everything has been read."""
        self._closed = True
        self._wake()

    async def __aiter__(self) -> AsyncIterator[Feed]:
        while True:
            for entry in self._taken():
                yield entry
            if self._closed and not self._entries:
                return
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            if not (self._entries or self._closed):  # nothing came before there was somebody to wake
                await waiting

    def _taken(self) -> Iterator[Feed]:
        with suppress(IndexError):
            while True:
                yield self._entries.popleft()

    def _wake(self) -> None:
        while self._waiting:
            with suppress(IndexError, RuntimeError):  # somebody else woke it; its loop is closed
                waiting = self._waiting.popleft()
                waiting.get_loop().call_soon_threadsafe(_end, waiting)


def _end(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def end_feeds(subscriptions: Iterable[Subscription]) -> None:
    """Close all of them; what runs did is not undone by the fault of one, which is logged."""
    for each in subscriptions:
        try:
            each.close()
        except BaseException as error:
            if passes_through(error):
                raise
            _log.warning("the observer %s could not be closed: %s", type(each).__name__, described(error))


class Listeners:
    """Whoever is shown what a run does. One that raises has a fault of its own: it is shown no more."""

    __slots__ = ("_warnings", "present")

    def __init__(self, listeners: Iterable[Callable[[Feed], None]], warnings: dict[str, None]) -> None:
        self.present = list(listeners)
        self._warnings = warnings

    def __bool__(self) -> bool:
        return bool(self.present)

    def add(self, listener: Callable[[Feed], None]) -> None:
        """Show it everything from now on."""
        self.present.append(listener)

    def tell(self, feed: Feed, seen: Listeners | None = None) -> None:
        """Show an entry to all but those of ``seen``."""
        for listener in self.present:
            if seen is not None and listener in seen.present:
                continue
            try:
                listener(feed)
            except BaseException as error:
                if passes_through(error):
                    raise
                self._drop(listener, error)

    def _drop(self, listener: Callable[[Feed], None], error: BaseException) -> None:
        self.present = [each for each in self.present if each is not listener]
        owner = type(getattr(listener, "__self__", listener)).__name__
        self._warnings[f"the observer {owner} failed and was shown no more: {described(error)}"] = None
