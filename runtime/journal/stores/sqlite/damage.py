"""What a damaged file has lost: which rows of a run, to the number."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from orchestrator.errors import JournalError
from orchestrator.runtime.journal.stores.failed import DAMAGED, ranges
from orchestrator.runtime.journal.stores.sqlite.runs import check_sum

_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BLOCK: Final = 1024


@contextmanager
def told(db: sqlite3.Connection, run_id: str | None = None) -> Iterator[None]:
    """Say what is lost where SQLite says no more than that the file is damaged."""
    try:
        yield
    except sqlite3.DatabaseError as damaged:
        if not is_damage(damaged):
            raise
        raise _listing() if run_id is None else error(db, run_id) from damaged


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says by this that the file is damaged."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def error(db: sqlite3.Connection, run_id: str) -> JournalError:
    """ORCH-R095, with the rows that cannot be read."""
    try:
        head = db.execute("SELECT id, rows FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    except sqlite3.DatabaseError:
        head = None
    if head is None:
        return JournalError(
            DAMAGED,
            f"run {run_id} cannot be read: the file is damaged where it says how far the run is",
            why="its log may be whole, and cannot be found without that",
            fix="restore the file from a backup; the other runs in it can be read and exported",
        )
    run, rows = head
    kept = dict(_intact(db, run))
    lost = ranges([number for number in range(1, rows + 1) if number not in kept])
    if not lost:
        return JournalError(
            DAMAGED,
            f"run {run_id} cannot be read: the file is damaged between its {rows} rows, which are whole",
            fix="restore the file from a backup, or export the run's history and import it into a new file",
        )
    snapshots = [number for number, is_snapshot in kept.items() if is_snapshot]
    return JournalError(
        DAMAGED,
        f"run {run_id} is damaged: of the {rows} rows of its log, {lost} cannot be read",
        why=f"the file was changed or torn below SQLite; the last snapshot that can be read is row {max(snapshots)}"
        if snapshots
        else "the file was changed or torn below SQLite, and no snapshot can be read",
        fix="restore the file from a backup; the other runs in it are not touched by this",
    )


def _listing() -> JournalError:
    return JournalError(
        DAMAGED,
        "the runs cannot be listed: the file is damaged where it says which there are",
        why="each of them can be read by its id, where its own place is whole",
        fix="restore the file from a backup",
    )


def _intact(db: sqlite3.Connection, run: int) -> Iterator[tuple[int, bool]]:
    """The numbers of the rows of a run that are as they were written, and whether they are snapshots."""
    try:
        (end,) = db.execute("SELECT coalesce(max(id), 0) FROM log").fetchone()
    except sqlite3.DatabaseError:
        (end,) = db.execute("SELECT coalesce(max(last), 0) FROM runs").fetchone()
    blocks = [(first, min(first + _BLOCK, end + 1)) for first in range(1, end + 1, _BLOCK)]
    while blocks:
        first, behind = blocks.pop()
        # One alone is asked for by its number: the search for a next one would go on into the next page.
        where, place = ("id >= ? AND id < ?", (first, behind)) if behind - first > 1 else ("id = ?", (first,))
        try:
            read = db.execute(
                f"SELECT number, is_snapshot, data, check_sum FROM log WHERE {where} AND run = ?", (*place, run)
            ).fetchall()
        except sqlite3.DatabaseError:
            middle = (first + behind) // 2
            blocks += [(first, middle), (middle, behind)] if behind - first > 1 else []
            continue
        for number, is_snapshot, data, expected in read:
            if isinstance(data, bytes) and check_sum(data) == expected:
                yield number, bool(is_snapshot)
