"""The session that listens, and that tells others that this process lives.

It holds an advisory lock, under a number that no other process has. The database takes the lock away when the
connection is closed, which is within a moment when the process is killed; so whoever finds an owner without its lock
knows that it is dead, or has lost its connection. The lock keeps nobody from writing: only the fence does.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import Final

import psycopg
from psycopg import sql

from orchestrator.runtime.journal.stores.bell import Bell
from orchestrator.runtime.journal.stores.postgresql.address import Address
from orchestrator.runtime.journal.stores.postgresql.connections import connect

_PAUSES_S: Final = (0.0, 0.05, 0.2, 0.5)
"""Before a broken session is opened again: at once first, since others take its lock for its life."""


def channel_of(schema: str) -> str:
    """What is notified of the runs in a schema: one name for each, of a length that PostgreSQL takes."""
    return f"orch_{hashlib.sha256(schema.encode()).hexdigest()[:16]}"


class Listener:
    """Rings a bell for every notification, and for every one that may have been missed."""

    def __init__(self, address: Address, channel: str, lock: int, bell: Bell) -> None:
        self._address = address
        self._channel = channel
        self._lock = lock
        self._bell = bell
        self._attempt: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the lock is held, or could not be had."""
        self._task = asyncio.create_task(self._listen())

    async def up(self) -> None:
        """Return when the lock is held. Raises what keeps it from being so."""
        await asyncio.shield(self._attempt)

    async def close(self) -> None:
        """Give the lock back, and end."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        if not self._attempt.done():
            self._attempt.cancel()

    async def _listen(self) -> None:
        failures = 0
        while True:
            await asyncio.sleep(_PAUSES_S[min(failures, len(_PAUSES_S) - 1)])
            try:
                async with await connect(self._address) as connection:
                    await connection.execute("SELECT pg_advisory_lock_shared(%s)", [self._lock])
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self._channel)))
                    failures = 0
                    self._attempt.set_result(None)
                    self._bell.ring()
                    async for _ in connection.notifies():
                        self._bell.ring()
            except (psycopg.Error, OSError) as error:
                failures += 1
                self._lost(error)

    def _lost(self, error: Exception) -> None:
        if not self._attempt.done():
            self._attempt.set_exception(error)
            self._attempt.exception()  # whoever waits gets it; where nobody does, it is no loss
        self._attempt = asyncio.get_running_loop().create_future()
