"""Something that happens in one process, for a task to wait for."""

from __future__ import annotations

import asyncio


class Bell:
    """It is rung when something has happened, and heard once: at once, where it was rung before anybody listened.

    It belongs to no event loop while nobody listens, so a store may outlive the loop that it was made in.
    """

    def __init__(self) -> None:
        self._rung = False
        self._listening: set[asyncio.Future[bool]] = set()

    def ring(self) -> None:
        """Wake everybody who listens, or else the next one who does. Call it in the loop of those who listen."""
        self._rung = not self._listening
        for future in self._listening:
            _answer(future, True)

    async def heard(self, timeout_s: float) -> bool:
        """Whether it was rung, or is within the time."""
        if self._rung or timeout_s <= 0:
            was_rung, self._rung = self._rung, False
            return was_rung
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._listening.add(future)
        timer = loop.call_later(timeout_s, _answer, future, False)
        try:
            return await future
        finally:
            timer.cancel()
            self._listening.discard(future)


def _answer(future: asyncio.Future[bool], was_rung: bool) -> None:
    if not future.done():
        future.set_result(was_rung)
