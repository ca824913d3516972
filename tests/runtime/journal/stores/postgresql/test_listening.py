"""News come by notification, of claims and notices alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from orchestrator.runtime.journal.stores.base import Change
from orchestrator.runtime.journal.stores.postgresql import store as store_module
from orchestrator.runtime.journal.stores.postgresql.listening import channel_of
from orchestrator.runtime.journal.stores.postgresql.store import PostgresqlStore
from tests.postgresql import Server
from tests.runtime.journal.stores.keeping import created, drained, durable

LISTENERS = "FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND application_name = 'orchestrator'"


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresqlStore]:
    store = await PostgresqlStore.open(url)
    yield store
    await store.close()


async def test_appending_notifies_nobody(store: PostgresqlStore, schema: str, postgresql: Server) -> None:
    claim = await created(store)
    async with await psycopg.AsyncConnection.connect(postgresql.url, autocommit=True) as listening:
        await listening.execute(f"LISTEN {channel_of(schema)}")
        for number in range(5):
            store.append(claim, b"a", change=Change(why="so") if number == 3 else None)
            store.snapshot(claim, b"S")
            await durable(store, "r")
        assert [each async for each in listening.notifies(timeout=0.2)] == []
        await store.send("r", b"a")
        assert len([each async for each in listening.notifies(timeout=30, stop_after=1)]) == 1


async def test_news_wake_without_a_look(store: PostgresqlStore, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "LOOK_S", 1000)
    other = await PostgresqlStore.open(url)
    await drained(store)
    waiting = asyncio.ensure_future(store.wait(1000))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await created(other, owner=None)
    await asyncio.wait_for(waiting, 60)
    await other.close()


async def test_a_listener_that_was_cut_off_listens_again(
    store: PostgresqlStore, url: str, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LOOK_S", 1000)
    await drained(store)
    async with await psycopg.AsyncConnection.connect(postgresql.url, autocommit=True) as connection:
        found = await connection.execute(f"SELECT pid, pg_terminate_backend(pid) {LISTENERS}")
        ended = {pid for pid, _ in await found.fetchall()}
        assert ended
    await asyncio.wait_for(store.wait(1000), 60)  # what was said meanwhile is not known
    await asyncio.wait_for(store._listener.up(), 60)
    other = await PostgresqlStore.open(url)
    await drained(store)
    waiting = asyncio.ensure_future(store.wait(1000))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    await created(other, owner=None)
    await asyncio.wait_for(waiting, 60)
    await other.close()
