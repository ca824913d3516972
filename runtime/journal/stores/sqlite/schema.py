"""The tables of a file of runs, and how an older file gets them.

A log is a chain: each row knows the one before it, and the head of the run the last one. So rows of all runs stand one
behind the other at the end of one table, and a commit writes few pages however many runs it is of; with a key or an
index by run it would write a page for each of them (200 runs: 35 µs of processor time a row, and 13 like this).
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from orchestrator.errors import JournalError

APPLICATION: Final = 0x6F726368
"""It stands in the file's header, where SQLite has a place for it, and reads `orch`."""
BUSY_S: Final = 5.0
"""So long a statement waits for another process that writes; ours take some milliseconds."""
WAL_BYTES: Final = 64 << 20
"""SQLite's log is cut to this when it begins anew, and is larger only while somebody reads for long."""
_CACHE_KIB: Final = 16 << 10

_FIRST: Final = """
CREATE TABLE runs(
  id INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL UNIQUE,
  workflow TEXT NOT NULL,
  version TEXT NOT NULL,
  tenant TEXT NOT NULL,
  key TEXT,
  status TEXT NOT NULL,
  why TEXT,
  wake_at REAL,
  owner INTEGER,           -- in owners; only of a run that is running
  epoch INTEGER NOT NULL,
  created_at REAL NOT NULL,
  updated_at REAL NOT NULL,
  rows INTEGER NOT NULL,
  log_bytes INTEGER NOT NULL,
  last INTEGER,            -- in log
  snapshot INTEGER,        -- in log: the last one
  write INTEGER            -- the last one that was appended, as its store numbers them
);
CREATE UNIQUE INDEX runs_by_key ON runs(tenant, workflow, key) WHERE key IS NOT NULL;
CREATE INDEX runs_by_status ON runs(status, created_at, run_id);
CREATE INDEX runs_by_workflow ON runs(workflow, status, created_at, run_id);
CREATE INDEX runs_by_tenant ON runs(tenant, status, created_at, run_id) WHERE tenant <> '';
CREATE INDEX runs_by_tenant_and_workflow ON runs(tenant, workflow, status, created_at, run_id) WHERE tenant <> '';
CREATE INDEX runs_ready ON runs(workflow, version, created_at, run_id) WHERE status = 'ready';
CREATE INDEX runs_waiting ON runs(wake_at) WHERE status = 'waiting';
CREATE INDEX runs_owned ON runs(owner) WHERE owner IS NOT NULL;

CREATE TABLE log(
  id INTEGER PRIMARY KEY,
  run INTEGER NOT NULL,
  number INTEGER NOT NULL,
  before INTEGER,          -- the row of this run before it
  is_snapshot INTEGER NOT NULL,
  at REAL NOT NULL,
  check_sum INTEGER NOT NULL,
  data BLOB NOT NULL
);

CREATE TABLE notices(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  run INTEGER NOT NULL,
  wakes INTEGER NOT NULL,
  data BLOB NOT NULL
);
CREATE INDEX notices_by_run ON notices(run);

CREATE TABLE owners(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  process TEXT NOT NULL,   -- the name of its lock
  boot TEXT NOT NULL,
  until REAL NOT NULL,     -- by the monotonic clock of that boot
  UNIQUE(process, name)
);

CREATE TABLE programs(version TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;

CREATE TABLE artifacts(artifact TEXT NOT NULL, run INTEGER NOT NULL, PRIMARY KEY(artifact, run)) WITHOUT ROWID;
CREATE INDEX artifacts_by_run ON artifacts(run);
"""

_ONE_SEQUENCE_OF_EPOCHS: Final = """
CREATE TABLE epochs(id INTEGER PRIMARY KEY, last INTEGER NOT NULL);  -- one row
INSERT INTO epochs SELECT 1, coalesce(max(epoch), 0) FROM runs;
"""

_EVERY_TENANT: Final = """
DROP INDEX runs_by_tenant;
DROP INDEX runs_by_tenant_and_workflow;
CREATE INDEX runs_by_tenant ON runs(tenant, status, created_at, run_id);
CREATE INDEX runs_by_tenant_and_workflow ON runs(tenant, workflow, status, created_at, run_id);
"""

_DEATHS: Final = """
ALTER TABLE runs ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0;
DROP INDEX runs_ready;
CREATE INDEX runs_ready ON runs(workflow, version, created_at, run_id) WHERE status = 'ready' AND deaths < 2;
CREATE INDEX runs_alone ON runs(status, owner, created_at, run_id) WHERE deaths >= 2;
"""

STEPS: Final = (_FIRST, _ONE_SEQUENCE_OF_EPOCHS, _EVERY_TENANT, _DEATHS)
"""Statements that make each version of the schema out of the one before; 0 is an empty file."""


def connect(path: Path, *, busy_s: float = BUSY_S) -> sqlite3.Connection:
    """A connection to a file that was :func:`prepared <prepare>`; for one thread at a time."""
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False
    )
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA fullfsync = 1")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
    db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    return db


def require_file(path: Path) -> None:
    """Raise ``OSError`` for a folder or a device, before anything is made beside it. The file is not opened: to close
    it would give up the locks that this process may have on it."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EISDIR if path.is_dir() else errno.EINVAL, "it is no file", str(path))


def _something_else(path: Path) -> JournalError:
    return JournalError("ORCH-R094", f"{path} keeps no runs, but something else", fix="name another file")


def prepare(path: Path) -> None:
    """Make the file, for nobody but the user, or upgrade what is there; the folder is there already.

    One process at a time must do this: what it looks at must not change, and a new journal does not wait for others.
    Raises ``OSError``, ``sqlite3.Error``, and ``JournalError`` ORCH-R094 for what is no file of runs or one of a newer
    version.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass
    else:
        sync_folder(path.parent)
    try:
        db = connect(path)
    except sqlite3.DatabaseError as error:
        raise (_something_else(path) if error.sqlite_errorcode == sqlite3.SQLITE_NOTADB else error) from error
    try:
        _check(db, path)
        db.execute("PRAGMA journal_mode = WAL")
        upgrade(db, STEPS)
    finally:
        db.close()


def upgrade(db: sqlite3.Connection, steps: Sequence[str]) -> None:
    """Take the steps that the file has not taken yet: all of them, or none."""
    taken = _pragma(db, "user_version")
    if taken == len(steps):
        return
    try:
        db.executescript(
            f"BEGIN IMMEDIATE; {''.join(steps[taken:])} PRAGMA application_id = {APPLICATION};"
            f" PRAGMA user_version = {len(steps)}; COMMIT"
        )
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check(db: sqlite3.Connection, path: Path) -> None:
    try:
        version = _pragma(db, "user_version")
        is_ours = _pragma(db, "application_id") == APPLICATION
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        version, is_ours, tables = 0, False, 1
    if tables and not is_ours:
        raise _something_else(path)
    if version > len(STEPS):
        raise JournalError(
            "ORCH-R094",
            f"{path} was written by a newer version of orchestrator",
            why=f"its tables are of version {version}, and this one knows them up to {len(STEPS)}",
            fix="upgrade orchestrator, or name another file",
        )


def _pragma(db: sqlite3.Connection, name: str) -> int:
    (value,) = db.execute(f"PRAGMA {name}").fetchone()
    return int(value)
