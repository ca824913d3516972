"""A store by its URL."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from orchestrator.errors import JournalError, described
from orchestrator.redaction import shown
from orchestrator.runtime.journal.stores.base import Store
from orchestrator.runtime.journal.stores.failed import advice, in_a_line, no_store

DEFAULT_URL: Final = "sqlite:///.orch/runs.db"
_KINDS: Final = ("memory", "sqlite", "postgresql", "postgres")


async def open_store(url: str = DEFAULT_URL, *, may_make: bool = True) -> Store:
    """The store of a URL: ``memory:``, ``sqlite:///relative``, ``sqlite:////absolute``, ``postgresql://…``, or a path.
    It is made where there is none, if it ``may_make`` one.

    Raises ``JournalError``: ORCH-R093 where the URL names no store, or one that cannot be opened or made, and ORCH-R094
    where a file is no store of ours.
    """
    kind, colon, rest = url.partition(":")
    if url == "memory:":
        from orchestrator.runtime.journal.stores.memory import MemoryStore

        return MemoryStore()
    if kind in ("postgresql", "postgres") and rest.startswith("//"):
        return await _postgresql(url, may_make)
    if kind == "sqlite" and rest.startswith("///") and len(rest) > len("///"):
        return await _sqlite(Path(unquote(rest.removeprefix("///"))), may_make)
    if not url or "://" in url or (colon and kind in _KINDS):
        raise JournalError(
            "ORCH-R093",
            f"`{shown(url)}` names no store of runs",
            fix="sqlite:///runs.db, sqlite:////var/lib/runs.db, postgresql://user@host/database, memory:, or a path",
        )
    return await _sqlite(Path(url), may_make)


async def _sqlite(path: Path, may_make: bool) -> Store:
    from orchestrator.runtime.journal.stores.sqlite.store import SqliteStore

    try:
        if not may_make and _is_nothing(path):
            raise no_store(str(path))
        return await SqliteStore.open(path)
    except (OSError, sqlite3.Error) as error:
        raise JournalError(
            "ORCH-R093",
            f"the store of runs at {path} cannot be opened: {described(error)}",
            why="the file, a folder beside it that tells which processes are alive, and SQLite's own files are written",
            fix="name a path on a local disk that this user may write to, or run without a store (`memory:`)",
        ) from error


def _is_nothing(path: Path) -> bool:
    try:
        return path.stat().st_size == 0
    except FileNotFoundError:
        return True


async def _postgresql(url: str, may_make: bool) -> Store:
    try:
        from psycopg import Error

        from orchestrator.runtime.journal.stores.postgresql.store import PostgresqlStore
    except ImportError as error:
        raise JournalError(
            "ORCH-R093",
            f"the store of runs at {shown(url)} cannot be opened: {described(error)}",
            fix="pip install 'orchestrator[postgresql]'",
        ) from error
    try:
        return await PostgresqlStore.open(url, may_make=may_make)
    except (OSError, Error) as error:
        why, fix = advice(error)
        message = f"the store of runs at {shown(url)} cannot be opened: {in_a_line(error)}"
        raise JournalError("ORCH-R093", message, why=why, fix=f"{fix}, and try again") from error
