"""A process that dies, or whose store fails, at one chosen write.

Nothing is left out: what describes a version, a run's creation, a claim, a heartbeat and each commit of its log are a
write. A process dies before a write, so that it is lost with everything appended, or behind it, so that it is there and
nobody was told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Literal

from orchestrator.runtime.journal.stores.base import Claim, Head, NewRun, Store
from orchestrator.runtime.journal.stores.memory import MemoryStore
from tests.runtime.journal.stores.keeping import Place

Fate = Literal["dies before", "dies behind", "fails"]
FAILURES = 2
"""So many writes in a row fail."""


class DyingStore:
    """A store of one run, for one process."""

    def __init__(self, inner: Store, at: int, fate: Fate) -> None:
        self.inner = inner
        self.died = asyncio.Event()
        self.writes = 0
        self._at = at
        self._fate = fate
        self._appended: list[Callable[[], None]] = []
        self._commits = asyncio.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def create(self, run: NewRun, data: bytes, **how: Any) -> Head:
        return await self._written(lambda: self.inner.create(run, data, **how))

    async def claim(self, owner: str, **how: Any) -> Any:
        return await self._written(lambda: self.inner.claim(owner, **how))

    async def put_program(self, version: str, data: bytes) -> None:
        await self._written(lambda: self.inner.put_program(version, data))

    async def renew(self, owner: str, lease_s: float) -> Any:
        return await self._written(lambda: self.inner.renew(owner, lease_s))

    def append(self, claim: Claim, data: bytes, **more: Any) -> None:
        self._appended.append(partial(self.inner.append, claim, data, **more))

    def snapshot(self, claim: Claim, data: bytes) -> None:
        self._appended.append(partial(self.inner.snapshot, claim, data))

    def barrier(self, run_id: str) -> Awaitable[None] | None:
        if not self._appended and not self._commits.locked() and not self.died.is_set():
            return self.inner.barrier(run_id)
        return self._committed(run_id)

    async def _committed(self, run_id: str) -> None:
        async with self._commits:
            if self._appended:
                await self._written(lambda: self._commit(run_id))

    async def _commit(self, run_id: str) -> None:
        appended, self._appended = self._appended, []
        for append in appended:
            append()
        waiting = self.inner.barrier(run_id)
        if waiting is not None:
            await waiting

    async def _written(self, write: Callable[[], Awaitable[Any]]) -> Any:
        number, self.writes = self.writes, self.writes + 1
        await asyncio.sleep(0)  # whatever does not wait for it goes on
        if self.died.is_set() or (number == self._at and self._fate == "dies before"):
            await self._die()
        if self._fate == "fails" and self._at <= number < self._at + FAILURES:
            raise OSError("the store is away")
        result = await write()
        if number == self._at and self._fate == "dies behind":
            await self._die()
        return result

    async def _die(self) -> None:
        self.died.set()
        await asyncio.Event().wait()


class Memory:
    """Where runs are kept that outlive a process only as far as a test plays them all in its own."""

    errors = ()

    def __init__(self) -> None:
        self._store = MemoryStore()

    async def open(self) -> Store:
        return self._store

    async def kill(self, store: Store) -> None:
        """Have whatever is claimed be nobody's, as when a store sees that its owner is dead."""
        await store.close()


async def outlived(store: DyingStore, place: Place, work: Awaitable[Any]) -> tuple[Any, bool]:
    """What the work gives, and whether it came to that before its process died."""
    task = asyncio.ensure_future(work)
    death = asyncio.ensure_future(store.died.wait())
    try:
        await asyncio.wait({task, death}, return_when=asyncio.FIRST_COMPLETED)
        if store.died.is_set():
            await place.kill(store.inner)
            return None, False
        return await task, True
    finally:
        death.cancel()
        while not task.done():  # whatever it does in the end waits for the store as well
            task.cancel()
            await asyncio.sleep(0)
