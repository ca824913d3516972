"""Tools that are generators: what they yield is shown as it comes, and their result is the list of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from threading import get_ident
from typing import Any, Final

from orchestrator.runtime.events import ToolItem
from orchestrator.runtime.tools.caller import Caller

Show = Callable[[int, object], None]
_show: Final[ContextVar[Show]] = ContextVar("orchestrator_show", default=lambda number, item: None)
"""Shows an item with its number."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """A generator function as one that returns a list.

    Whatever place it runs at; in another process nobody is shown the items before the result.
    """

    fn: Callable[..., Iterable[Any]]

    def __call__(self, *args: Any, **kwargs: Any) -> list[Any]:
        show, items = _show.get(), list[Any]()
        for item in self.fn(*args, **kwargs):
            items.append(item)
            show(len(items), item)
        return items


@dataclass(frozen=True, slots=True)
class StreamedAsync:
    """An async generator function as a coroutine function that returns a list."""

    fn: Callable[..., AsyncIterable[Any]]

    async def __call__(self, *args: Any, **kwargs: Any) -> list[Any]:
        show, items = _show.get(), list[Any]()
        async for item in self.fn(*args, **kwargs):
            items.append(item)
            show(len(items), item)
        return items


def show_items(by: Caller) -> None:
    """Show what the tool yields to whoever observes the run of its caller; said on the run's event loop."""
    if not by.execution.listeners:
        return
    loop = asyncio.get_running_loop()
    thread = get_ident()

    def show(number: int, item: object) -> None:
        if not by.runs.is_over:  # else the run has left the tool behind
            by.execution.show(ToolItem(by.frame, by.op.id, number, item))

    def show_from_anywhere(number: int, item: object) -> None:
        if get_ident() == thread:
            show(number, item)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(show, number, item)

    _show.set(show_from_anywhere)
