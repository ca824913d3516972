"""The store in PostgreSQL does what every store must do."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from orchestrator.errors import JournalError
from orchestrator.runtime.journal.stores.base import Claim, Store
from orchestrator.runtime.journal.stores.postgresql import connections
from orchestrator.runtime.journal.stores.postgresql.store import PostgresqlStore
from tests.postgresql import Server
from tests.runtime.journal.stores.contract import Contract
from tests.runtime.journal.stores.keeping import claimed, created, durable, head_of, log


class Schema:
    """Where the stores of a test keep runs."""

    errors = (psycopg.Error, OSError)

    def __init__(self, server: Server, url: str) -> None:
        self._server = server
        self._url = url

    async def open(self) -> Store:
        return await PostgresqlStore.open(self._url)

    async def kill(self, store: Store) -> None:
        """The kernel closes the connections of a dead process; a moment later the database sees that."""
        assert isinstance(store, PostgresqlStore)
        await store._close_sessions()
        async with await psycopg.AsyncConnection.connect(self._url.partition("?")[0], autocommit=True) as connection:
            held = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND (classid::int8 << 32 | objid::int8) = %s"
            while (await connection.execute(held, [store._lock])).rowcount:
                await asyncio.sleep(0.01)

    async def cut(self, store: Store) -> None:
        """Let the process be dead amid a statement, which the server may have got; it is done with that on return."""
        assert isinstance(store, PostgresqlStore)
        writes = store._writes._connection
        if writes is not None and not writes.closed:
            pid = writes.info.backend_pid
            with socket.socket(fileno=os.dup(writes.fileno())) as end:
                end.shutdown(socket.SHUT_RDWR)
            async with await psycopg.AsyncConnection.connect(self._url.partition("?")[0], autocommit=True) as other:
                while (await other.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid])).rowcount:
                    await asyncio.sleep(0.01)
        await self.kill(store)

    @asynccontextmanager
    async def failing(self) -> AsyncIterator[None]:
        await asyncio.to_thread(self._server.stop)
        try:
            yield
        finally:
            await asyncio.to_thread(self._server.start)


class TestPostgresqlStore(Contract):
    @pytest.fixture
    def place(self, postgresql: Server, url: str) -> Schema:
        return Schema(postgresql, url)


async def test_a_store_shows_no_password(url: str) -> None:
    store = await PostgresqlStore.open(url.replace("postgres@", "postgres:hush@"))
    assert store.url == url
    assert "hush" not in repr(store)
    again = await PostgresqlStore.open(store.url)
    await again.close()
    await store.close()


async def test_stores_in_two_schemas_know_nothing_of_each_other(url: str, postgresql: Server) -> None:
    store = await PostgresqlStore.open(url)
    other = await PostgresqlStore.open(f'{postgresql.url}?schema=another%20"one"')
    await created(store, "r", owner=None)
    await created(other, "r", owner=None)
    assert await claimed(store) == ["r"]
    assert [head.status for head in await other.heads()] == ["ready"]
    await other.remove(["r"])
    await other.close()
    await store.close()


async def test_a_database_that_does_not_answer_fails_the_call_and_not_the_next(
    url: str, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await PostgresqlStore.open(url)
    claim = await created(store)
    monkeypatch.setattr(connections, "CALL_S", 0.5)
    postgresql.pause()
    try:
        store.append(claim, b"a")
        with pytest.raises(TimeoutError, match="not answered"):
            await durable(store, "r")
    finally:
        postgresql.go_on()
    monkeypatch.undo()
    await durable(store, "r")
    assert await log(store) == [b"first", b"a"]
    await store.close()


async def test_a_store_that_is_closed_says_so(url: str) -> None:
    store = await PostgresqlStore.open(url)
    claim = await created(store)
    await store.close()
    store.append(claim, b"a")
    with pytest.raises(psycopg.InterfaceError, match="closed"):
        await durable(store, "r")
    with pytest.raises(psycopg.InterfaceError, match="closed"):
        await store.heads()


async def test_rows_that_are_missing_are_named(url: str) -> None:
    store = await PostgresqlStore.open(url)
    for name in ("hurt", "well"):
        claim = await created(store, name)
        for number in range(2, 10):
            store.append(claim, b"%d" % number)
            await durable(store, name)
    address, _, schema = url.partition("?schema=")
    async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
        await connection.execute(f"DELETE FROM {schema}.orch_log WHERE run_id = 'hurt' AND number IN (4, 5, 7)")
    with pytest.raises(JournalError, match="of the 9 rows of its log, 4-5, 7 are missing") as caught:
        await store.load("hurt")
    assert caught.value.code == "ORCH-R095"
    found: list[int] = []
    with pytest.raises(JournalError):
        async for row in store.history("hurt"):
            found.append(row.number)  # noqa: PERF401 - as far as it goes
    assert found == [1, 2, 3]
    assert (await head_of(store, "well")).rows == len(await log(store, "well")) == 9
    head = await store.head("hurt")
    assert head is not None
    assert head.rows == 9
    await store.close()


async def test_who_only_reads_needs_no_database_that_takes_writes(url: str) -> None:
    store = await PostgresqlStore.open(url)
    await created(store, owner=None)
    await store.close()
    read_only = await PostgresqlStore.open(f"{url}&options=-c%20default_transaction_read_only%3Don")
    assert [head.run_id for head in await read_only.heads()] == ["r"]
    assert await log(read_only) == [b"first"]
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        await read_only.set_status("r", "paused")
    await read_only.close()


async def test_runs_that_are_created_at_once_share_a_commit(postgresql: Server, url: str) -> None:
    store = await PostgresqlStore.open(url)
    names = [f"r{number}" for number in range(100)]
    await asyncio.gather(*(created(store, name, owner=None) for name in names))
    assert sorted(head.run_id for head in await store.heads(limit=200)) == sorted(names)
    with psycopg.connect(postgresql.url) as connection:
        counted = connection.execute(f"SELECT count(DISTINCT xmin::text) FROM {url.rpartition('=')[2]}.orch_run")
        assert counted.fetchall()[0][0] < 10
    await store.close()


async def test_a_run_that_cannot_be_created_keeps_none_beside_it_from_being(url: str) -> None:
    store = await PostgresqlStore.open(url)
    names = ["there", "a", "no\0name", "b"]
    await created(store, "there")
    found = await asyncio.gather(*(created(store, name) for name in names), return_exceptions=True)
    assert [type(each) for each in found] == [KeyError, Claim, psycopg.DataError, Claim]
    await store.close()
