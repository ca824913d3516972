"""The store in PostgreSQL."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from orchestrator.runtime.journal.stores.base import Store
from orchestrator.runtime.journal.stores.postgresql.store import PostgresqlStore
from tests.postgresql import Server
from tests.runtime.journal.stores.contract import Contract


class Schema:
    """A schema in the session's server, which the tests of a class empty and use one after another."""

    errors = (psycopg.Error, OSError)

    def __init__(self, server: Server, name: str) -> None:
        self._server = server
        self.url = f"{server.url}?schema={name}"

    async def open(self) -> Store:
        return await PostgresqlStore.open(self.url)

    async def kill(self, store: Store) -> None:
        """The kernel closes the connections of a dead process, which is all that the database sees of its death."""
        assert isinstance(store, PostgresqlStore)
        await store._close_sessions()

    @asynccontextmanager
    async def failing(self) -> AsyncIterator[None]:
        await asyncio.to_thread(self._server.stop)
        try:
            yield
        finally:
            await asyncio.to_thread(self._server.start)


@pytest.fixture(scope="module")
def schema(postgresql: Server) -> str:
    async def make() -> None:
        await (await PostgresqlStore.open(f"{postgresql.url}?schema={name}")).close()

    name = f"s{secrets.token_hex(8)}"
    asyncio.run(make())
    return name


class TestPostgresqlStore(Contract):
    @pytest.fixture
    async def place(self, postgresql: Server, schema: str) -> Schema:
        async with await psycopg.AsyncConnection.connect(postgresql.url) as connection:
            for table in ("run", "log", "notice", "owner", "program", "reference"):
                await connection.execute(f"DELETE FROM {schema}.orch_{table}")
        return Schema(postgresql, schema)
