"""What a store raises is told with what happened, why, and what to do."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from orchestrator.errors import JournalError
from orchestrator.runtime.journal.stores.failed import advice, failed, ranges, told
from orchestrator.runtime.journal.stores.opened import open_store


def full(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "full.db")) as db:
        db.execute("CREATE TABLE t(a)")
        db.execute("PRAGMA max_page_count = 2")
        db.execute("INSERT INTO t VALUES (zeroblob(100000))")


def read_only(folder: Path) -> None:
    (folder / "read.db").touch()
    with closing(sqlite3.connect(f"{(folder / 'read.db').as_uri()}?mode=ro", uri=True)) as db:
        db.execute("CREATE TABLE t(a)")


def held(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "held.db")) as one, closing(sqlite3.connect(folder / "held.db", 0)) as other:
        one.execute("BEGIN EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")


def damaged(folder: Path) -> None:
    (folder / "damaged.db").write_bytes(b"no database at all" * 1000)
    with closing(sqlite3.connect(folder / "damaged.db")) as db:
        db.execute("SELECT * FROM sqlite_master")


@pytest.mark.parametrize(
    ("breaks", "why", "fix"),
    [
        (full, "no space left", "free some space there, and try again"),
        (read_only, "may not write", "let this user write"),
        (held, "another program has held", "end what holds it"),
        (damaged, "below SQLite", "orch runs export"),
    ],
)
def test_what_sqlite_raises_says_what_to_do(breaks: Callable[[Path], None], why: str, fix: str, tmp_path: Path) -> None:
    with pytest.raises(JournalError) as caught, told("sqlite:///runs.db"):
        breaks(tmp_path)
    (found,) = caught.value.diagnostics
    assert found.code == "ORCH-R097"
    assert found.message.startswith("the store of runs at sqlite:///runs.db has failed: ")
    assert why in str(found.why)
    assert fix in str(found.fix)


def test_what_postgresql_and_the_system_raise_says_what_to_do() -> None:
    assert "standby" in advice(psycopg.errors.ReadOnlySqlTransaction()).why
    assert "grant" in advice(psycopg.errors.InsufficientPrivilege()).fix
    assert "no space" in advice(psycopg.errors.DiskFull()).why
    for away in (psycopg.OperationalError("server closed"), psycopg.errors.AdminShutdown(), TimeoutError("late")):
        assert "out of reach" in advice(away).why
    assert "no space" in advice(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))).why
    assert "mounted read-only" in advice(OSError(errno.EROFS, os.strerror(errno.EROFS))).why
    assert advice(ValueError("otherwise")).fix == "mend what it writes to"
    assert "one line" in failed(psycopg.OperationalError("in\n\tone line"), "u").message.replace("in one", "one")


def test_what_is_no_stores_fault_passes() -> None:
    for error in (FileNotFoundError(errno.ENOENT, "no", "other"), ValueError("a"), OSError(errno.ENOSPC, "b")):
        with pytest.raises(type(error)) as caught, told("sqlite:///runs.db"):
            raise error
        assert caught.value is error
    with pytest.raises(JournalError, match="has failed"), told("sqlite:///runs.db"):
        raise FileNotFoundError(errno.ENOENT, "the file was removed", "sqlite:///runs.db")


async def test_a_database_that_is_out_of_reach_is_a_coded_error_when_it_is_opened() -> None:
    with pytest.raises(JournalError, match="cannot be opened: OperationalError") as caught:
        await open_store("postgresql://nobody:hush@127.0.0.1:1/none")
    (found,) = caught.value.diagnostics
    assert (found.code, "out of reach" in str(found.why)) == ("ORCH-R093", True)
    assert "hush" not in str(found)
    assert "\n" not in found.message


def test_rows_are_named_by_their_ranges() -> None:
    assert ranges([]) == ""
    assert ranges([3]) == "3"
    assert ranges([1, 3, 4, 5, 9]) == "1, 3-5, 9"
