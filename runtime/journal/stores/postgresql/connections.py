"""Sessions of a store: one that writes, one that reads, one that listens.

A session is opened when it is needed, and again where it broke, because the database was restarted or is out of reach.
A call during which it breaks raises; the next one opens another.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from orchestrator.runtime.journal.stores.postgresql.address import Address

CALL_S: Final = 10.0
"""After this long without an answer a call is given up: the network may be whole, and the server stopped."""

_SETTINGS: Final = {
    # Others read what is locked as it is after the lock was had: a fence compares what is there now.
    "default_transaction_isolation": "read committed",
    # Each statement looks up ranges of an index for each of a few things, and then compares what it found with what it
    # was given. That is the plan, made once, whatever the statistics say: a new table grows before they tell.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_nestloop": "off",
    # What must be planned in spite of that has a cost for which older versions would compile the plan.
    "jit": "off",
    "client_encoding": "UTF8",
    # A process may be stopped at any point, and must not keep others from its rows for long.
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "10s",
}
_SET: Final = (
    "SELECT "
    + "".join(f"set_config('{name}', '{value}', false), " for name, value in _SETTINGS.items())
    + "set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'"
    " ELSE current_setting('synchronous_commit') END, false),"
    " CASE WHEN %(schema)s::text IS NOT NULL THEN set_config('search_path', quote_ident(%(schema)s), false) END"
)


def settled(address: Address) -> tuple[str, Mapping[str, str | None]]:
    """The statement that every session begins with, and its parameters."""
    return _SET, {"schema": address.schema}


async def connect(address: Address) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """Open a session that commits each statement by itself."""
    connection = await psycopg.AsyncConnection.connect(address.conninfo, autocommit=True)
    try:
        await connection.execute(*settled(address))
    except BaseException:
        await connection.close()
        raise
    return connection


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement gave."""

    rows: Sequence[tuple[Any, ...]]
    count: int
    """How many rows it changed or gave."""


@contextmanager
def _within(limit_s: float, connection: psycopg.AsyncConnection[Any]) -> Iterator[None]:
    """Cut the connection after some time, which ends what waits for it; to cancel that would ask the server first."""
    is_late = False

    def cut() -> None:
        nonlocal is_late
        is_late = not connection.closed
        if not is_late:
            return
        with socket.socket(fileno=os.dup(connection.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)

    timer = asyncio.get_running_loop().call_later(limit_s, cut)
    try:
        yield
    except psycopg.Error as error:
        if is_late:
            raise TimeoutError(f"the database has not answered for {limit_s:g} s") from error
        raise
    finally:
        timer.cancel()


def _is_broken(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Whether it is closed, also where that happened while nobody used it: then there is something to read, its end."""
    if connection.closed:
        return True
    waiting = select.poll()
    waiting.register(connection.fileno(), select.POLLIN)
    return bool(waiting.poll(0))


class Session:
    """One connection, whose users take turns."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._turn = asyncio.Lock()
        self._connection: psycopg.AsyncConnection[tuple[Any, ...]] | None = None
        self._is_closed = False

    @asynccontextmanager
    async def held(self) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
        """The connection, for whoever has the turn. Raises ``TimeoutError`` for what takes longer than ``CALL_S``."""
        async with self._turn:
            if self._is_closed:
                raise psycopg.InterfaceError("the store is closed")
            if self._connection is not None and _is_broken(self._connection):
                await self._connection.close()
                self._connection = None
            if self._connection is None:
                self._connection = await connect(self._address)
            with _within(CALL_S, self._connection):
                yield self._connection

    async def run(self, statement: str, values: Mapping[str, object] | None = None, *, prepare: bool = True) -> Answer:
        """Execute one statement, which is a transaction.

        ``prepare``: plan it once, for any parameters; that is for statements whose plan does not depend on them.
        """
        async with self.held() as connection:
            cursor = await connection.execute(statement, values, prepare=prepare)
            return Answer(await cursor.fetchall() if cursor.description else (), cursor.rowcount)

    async def run_all(self, works: Sequence[tuple[str, Mapping[str, object]]]) -> list[Answer]:
        """Execute several statements, each with its values, in one transaction and without a way there and back for
        each."""
        async with self.held() as connection, connection.transaction():
            async with connection.pipeline():
                cursors = [await connection.execute(*work, prepare=True) for work in works]
            return [Answer(await each.fetchall() if each.description else (), each.rowcount) for each in cursors]

    async def close(self) -> None:
        """Close it for good, once whoever has the turn is done."""
        async with self._turn:
            self._is_closed = True
            if self._connection is not None:
                await self._connection.close()
