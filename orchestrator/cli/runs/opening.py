"""The store of a command, open while it works."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from orchestrator.cli.keeping import store_url
from orchestrator.event_loop import run

if TYPE_CHECKING:
    from orchestrator.runtime.journal.stores.base import Store

T = TypeVar("T")


def with_store(given: str | None, work: Callable[[Store], Awaitable[T]]) -> T:
    """What ``work`` gives for the store that ``--store`` names. Raises ``JournalError`` ORCH-R093 and ORCH-R094,
    and ORCH-R097 for one that fails meanwhile."""

    async def opened() -> T:
        from orchestrator.running.stores import opened as open_
        from orchestrator.runtime.journal.stores.failed import told

        store, _ = await open_(store_url(given))
        with told(store.url):
            try:
                return await work(store)
            finally:
                await store.close()

    return run(opened())
