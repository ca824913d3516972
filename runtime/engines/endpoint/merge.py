"""Several replies read at once, as one stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

Item = TypeVar("Item")


class _End:
    """A source has ended, by an exception or by itself."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


async def merged(sources: Sequence[AsyncGenerator[Item, None]]) -> AsyncGenerator[Item, None]:
    """What the sources give, in the order in which it comes. The first failure ends all of them, as closing does."""
    if len(sources) == 1:
        async with aclosing(sources[0]) as source:
            async for item in source:
                yield item
        return
    arrived: asyncio.Queue[Item | _End] = asyncio.Queue()
    tasks = [asyncio.create_task(_pump(source, arrived)) for source in sources]
    try:
        left = len(tasks)
        while left:
            entry = await arrived.get()
            if not isinstance(entry, _End):
                yield entry
                continue
            if entry.error is not None:
                raise entry.error
            left -= 1
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(source: AsyncGenerator[Item, None], into: asyncio.Queue[Item | _End]) -> None:
    try:
        async with aclosing(source) as items:
            async for item in items:
                into.put_nowait(item)
    except BaseException as error:  # noqa: BLE001 - raised by whoever reads, who would wait for ever otherwise
        into.put_nowait(_End(error))
    else:
        into.put_nowait(_End())
