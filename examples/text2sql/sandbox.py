"""Running a query that a model wrote, on a database that must not change.

Five fences, each enough for one kind of harm: the file is opened read-only (``mode=ro`` and ``query_only``); an
authorizer lets through nothing but SELECT, column reads and harmless functions, so no ATTACH, PRAGMA or
``load_extension``; a progress handler stops the query by time and by virtual-machine steps; strings and blobs have a
maximal length; and only so many rows, and bytes of rows, are fetched.
"""

from __future__ import annotations

import math
import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .schema_text import quoted

Cell = str | int | float | None

_ALLOWED: Final = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)
_FORBIDDEN_FUNCTIONS: Final = frozenset(
    {"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "zeroblob", "randomblob"}
)
_STEPS_PER_CHECK: Final = 2_000
PATIENCE_S: Final = 5.0
"""How long another program's lock is waited for."""


@dataclass(frozen=True)
class Limits:
    """What one query may use."""

    seconds: float = 3.0
    steps: int = 50_000_000
    """Instructions of SQLite's virtual machine: the limit that does not depend on the machine's load."""
    rows: int = 1_000
    result_bytes: int = 200_000
    value_bytes: int = 1_000_000
    sql_bytes: int = 10_000


@dataclass(frozen=True)
class Result:
    """Rows, or the message that tells the model why there are none."""

    rows: list[list[Cell]]
    error: str | None = None
    truncated: bool = False
    """There were more rows than the limits allow."""


class _Watch:
    """A progress handler: a true return value interrupts the query."""

    def __init__(self, limits: Limits) -> None:
        self._deadline = time.monotonic() + limits.seconds
        self._steps_left = limits.steps
        self._limits = limits
        self.stopped: str | None = None

    def __call__(self) -> int:
        self._steps_left -= _STEPS_PER_CHECK
        if self._steps_left < 0:
            self.stopped = f"query stopped after {self._limits.steps:,} steps"
        elif time.monotonic() > self._deadline:
            self.stopped = f"query stopped after {self._limits.seconds:g} s"
        return self.stopped is not None


def opened(database: str | Path) -> sqlite3.Connection:
    """A connection that changes nothing; text that is no UTF-8 comes with U+FFFD in it, and spoils no other row.

    Raises ``sqlite3.OperationalError`` if the file cannot be opened.
    """
    place = Path(database).absolute()
    try:
        connection = _connected(place, "mode=ro")
        connection.execute("SELECT 1 FROM sqlite_master").close()
    except sqlite3.OperationalError as error:
        # A write-ahead log needs a file beside the database, which a folder that is read-only does not take.
        unfinished = place.with_name(f"{place.name}-wal")
        if "unable to open" not in str(error) or not place.is_file() or unfinished.exists():
            raise
        connection = _connected(place, "immutable=1")
    return connection


def _connected(place: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{place.as_uri()}?{how}", timeout=PATIENCE_S, uri=True, isolation_level=None)
    connection.text_factory = lambda data: data.decode("utf-8", "replace")
    return connection


def read_only(database: str | Path, limits: Limits | None = None) -> sqlite3.Connection:
    """A connection that can only read. Raises ``sqlite3.OperationalError`` if the file cannot be opened."""
    limits = limits or Limits()
    connection = opened(database)
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, limits.value_bytes)
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, limits.sql_bytes)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000)
    _connect_virtual_tables(connection)
    connection.set_authorizer(_authorize)
    return connection


def _connect_virtual_tables(connection: sqlite3.Connection) -> None:
    """Let SQLite set up ``json_each`` and the full-text tables of the file, which the authorizer would take for writes.

    What their modules do when they are read is authorized as anything else.
    """
    try:
        of_file = connection.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%'").fetchall()
    except sqlite3.Error:  # the query itself will say so
        return
    for name in ("json_each", "json_tree", *(str(name) for (name,) in of_file)):
        with suppress(sqlite3.Error):  # a module that this SQLite lacks
            connection.execute(f"SELECT 1 FROM {quoted(name)} LIMIT 0").close()


def execute(database: str | Path, sql: str, limits: Limits | None = None) -> Result:
    """Run one query. Never raises for what the query does: its error is text for the model to read."""
    limits = limits or Limits()
    watch = _Watch(limits)
    try:
        connection = read_only(database, limits)
    except sqlite3.Error as error:
        return Result([], f"cannot open the database: {error}")
    connection.set_progress_handler(watch, _STEPS_PER_CHECK)
    try:
        cursor = connection.execute(sql)
        if cursor.description is None:
            return Result([], "only SELECT queries are allowed" if sql.strip() else "the query is empty")
        return _fetch(cursor, limits)
    except (sqlite3.Error, sqlite3.Warning) as error:
        return Result([], watch.stopped or str(error))
    except (ValueError, OverflowError) as error:
        return Result([], str(error))
    finally:
        connection.close()


def _fetch(cursor: sqlite3.Cursor, limits: Limits) -> Result:
    rows: list[list[Cell]] = []
    size = 0
    for raw in cursor:
        row = [_cell(value) for value in raw]
        size += sum(len(str(value)) for value in row)
        if len(rows) == limits.rows or size > limits.result_bytes:
            return Result(rows, truncated=True)
        rows.append(row)
    return Result(rows)


def _cell(value: object) -> Cell:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value)


def _authorize(action: int, first: str | None, second: str | None, _database: str | None, _source: str | None) -> int:
    if (action, first, second) == (sqlite3.SQLITE_PRAGMA, "data_version", None):  # which full-text tables ask
        return sqlite3.SQLITE_OK
    if action not in _ALLOWED:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FORBIDDEN_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK
