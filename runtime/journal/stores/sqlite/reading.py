"""What is read of a file of runs."""

from __future__ import annotations

import heapq
import sqlite3
import time
from array import array
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Final

from orchestrator.runtime.journal.stores.base import Head, Loaded, Notice, Row, Status
from orchestrator.runtime.journal.stores.sqlite import damage
from orchestrator.runtime.journal.stores.sqlite.runs import CHAIN, check_sum

STATUSES: Final[tuple[Status, ...]] = (
    "ready",
    "running",
    "waiting",
    "suspended",
    "paused",
    "done",
    "failed",
    "cancelled",
)
_HEAD: Final = (
    "SELECT run_id, workflow, version, tenant, key, status, why, wake_at,"
    " (SELECT name FROM owners WHERE owners.id = runs.owner), epoch, created_at, updated_at, rows, log_bytes,"
    " (SELECT count(*) FROM notices WHERE run = runs.id), deaths FROM runs"
)
_ROW: Final = "SELECT run, number, is_snapshot, at, data, check_sum FROM log"


def head(db: sqlite3.Connection, run_id: str) -> Head | None:
    """What is known of a run without its log."""
    found = db.execute(f"{_HEAD} WHERE run_id = ?", (run_id,)).fetchone()
    return None if found is None else Head(*found)


def known_head(db: sqlite3.Connection, run_id: str) -> Head | None:
    """:func:`head`, which raises ``JournalError`` ORCH-R095 where it is damaged."""
    with damage.told(db, run_id):
        return head(db, run_id)


def load(db: sqlite3.Connection, run_id: str) -> Loaded | None:
    """A run from its last snapshot on. Raises ``JournalError`` ORCH-R095 where some of that is damaged."""
    with damage.told(db, run_id), _at_one_time(db):
        found = head(db, run_id)
        if found is None:
            return None
        run, snapshot = db.execute("SELECT id, coalesce(snapshot, 0) FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        wanted = f"{_ROW} WHERE id IN ({CHAIN} SELECT id FROM chain) ORDER BY id"
        rows = [_row(run, read) for read in db.execute(wanted, {"run": run, "until": snapshot})]
        whole = [row for row in rows if row is not None]
        first = found.rows - len(rows) + 1
        is_gapless = [row.number for row in whole] == list(range(first, found.rows + 1))
        if not whole or not is_gapless or not (whole[0].is_snapshot if snapshot else first == 1):
            raise damage.error(db, run_id)
        return Loaded(found, whole)


def chain(db: sqlite3.Connection, run_id: str, after: int) -> tuple[int, Sequence[int]]:
    """A run's number, and where the rows behind ``after`` are, in order. Raises ``JournalError`` ORCH-R095."""
    with damage.told(db, run_id):
        found = db.execute("SELECT id, rows FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        if found is None:
            return 0, ()
        run, rows = found
        wanted = max(rows - after, 0)
        read = db.execute(f"{CHAIN} SELECT id FROM chain LIMIT :wanted", {"run": run, "until": 0, "wanted": wanted})
        ids = array("q", (each for (each,) in read))
        if len(ids) != wanted:
            raise damage.error(db, run_id)
        ids.reverse()
        return run, ids


def rows(db: sqlite3.Connection, run_id: str, run: int, ids: Sequence[int]) -> list[Row]:
    """Rows of a run up to the first that cannot be read; none where the run was removed meanwhile. Raises
    ``JournalError`` ORCH-R095 where the first one is damaged.
    """
    found: list[Row] = []
    try:
        for each in ids:
            read = db.execute(f"{_ROW} WHERE id = ?", (each,)).fetchone()
            row = None if read is None else _row(run, read)
            if row is None:
                break
            found.append(row)
    except sqlite3.DatabaseError as error:
        if not damage.is_damage(error):
            raise
    if not found and head(db, run_id) is not None:
        raise damage.error(db, run_id)
    return found


def _row(run: int, read: tuple[int, int, int, float, bytes, int]) -> Row | None:
    """A row as it was written, if it is of the run."""
    of, number, is_snapshot, at, data, expected = read
    if of != run or check_sum(data) != expected:
        return None
    return Row(number, bool(is_snapshot), at, data)


def heads(
    db: sqlite3.Connection,
    *,
    status: Collection[Status],
    workflow: str | None,
    tenant: str | None,
    before: tuple[float, str] | None,
    limit: int,
) -> list[Head]:
    """Runs, the latest first. Each status is looked up by itself, in the index that has the rest."""
    narrow = [name for name, given in (("tenant", tenant), ("workflow", workflow)) if given is not None]
    where = ["status = :status"]
    where += ["workflow = :workflow"] if workflow is not None else []
    where += ["tenant = :tenant"] if tenant is not None else []
    where += ["(created_at, run_id) < (:created_at, :run_id)"] if before is not None else []
    page = (
        f"SELECT created_at, run_id FROM runs INDEXED BY runs_by_{'_and_'.join(narrow) or 'status'}"
        f" WHERE {' AND '.join(where)} ORDER BY created_at DESC, run_id DESC LIMIT :limit"
    )
    created_at, run_id = before or (0.0, "")
    values = {"workflow": workflow, "tenant": tenant, "created_at": created_at, "run_id": run_id, "limit": limit}
    with damage.told(db), _at_one_time(db):
        pages = [db.execute(page, {"status": each, **values}) for each in sorted(set(status)) or STATUSES]
        latest = islice(heapq.merge(*pages, reverse=True), limit)
        return [found for _, each in latest if (found := head(db, each)) is not None]


def notices(db: sqlite3.Connection, run_id: str) -> list[Notice]:
    """What was left for a run, in order."""
    read = db.execute(
        "SELECT id, data FROM notices WHERE run = (SELECT id FROM runs WHERE run_id = ?) ORDER BY id", (run_id,)
    )
    return [Notice(*each) for each in read]


def notices_of(db: sqlite3.Connection, process: str, owner: str) -> dict[str, list[Notice]]:
    """What was left for each run of an owner, in order, in one look at each of its runs."""
    read = db.execute(
        "SELECT run_id, notices.id, data FROM owners CROSS JOIN runs INDEXED BY runs_owned ON runs.owner = owners.id"
        " CROSS JOIN notices ON notices.run = runs.id WHERE process = ? AND name = ? ORDER BY notices.id",
        (process, owner),
    )
    found: dict[str, list[Notice]] = {}
    for run_id, *notice in read:
        found.setdefault(run_id, []).append(Notice(*notice))
    return found


def program(db: sqlite3.Connection, version: str) -> bytes | None:
    """What was kept of a version."""
    found = db.execute("SELECT data FROM programs WHERE version = ?", (version,)).fetchone()
    return None if found is None else bytes(found[0])


def referred(db: sqlite3.Connection, artifacts: Collection[str]) -> set[str]:
    """Those that some run refers to."""
    query = "SELECT 1 FROM artifacts WHERE artifact = ? LIMIT 1"
    return {each for each in artifacts if db.execute(query, (each,)).fetchone() is not None}


def next_due_s(db: sqlite3.Connection, after: float) -> float | None:
    """In how many seconds the time of a waiting run comes, of those whose time comes ``after`` a Unix time."""
    (due,) = db.execute(
        "SELECT min(wake_at) FROM runs INDEXED BY runs_waiting WHERE status = 'waiting' AND wake_at > ?", (after,)
    ).fetchone()
    return None if due is None else due - time.time()


def data_version(db: sqlite3.Connection) -> int:
    """A number that is another one when somebody else than this connection has committed."""
    (version,) = db.execute("PRAGMA data_version").fetchone()
    return int(version)


@contextmanager
def _at_one_time(db: sqlite3.Connection) -> Iterator[None]:
    """Let several statements see the same."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
