"""The store in a file of SQLite's."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from orchestrator.runtime.journal.stores.base import Store
from orchestrator.runtime.journal.stores.sqlite.store import SqliteStore
from tests.runtime.journal.stores.contract import Contract


class File:
    """A file in a folder, which can be made to refuse what is inserted."""

    errors = (sqlite3.IntegrityError,)

    def __init__(self, path: Path) -> None:
        self._path = path

    async def open(self) -> Store:
        return await SqliteStore.open(self._path)

    async def kill(self, store: Store) -> None:
        assert isinstance(store, SqliteStore)
        store.process.let_go()

    async def cut(self, store: Store) -> None:
        """Let the process be dead amid what it does: a thread either has not begun with that, or commits it."""
        assert isinstance(store, SqliteStore)
        await store._writer.read(lambda _: None)
        await self.kill(store)

    @asynccontextmanager
    async def failing(self) -> AsyncIterator[None]:
        with closing(sqlite3.connect(self._path, isolation_level=None)) as other:
            for table in ("log", "notices"):
                other.execute(
                    f"CREATE TRIGGER no_{table} BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'no'); END"
                )
            yield
            for table in ("log", "notices"):
                other.execute(f"DROP TRIGGER no_{table}")


class TestSqliteStore(Contract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> File:
        return File(tmp_path / "folder" / "runs.db")
