"""The tables are made when a store is opened, once, and not by a version that does not know them."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
import zipfile
from pathlib import Path

import psycopg
import pytest
from alembic.script import ScriptDirectory

from orchestrator.errors import JournalError
from orchestrator.runtime.journal.stores.postgresql import migrating
from orchestrator.runtime.journal.stores.postgresql.migrating import REVISIONS
from orchestrator.runtime.journal.stores.postgresql.store import PostgresqlStore
from tests.postgresql import Server
from tests.runtime.journal.stores.keeping import created, log

MIGRATIONS = Path(migrating.__file__).parent / "migrations"
ROOT = Path(__file__).parents[5]


def test_the_revisions_that_are_known_are_those_of_the_files() -> None:
    revisions = [each.revision for each in ScriptDirectory(str(MIGRATIONS)).walk_revisions()]
    assert tuple(reversed(revisions)) == REVISIONS


async def test_several_that_open_a_new_schema_at_once_find_it_made(postgresql: Server) -> None:
    url = f"{postgresql.url}?schema=s{secrets.token_hex(8)}"
    stores = await asyncio.gather(*(PostgresqlStore.open(url) for _ in range(4)))
    await created(stores[0])
    assert await log(stores[3]) == [b"first"]
    for store in stores:
        await store.close()


async def test_tables_that_are_not_there_are_made_only_where_they_may_be(postgresql: Server) -> None:
    url = f"{postgresql.url}?schema=s{secrets.token_hex(8)}"
    for _ in range(2):
        with pytest.raises(JournalError, match="there is no store of runs at postgresql://") as raised:
            await PostgresqlStore.open(url, may_make=False)
        assert raised.value.code == "ORCH-R093"
    await (await PostgresqlStore.open(url)).close()
    await (await PostgresqlStore.open(url, may_make=False)).close()


async def test_tables_of_a_newer_version_are_refused_and_left_alone(url: str, schema: str, postgresql: Server) -> None:
    async with await psycopg.AsyncConnection.connect(postgresql.url, autocommit=True) as connection:
        await connection.execute(f"UPDATE {schema}.orch_version SET version_num = '0999'")
        with pytest.raises(JournalError, match="0999") as raised:
            await PostgresqlStore.open(url)
        assert raised.value.code == "ORCH-R111"
        await connection.execute(f"UPDATE {schema}.orch_version SET version_num = %s", [REVISIONS[-1]])
    await (await PostgresqlStore.open(url)).close()


async def test_a_search_path_that_leads_nowhere_is_an_error(postgresql: Server) -> None:
    with pytest.raises(JournalError, match="no schema") as raised:
        await PostgresqlStore.open(f"{postgresql.url}?options=-csearch_path%3Dnowhere")
    assert raised.value.code == "ORCH-R112"


async def test_the_tables_are_where_the_search_path_begins(postgresql: Server, schema: str, url: str) -> None:
    store = await PostgresqlStore.open(f"{postgresql.url}?options=-csearch_path%3D{schema}")
    await created(store)
    other = await PostgresqlStore.open(url)
    assert await log(other) == [b"first"]
    await other.close()
    await store.close()


@pytest.mark.slow
def test_the_wheel_has_the_migrations(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    folder = "orchestrator/runtime/journal/stores/postgresql/migrations/"
    assert {name.removeprefix(folder) for name in names if name.startswith(folder)} >= {
        "env.py",
        "versions/r0001_runs.py",
        "versions/r0002_epochs.py",
    }
