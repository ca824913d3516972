"""Where a durable arm keeps its database. Standard library only."""

from __future__ import annotations

import atexit
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path


def scratch() -> Path:
    """A folder that is gone when the process ends, where temporary files go (`TMPDIR`)."""
    path = tempfile.mkdtemp(prefix="orchestrator-bench-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return Path(path)


def in_wal_mode(path: Path) -> str:
    """The path of a database in WAL mode, made if there is none: the mode stays with the file, whoever opens it."""
    with closing(sqlite3.connect(path)) as db:
        (mode,) = db.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise RuntimeError(f"{path.name} is in mode {mode}")
    return str(path)
