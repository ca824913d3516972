"""Numbers observed in runs, kept in one SQLite file that all processes of a machine share.

An observation is a value under a key of a namespace ("pauses", '["review", "run_tests"]', 0.84), *censored* if the true
value is larger and unknown. The newest of each key are kept, so the file stays small and forgets what has changed::

    >>> with LearningStore(Path("learning.db")) as store:          # doctest: +SKIP
    ...     store.append("pauses", '["review", "run_tests"]', 0.84)
    ...     store.flush()
    ...     list(store.recent("pauses", most_per_key=512))
    [('["review", "run_tests"]', 0.84, False)]

``append`` is called while an engine schedules, so it neither waits nor raises: a thread writes what has gathered, once
a second and in one transaction. What a crash can lose is that second. When the file cannot be written (full disk, lost
folder), it is logged once, ``failure`` says so, and observations gather up to a bound until it can be again.

The file is in WAL mode: readers and a writer do not wait for each other, writers of several processes take turns. It
must lie on a local disk.
"""

from __future__ import annotations

import atexit
import logging
import sqlite3
from collections import deque
from contextlib import closing, suppress
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Final, Self

from orchestrator.errors import OrchError

MOST_PER_KEY: Final = 512
MOST_ROWS: Final = 100_000
"""All keys together may have so many; beyond, the oldest go."""
MOST_GATHERED: Final = 10_000
FLUSH_S: Final = 1.0
BUSY_S: Final = 5.0
"""How long to wait while another process writes."""
_CHECK_EVERY: Final = 64
_APPLICATION_ID: Final = 0x4F524348  # "ORCH"
_VERSION: Final = 1
_SCHEMA: Final = f"""
CREATE TABLE observation (
    seq INTEGER PRIMARY KEY, namespace TEXT NOT NULL, key TEXT NOT NULL, value REAL NOT NULL, censored INTEGER NOT NULL
);
CREATE INDEX observation_of ON observation (namespace, key, seq);
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_VERSION};
PRAGMA journal_mode = WAL;
"""
_INSERT: Final = "INSERT INTO observation (namespace, key, value, censored) VALUES (?, ?, ?, ?)"
_RECENT: Final = """
SELECT key, value, censored FROM (
    SELECT *, row_number() OVER (PARTITION BY key ORDER BY seq DESC) AS age FROM observation WHERE namespace = ?
) WHERE age <= ? ORDER BY seq
"""
_FORGET_OLD: Final = """
DELETE FROM observation WHERE namespace = :namespace AND key = :key AND seq <= (
    SELECT seq FROM observation WHERE namespace = :namespace AND key = :key ORDER BY seq DESC LIMIT 1 OFFSET :most
)
"""
_FORGET_OLDEST: Final = """
DELETE FROM observation WHERE seq IN (
    SELECT seq FROM observation ORDER BY seq LIMIT max(0, (SELECT count(*) FROM observation) - ?)
)
"""

_log = logging.getLogger(__name__)
_Row = tuple[str, str, float, bool]


class LearningError(OrchError):
    """What was learned cannot be read or written (ORCH-L)."""


class LearningStore:
    """An open learning store; a context manager.

    Raises LearningError: ORCH-L001 when the file cannot be opened or made, ORCH-L002 when it is damaged, ORCH-L003 when
    it is something else's or a later version's.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failure: LearningError | None = None
        """Why observations are not being written at present (ORCH-L004)."""
        self.lost = 0
        """Observations given up because too many had gathered."""
        self._gathered: deque[_Row] = deque()
        self._batches = 0
        self._lock = Lock()
        self._stop = Event()
        self._database = _opened(path)
        self._thread = Thread(target=self._write_on, name="learning-store", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def recent(self, namespace: str, most_per_key: int = MOST_PER_KEY) -> list[tuple[str, float, bool]]:
        """Key, value and whether it is censored, of the newest observations of each key, oldest first.

        Raises LearningError (ORCH-L001, ORCH-L002) when they cannot be read.
        """
        try:
            with self._lock:
                rows = self._database.execute(_RECENT, (namespace, most_per_key)).fetchall()
        except sqlite3.Error as error:
            raise _unreadable(self.path, error) from error
        return [(key, value, bool(censored)) for key, value, censored in rows]

    def append(self, namespace: str, key: str, value: float, *, censored: bool = False) -> None:
        """Have an observation written soon. A value that is not finite is not one."""
        if not isfinite(value):
            return
        if len(self._gathered) < MOST_GATHERED:
            self._gathered.append((namespace, key, value, censored))
        else:
            self.lost += 1

    def flush(self) -> None:
        """Write what has gathered before returning, if it can be written."""
        with self._lock:
            self._write()

    def close(self) -> None:
        """Write what has gathered and let go of the file."""
        atexit.unregister(self.close)
        self._stop.set()
        self._thread.join()
        with self._lock, closing(self._database):
            self._write()

    def _write_on(self) -> None:
        while not self._stop.wait(FLUSH_S):
            self.flush()

    def _write(self) -> None:
        rows = [self._gathered.popleft() for _ in range(len(self._gathered))]
        if not rows:
            return
        try:
            with self._database:
                self._database.executemany(_INSERT, [(name, _storable(key), *rest) for name, key, *rest in rows])
                self._forget(rows)
        except sqlite3.Error as error:
            self._gathered.extendleft(reversed(rows))
            self._failed(error)
        else:
            self.failure = None

    def _forget(self, rows: list[_Row]) -> None:
        for namespace, key in {(namespace, key) for namespace, key, *_ in rows}:
            self._database.execute(_FORGET_OLD, {"namespace": namespace, "key": _storable(key), "most": MOST_PER_KEY})
        if self._batches % _CHECK_EVERY == 0:
            self._database.execute(_FORGET_OLDEST, (MOST_ROWS,))
        self._batches += 1

    def _failed(self, error: sqlite3.Error) -> None:
        first = self.failure is None
        self.failure = LearningError(
            "ORCH-L004",
            f"what runs teach is not being written to {self.path}",
            why=str(error),
            fix="free space on its disk or let it be written, and writing resumes; if the file was moved, start again",
        )
        if first:
            _log.warning("%s", self.failure)


def _storable(key: str) -> str:
    return key.encode(errors="replace").decode()  # a lone surrogate of a client's must not fail everyone's batch


def _opened(path: Path) -> sqlite3.Connection:
    try:
        if not path.exists():
            _made(path)
        database = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False)
    except (sqlite3.Error, OSError) as error:
        raise _unreadable(path, error) from error
    try:
        _verify(database, path)
        database.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.Error as error:
        database.close()
        raise _unreadable(path, error) from error
    except LearningError:
        database.close()
        raise
    return database


def _made(path: Path) -> None:
    """Make the file elsewhere and link it into place: processes that start together all open it whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        fresh = Path(folder) / path.name
        with closing(sqlite3.connect(fresh)) as database:
            database.executescript(_SCHEMA)
        with suppress(FileExistsError):
            path.hardlink_to(fresh)


def _verify(database: sqlite3.Connection, path: Path) -> None:
    (made_by,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if made_by != _APPLICATION_ID or version > _VERSION:
        later = f"its version is {version}, this one knows up to {_VERSION}"
        raise LearningError(
            "ORCH-L003",
            f"{path} is not a learning store that this version can use",
            why=later if made_by == _APPLICATION_ID else "something else made it",
            fix="name another file, or upgrade orchestrator",
        )
    (found,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def _unreadable(path: Path, error: Exception) -> LearningError:
    damaged = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
    if damaged:
        return LearningError(
            "ORCH-L002",
            f"the learning store {path} is damaged",
            why=str(error),
            fix=f"move it away (with {path.name}-wal and {path.name}-shm, if there are any): learning begins anew",
        )
    return LearningError(
        "ORCH-L001",
        f"the learning store {path} cannot be opened",
        why=str(error),
        fix="see that its folder is on a local disk with space left and can be written, or name another file",
    )
