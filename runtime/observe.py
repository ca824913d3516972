"""Watching a run: a bounded feed of its events and of the tokens of its replies.

A subscription never slows a run down. If its reader does not keep up, the oldest entries are dropped and counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final

from orchestrator.errors import described
from orchestrator.runtime.events import Feed
from orchestrator.runtime.raised import passes_through

FEED_LIMIT: Final = 10_000


class Subscription:
    """The feed of the runs of a runtime it was given to: ``async for event in subscription``, or ``drain()``."""

    def __init__(self, limit: int = FEED_LIMIT) -> None:
        self.dropped = 0
        """Entries that were dropped because nobody read them in time."""
        self._entries: deque[Feed] = deque()
        self._limit = limit
        self._closed = False
        self._waiting: asyncio.Future[None] | None = None

    def push(self, entry: Feed) -> None:
        """Add an entry; called by the run, on its event loop."""
        if len(self._entries) >= self._limit:
            self._entries.popleft()
            self.dropped += 1
        self._entries.append(entry)
        self._wake()

    def drain(self) -> list[Feed]:
        """Everything that has arrived, without waiting; from any thread."""
        taken: list[Feed] = []
        while self._entries:
            taken.append(self._entries.popleft())
        return taken

    def close(self) -> None:
        """End the iteration once everything has been read."""
        self._closed = True
        self._wake()

    async def __aiter__(self) -> AsyncIterator[Feed]:
        while True:
            while self._entries:
                yield self._entries.popleft()
            if self._closed:
                return
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Listeners:
    """Whoever is shown what a run does. One that raises has a fault of its own: it is shown no more."""

    __slots__ = ("_listeners", "_warnings")

    def __init__(self, listeners: Iterable[Callable[[Feed], None]], warnings: dict[str, None]) -> None:
        self._listeners = list(listeners)
        self._warnings = warnings

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def add(self, listener: Callable[[Feed], None]) -> None:
        """Show it everything from now on."""
        self._listeners.append(listener)

    def tell(self, feed: Feed) -> None:
        """Show an entry to all."""
        for listener in self._listeners:
            try:
                listener(feed)
            except BaseException as error:
                if passes_through(error):
                    raise
                self._drop(listener, error)

    def _drop(self, listener: Callable[[Feed], None], error: BaseException) -> None:
        self._listeners = [each for each in self._listeners if each is not listener]
        owner = type(getattr(listener, "__self__", listener)).__name__
        self._warnings[f"the observer {owner} failed and was shown no more: {described(error)}"] = None
