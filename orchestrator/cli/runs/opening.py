"""The store of a command, open while it works."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from orchestrator.cli.keeping import store_url
from orchestrator.event_loop import run

if TYPE_CHECKING:
    from orchestrator.runtime.journal.stores.base import Store

T = TypeVar("T")


def with_store(given: str | None, work: Callable[[Store], Awaitable[T]], *, may_make: bool = False) -> T:
    """What ``work`` gives for the store that ``--store`` names, which is made where there is none, if it ``may_make``
    one. Raises ``JournalError`` ORCH-R093 and ORCH-R094, and ORCH-R097 for one that fails meanwhile."""

    async def opened() -> T:
        from orchestrator.running.stores import opened as made
        from orchestrator.runtime.journal.stores.failed import told
        from orchestrator.runtime.journal.stores.opened import open_store

        url = store_url(given)
        store = (await made(url))[0] if may_make else await open_store(url, may_make=False)
        with told(store.url):
            try:
                return await work(store)
            finally:
                await store.close()

    return run(opened())
