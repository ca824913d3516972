"""The tables of a file of runs."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.errors import JournalError
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.journal.stores.sqlite.schema import APPLICATION, STEPS, connect, prepare, upgrade
from tests.runtime.journal.stores.keeping import created, log


def pragma(db: sqlite3.Connection, name: str) -> object:
    return db.execute(f"PRAGMA {name}").fetchone()[0]


def test_every_commit_is_synced(tmp_path: Path) -> None:
    prepare(tmp_path / "runs.db")
    with closing(connect(tmp_path / "runs.db")) as db:
        assert pragma(db, "journal_mode") == "wal"
        assert pragma(db, "synchronous") == 2  # FULL
        assert pragma(db, "wal_autocheckpoint") == 0
        assert pragma(db, "user_version") == len(STEPS)
        assert pragma(db, "application_id") == APPLICATION


def test_each_step_is_taken_once(tmp_path: Path) -> None:
    steps = [
        "CREATE TABLE a(x); INSERT INTO a VALUES('one;\ntwo');",
        "ALTER TABLE a ADD y;\nINSERT INTO a VALUES(1, 2);",
    ]
    (tmp_path / "runs.db").touch()
    with closing(connect(tmp_path / "runs.db")) as db:
        upgrade(db, steps[:1])
        upgrade(db, steps[:1])
        assert db.execute("SELECT * FROM a").fetchall() == [("one;\ntwo",)]
        upgrade(db, steps)
        upgrade(db, steps)
        assert db.execute("SELECT * FROM a").fetchall() == [("one;\ntwo", None), (1, 2)]
        assert pragma(db, "user_version") == 2


def test_all_steps_are_taken_or_none(tmp_path: Path) -> None:
    (tmp_path / "runs.db").touch()
    with closing(connect(tmp_path / "runs.db")) as db:
        with pytest.raises(sqlite3.OperationalError):
            upgrade(db, ["CREATE TABLE a(x);", "CREATE TABLE b(x); CREATE TABLE b(x);"])
        assert db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        assert pragma(db, "user_version") == 0
        upgrade(db, ["CREATE TABLE a(x);"])
        assert pragma(db, "user_version") == 1


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    store = await open_store(str(file))
    await created(store)
    await store.close()
    with closing(sqlite3.connect(file)) as db:
        db.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    with pytest.raises(JournalError, match="newer version") as caught:
        await open_store(str(file))
    assert caught.value.code == "ORCH-R094"
    with closing(sqlite3.connect(file)) as db:
        db.execute(f"PRAGMA user_version = {len(STEPS)}")
    again = await open_store(str(file))
    assert await log(again) == [b"first"]
    await again.close()


async def test_many_may_open_a_file_that_is_not_there(tmp_path: Path) -> None:
    failed: list[BaseException] = []
    file = tmp_path / "new" / "runs.db"

    def opens() -> None:
        import asyncio

        async def once() -> None:
            store = await open_store(str(file))
            await store.close()

        try:
            asyncio.run(once())
        except Exception as error:  # noqa: BLE001 - looked at below
            failed.append(error)

    threads = [threading.Thread(target=opens) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert list((tmp_path / "new" / "runs.db.owners").iterdir()) == []
