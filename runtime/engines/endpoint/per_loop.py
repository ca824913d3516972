"""One of something for each event loop: connections and queues belong to the loop that they were made in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Made when a loop first needs it, forgotten once the loop is closed."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[asyncio.AbstractEventLoop, T] = {}

    def here(self) -> T:
        """The running loop's."""
        loop = asyncio.get_running_loop()
        if loop not in self._made:
            self._made = {each: made for each, made in self._made.items() if not each.is_closed()}
            self._made[loop] = self._make()
        return self._made[loop]

    def clear(self) -> T | None:
        """Forget all; gives the running loop's, if there is one."""
        mine = self._made.pop(asyncio.get_running_loop(), None)
        self._made.clear()
        return mine
