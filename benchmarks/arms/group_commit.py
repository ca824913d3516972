"""The least that a durable log costs in Python: one thread that writes to SQLite what was appended meanwhile.

Whoever appends waits for the commit that holds its record. While one commit is on its way, records gather; the next one
takes them all as one row. So a chain pays a commit a step, and a thousand steps at once share a few. Standard library
only.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from queue import SimpleQueue


def connect(path: Path) -> sqlite3.Connection:
    """A database whose commits are on disk when they return: write-ahead log, ``synchronous=FULL``."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE IF NOT EXISTS log (number INTEGER PRIMARY KEY, data BLOB)")
    return db


class Log:
    """An append-only log of records; all methods are called in one event loop."""

    def __init__(self, path: Path) -> None:
        self._db = connect(path)
        self._gathered: list[bytes] = []
        self._committed: asyncio.Future[None] | None = None
        self._writing = False
        self._batches: SimpleQueue[tuple[list[bytes], asyncio.Future[None]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def append(self, record: bytes) -> asyncio.Future[None]:
        """Add a record; the future is done when it is on disk."""
        self._gathered.append(record)
        if self._committed is None:
            loop = asyncio.get_running_loop()
            self._committed = loop.create_future()
            if not self._writing:
                self._writing = True
                loop.call_soon(self._hand_over)
        return self._committed

    def _hand_over(self) -> None:
        if self._committed is None:
            self._writing = False
            return
        self._batches.put((self._gathered, self._committed))
        self._gathered, self._committed = [], None

    def _write(self) -> None:
        while batch := self._batches.get():
            records, committed = batch
            failure: Exception | None = None
            try:
                self._db.execute("INSERT INTO log (data) VALUES (?)", (b"\n".join(records),))
            except sqlite3.Error as error:
                failure = error
            committed.get_loop().call_soon_threadsafe(self._done, committed, failure)

    def _done(self, committed: asyncio.Future[None], failure: Exception | None) -> None:
        if failure is None:
            committed.set_result(None)
        else:
            committed.set_exception(failure)
        self._hand_over()

    def records(self) -> list[bytes]:
        """Everything on disk, in order."""
        rows = self._db.execute("SELECT data FROM log ORDER BY number")
        return [record for (data,) in rows for record in data.split(b"\n")]

    def close(self) -> None:
        """Stop the thread and close the database."""
        self._batches.put(None)
        self._thread.join()
        self._db.close()
