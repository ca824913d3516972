"""Making the tables and bringing them up to date when a store is opened.

Alembic does it, in one transaction and under a lock, so that of several processes that start at once one does it and
the others find it done. It is imported only where there is something to do.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from orchestrator.errors import JournalError
from orchestrator.runtime.journal.stores.failed import no_store
from orchestrator.runtime.journal.stores.postgresql.address import Address
from orchestrator.runtime.journal.stores.postgresql.connections import Session, settled

REVISIONS: Final = ("0001", "0002", "0003")
"""What this code knows, the newest last; each is a file in ``migrations/versions``."""
VERSION_TABLE: Final = "orch_version"
_LOCK: Final = 0x6F726368  # "orch": any number, but for all the same one


async def migrate(session: Session, address: Address, *, may_make: bool) -> str:
    """Bring the tables up to date, or make them; the schema that they are in.

    Raises ``JournalError``: ORCH-R093 where there are none and none may be made, ORCH-R111 where a newer version of the
    code has changed them, ORCH-R112 where there is no schema to make them in.
    """
    revision = await _revision(session)
    if revision is None and not may_make:
        raise no_store(address.url)
    if revision != REVISIONS[-1]:
        await asyncio.to_thread(_upgrade, address)
        await _revision(session)
    (row,) = (await session.run("SELECT current_schema()")).rows
    return str(row[0])


async def _revision(session: Session) -> str | None:
    """What the tables are at; None where there are none."""
    found = await session.run(f"SELECT to_regclass('{VERSION_TABLE}') IS NOT NULL", prepare=False)
    if not found.rows[0][0]:
        return None
    rows = (await session.run(f"SELECT version_num FROM {VERSION_TABLE}", prepare=False)).rows
    return _known(str(rows[0][0])) if rows else None


def _known(revision: str) -> str:
    if revision in REVISIONS:
        return revision
    raise JournalError(
        "ORCH-R111",
        f"the store's tables are at revision {revision}, which this version does not know",
        why=f"a newer version has changed them; this one knows up to {REVISIONS[-1]}",
        fix="install the newer version here, too",
    )


def _upgrade(address: Address) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    # The connection is made here and not from a URL, so that there is none with a password in SQLAlchemy's errors.
    engine = create_engine("postgresql+psycopg://", creator=lambda: _connect(address), poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        schema = connection.exec_driver_sql("SELECT current_schema()").scalar()
        if schema is None:
            raise _no_schema()
        found = connection.exec_driver_sql(f"SELECT to_regclass('{VERSION_TABLE}')").scalar()
        if found is not None:
            for (revision,) in connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}"):
                _known(revision)
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _connect(address: Address) -> psycopg.Connection[tuple[Any, ...]]:
    connection = psycopg.connect(address.conninfo)
    try:
        connection.execute(*settled(address))
        # Who waits for another's migration waits for as long as that takes.
        connection.execute("SET lock_timeout = 0")
        if address.schema is not None and not _exists(connection, address.schema):
            connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(address.schema)))
        connection.commit()
    except BaseException:
        connection.close()
        raise
    return connection


def _exists(connection: psycopg.Connection[tuple[Any, ...]], schema: str) -> bool:
    found = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema])
    return found.fetchone() is not None


def _no_schema() -> JournalError:
    return JournalError(
        "ORCH-R112",
        "there is no schema for the store's tables",
        why="the session's search_path names none that exists",
        fix="name one in the URL: ?schema=NAME",
    )
