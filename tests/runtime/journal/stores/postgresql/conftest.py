"""A schema for the tests of a file, which each of them finds empty."""

from __future__ import annotations

import asyncio
import secrets

import psycopg
import pytest

from orchestrator.runtime.journal.stores.postgresql.store import PostgresqlStore
from tests.postgresql import Server

TABLES = ("run", "log", "notice", "owner", "program", "reference")


@pytest.fixture(scope="module")
def schema(postgresql: Server) -> str:
    """Its name."""

    async def make() -> None:
        await (await PostgresqlStore.open(f"{postgresql.url}?schema={name}")).close()

    name = f"s{secrets.token_hex(8)}"
    asyncio.run(make())
    return name


@pytest.fixture
def url(postgresql: Server, schema: str) -> str:
    """What opens a store in it."""
    with psycopg.connect(postgresql.url) as connection:
        for table in TABLES:
            connection.execute(f"DELETE FROM {schema}.orch_{table}")
    return f"{postgresql.url}?schema={schema}"
