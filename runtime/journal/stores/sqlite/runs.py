"""What is written, as statements in a transaction that somebody else begins and commits."""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from orchestrator.runtime.journal.stores.appended import Appended
from orchestrator.runtime.journal.stores.base import IDLE, Change, NewRun, Status

_CLAIMED: Final = "run_id = ? AND epoch = ? AND status = 'running'"
_WAKEABLE: Final = "('waiting', 'suspended')"
_WAKEFUL: Final = "EXISTS(SELECT 1 FROM notices WHERE run = runs.id AND wakes)"
_ADD_ROW: Final = (
    "INSERT INTO log(id, run, number, before, is_snapshot, at, check_sum, data)"
    f" SELECT ?, id, rows + 1, last, ?, ?, ?, ? FROM runs WHERE {_CLAIMED}"
)
_MOVE_HEAD: Final = (
    "UPDATE runs SET rows = rows + 1, log_bytes = log_bytes + ?, updated_at = ?, last = ?,"
    f" snapshot = coalesce(?, snapshot), write = ? WHERE {_CLAIMED}"
)
CHAIN: Final = """
WITH RECURSIVE chain(id, before) AS (
  SELECT id, before FROM log WHERE id = (SELECT last FROM runs WHERE id = :run)
  UNION ALL
  SELECT log.id, log.before FROM chain JOIN log ON log.id = chain.before WHERE chain.id <> :until
)"""
"""Where the rows of a run are, from the last one back to ``until``; to the first one, if that is 0."""


def check_sum(data: bytes) -> int:
    """What tells whether a row holds what was written."""
    return zlib.crc32(data)


def create(
    db: sqlite3.Connection, run: NewRun, data: bytes, owner: int | None, artifacts: Collection[str] = ()
) -> str | None:
    """Add a run with its first row, which refers to the artifacts. The id of the run that has this key, already or
    now; None where this id is another run's.
    """
    if run.key is not None:
        keyed = (run.tenant, run.workflow, run.key)
        found = db.execute("SELECT run_id FROM runs WHERE tenant = ? AND workflow = ? AND key = ?", keyed).fetchone()
        if found is not None:
            return str(found[0])
    if db.execute("SELECT 1 FROM runs WHERE run_id = ?", (run.run_id,)).fetchone() is not None:
        return None
    now = time.time()
    row = db.execute(
        "INSERT INTO runs(run_id, workflow, version, tenant, key, status, owner, epoch, created_at, updated_at, rows,"
        " log_bytes) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0)",
        (run.run_id, run.workflow, run.version, run.tenant, run.key)
        + (("ready", None, 0) if owner is None else ("running", owner, next_epoch(db)))
        + (now, now),
    ).lastrowid
    first = db.execute(
        "INSERT INTO log(run, number, is_snapshot, at, check_sum, data) VALUES(?, 1, 0, ?, ?, ?)",
        (row, now, check_sum(data), data),
    ).lastrowid
    db.execute("UPDATE runs SET rows = 1, log_bytes = ?, last = ? WHERE id = ?", (len(data), first, row))
    refer(db, run.run_id, artifacts)
    return run.run_id


def next_epoch(db: sqlite3.Connection) -> int:
    """The number of a new claim, which no claim to any run has had."""
    db.execute("UPDATE epochs SET last = last + 1 WHERE id = 1")
    (epoch,) = db.execute("SELECT last FROM epochs WHERE id = 1").fetchone()
    return int(epoch)


@dataclass(slots=True)
class Append:
    """What is to be appended to a run."""

    run_id: str
    appended: Appended
    number: int
    """No other write of any store has it."""
    was_tried: bool = False
    """Whether a commit of it has failed. It may be on the disk for all that, and is not written twice."""

    def __call__(self, db: sqlite3.Connection) -> bool:
        """Write it; False where the claim is lost, and then nothing is written."""
        return (self.was_tried and self._is_there(db)) or _append(db, self)

    def is_simple(self) -> bool:
        """Whether it is one row and no more."""
        return not (self.was_tried or self.appended.is_more_than_rows()) and len(self.appended.rows()) == 1

    def _is_there(self, db: sqlite3.Connection) -> bool:
        there = (self.run_id, self.number)
        return db.execute("SELECT 1 FROM runs WHERE run_id = ? AND write = ?", there).fetchone() is not None


def together(db: sqlite3.Connection, works: Sequence[Callable[[sqlite3.Connection], Any]]) -> list[Any]:
    """What comes of each, in one transaction. Runs that append a row and no more do so in two statements for all of
    them, which takes less than half the time.
    """
    if len(works) == 1:
        return [works[0](db)]
    simple = {place: work for place, work in enumerate(works) if isinstance(work, Append) and work.is_simple()}
    are_claimed = len(simple) > 1 and _append_all(db, list(simple.values()))
    return [True if are_claimed and place in simple else work(db) for place, work in enumerate(works)]


def _append_all(db: sqlite3.Connection, works: Sequence[Append]) -> bool:
    """Add a row to each of several runs; False where one's claim is lost, and then nothing is written."""
    (last,) = db.execute("SELECT coalesce(max(id), 0) FROM log").fetchone()
    now = time.time()
    rows = [(row, work, *work.appended.rows()[0]) for row, work in enumerate(works, last + 1)]
    db.execute("SAVEPOINT all_rows")
    added = db.executemany(
        _ADD_ROW,
        [
            (row, is_snapshot, now, check_sum(data), data, work.run_id, work.appended.epoch)
            for row, work, is_snapshot, data in rows
        ],
    )
    if added.rowcount == len(rows):
        db.executemany(
            _MOVE_HEAD,
            [
                (len(data), now, row, row if is_snapshot else None, work.number, work.run_id, work.appended.epoch)
                for row, work, is_snapshot, data in rows
            ],
        )
    else:
        db.execute("ROLLBACK TO all_rows")
    db.execute("RELEASE all_rows")
    return added.rowcount == len(rows)


def _append(db: sqlite3.Connection, work: Append) -> bool:
    appended = work.appended
    claimed = (work.run_id, appended.epoch)
    now = time.time()
    for is_snapshot, data in appended.rows():
        added = db.execute(_ADD_ROW, (None, is_snapshot, now, check_sum(data), data, *claimed))
        if added.rowcount != 1:
            return False
        row = added.lastrowid
        moved = (len(data), now, row, row if is_snapshot else None, work.number)
        db.execute(_MOVE_HEAD, (*moved, *claimed))
    for notice in appended.taken:
        db.execute(
            f"DELETE FROM notices WHERE id = ? AND run = (SELECT id FROM runs WHERE {_CLAIMED})", (notice, *claimed)
        )
    return not appended.is_more_than_rows() or _change(db, work, appended.change or Change(), now)


def _change(db: sqlite3.Connection, work: Append, change: Change, now: float) -> bool:
    claimed = (work.run_id, work.appended.epoch)
    is_new_start = change.has_progressed or change.status not in (None, "running", "ready")
    changed = db.execute(
        "UPDATE runs SET why = coalesce(?, why), wake_at = coalesce(?, wake_at), version = coalesce(?, version),"
        f" deaths = CASE WHEN ? THEN 0 ELSE deaths END, updated_at = ?, write = ? WHERE {_CLAIMED}",
        (change.why, change.wake_at, change.version, is_new_start, now, work.number, *claimed),
    )
    if change.status not in (None, "running"):
        db.execute(
            "UPDATE runs SET owner = NULL,"
            f" status = CASE WHEN ?1 IN {_WAKEABLE} AND {_WAKEFUL} THEN 'ready' ELSE ?1 END"
            " WHERE run_id = ?2 AND epoch = ?3 AND status = 'running'",
            (change.status, *claimed),
        )
    return changed.rowcount == 1


def send(db: sqlite3.Connection, run_id: str, data: bytes, wakes: bool) -> bool:
    """Leave a notice; False where there is no such run."""
    sent = db.execute(
        "INSERT INTO notices(run, wakes, data) SELECT id, ?, ? FROM runs WHERE run_id = ?", (wakes, data, run_id)
    )
    if wakes:
        db.execute(
            "UPDATE runs SET status = 'ready', why = NULL, wake_at = NULL, updated_at = ?"
            f" WHERE run_id = ? AND status IN {_WAKEABLE}",
            (time.time(), run_id),
        )
    return sent.rowcount == 1


def set_status(
    db: sqlite3.Connection, run_id: str, status: Status, why: str | None, of: Collection[Status] = IDLE
) -> bool:
    """Change the status of a run that has one ``of`` these; False where there is none."""
    changed = db.execute(
        "UPDATE runs SET status = ?, why = ?, wake_at = NULL, deaths = CASE status WHEN ? THEN deaths ELSE 0 END,"
        f" updated_at = ? WHERE run_id = ? AND status IN ({', '.join('?' * len(of))})",
        (status, why, status, time.time(), run_id, *of),
    )
    return changed.rowcount == 1


def put_program(db: sqlite3.Connection, version: str, data: bytes) -> None:
    """Keep what describes a version."""
    db.execute("INSERT OR IGNORE INTO programs(version, data) VALUES(?, ?)", (version, data))


def refer(db: sqlite3.Connection, run_id: str, artifacts: Collection[str]) -> None:
    """Note what a run refers to."""
    db.executemany(
        "INSERT OR IGNORE INTO artifacts(artifact, run) SELECT ?, id FROM runs WHERE run_id = ?",
        [(artifact, run_id) for artifact in artifacts],
    )


def remove(db: sqlite3.Connection, run_id: str) -> bool:
    """Remove a run that nobody executes, and everything of it; False where there is none."""
    found = db.execute("SELECT id FROM runs WHERE run_id = ? AND status <> 'running'", (run_id,)).fetchone()
    if found is None:
        return False
    (run,) = found
    db.execute(f"DELETE FROM log WHERE id IN ({CHAIN} SELECT id FROM chain)", {"run": run, "until": 0})
    db.execute("DELETE FROM notices WHERE run = ?", (run,))
    db.execute("DELETE FROM artifacts WHERE run = ?", (run,))
    db.execute("DELETE FROM runs WHERE id = ?", (run,))
    return True
