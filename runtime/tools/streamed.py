"""Tools that are generators: what they yield is shown as it comes, and their result is the list of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from threading import get_ident
from typing import Any, Final

from orchestrator.errors import RunError
from orchestrator.runtime.journal.events import ToolItem
from orchestrator.runtime.tools.caller import Caller

MOST_ITEMS: Final = 1_000_000
"""A generator whose tool declares no ``max_items`` gives so many at most: an endless one would take all memory."""

Show = Callable[[int, object], None]
_show: Final[ContextVar[Show]] = ContextVar("orchestrator_show", default=lambda number, item: None)
"""Shows an item with its number."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """A generator function as one that returns a list.

    Whatever place it runs at; in another process nobody is shown the items before the result.
    """

    fn: Callable[..., Iterable[Any]]
    most: int | None = None
    """The tool's ``max_items``."""

    def __call__(self, *args: Any, **kwargs: Any) -> list[Any]:
        show, items = _show.get(), list[Any]()
        for item in self.fn(*args, **kwargs):
            _make_room(items, self.most)
            items.append(item)
            show(len(items), item)
        return items


@dataclass(frozen=True, slots=True)
class StreamedAsync:
    """An async generator function as a coroutine function that returns a list."""

    fn: Callable[..., AsyncIterable[Any]]
    most: int | None = None
    """The tool's ``max_items``."""

    async def __call__(self, *args: Any, **kwargs: Any) -> list[Any]:
        show, items = _show.get(), list[Any]()
        yielded = self.fn(*args, **kwargs)
        try:
            async for item in yielded:
                _make_room(items, self.most)
                items.append(item)
                show(len(items), item)
        finally:
            if isinstance(yielded, AsyncGenerator):  # else it is left as it stands until it is collected
                await yielded.aclose()
        return items


def _make_room(items: list[Any], declared: int | None) -> None:
    """Raise ORCH-R005 where a generator yields more than it may."""
    most = MOST_ITEMS if declared is None else declared
    if len(items) < most:
        return
    fix = "raise the tool's max_items=" if declared is not None else "declare the tool's max_items="
    raise RunError(
        "ORCH-R005",
        f"a tool yields more than {most} items",
        why="the result of a generator is the list of all that it yields",
        fix=f"{fix}, or end the generator",
    )


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
