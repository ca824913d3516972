"""So many at once, first come, first served: blocking tools, workers, hints to engines, the simulator's requests.

Unlike asyncio's own locks and semaphores these may be used on one event loop after the other, as runs may.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Counts who runs and keeps who waits. For one event loop at a time."""

    __slots__ = ("running", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.waiting: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        """These wait in the order in which they came; any of them may leave, in constant time."""

    @property
    def is_idle(self) -> bool:
        """Nobody runs or waits."""
        return not (self.running or self.waiting)

    @asynccontextmanager
    async def turn(self, most: int) -> AsyncIterator[None]:
        """One of ``most`` at once, for as long as the context lasts."""
        await self.enter(most)
        try:
            yield
        finally:
            self.leave()

    async def enter(self, most: int) -> None:
        """Return when one more may run, ``most`` at once; :meth:`leave` ends it."""
        if self.running < most:
            self.running += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting[turn] = None
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():  # its turn came in the same moment
                self.leave()
            else:
                self.waiting.pop(turn, None)
            raise

    def leave(self) -> None:
        """One has ended, or is not waited for any more: the next may run."""
        while self.waiting:
            turn, _ = self.waiting.popitem(last=False)
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1
