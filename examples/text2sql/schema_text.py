"""Compact text of a SQLite schema and of result rows: what the model reads.

One line per table with column types, a few values of low-cardinality text columns (they tell the model which column a
literal in the question belongs to, and how it is spelt), then one line per foreign key::

    cars(id int, name text, colour text [red, blue], price real, owner_id int)
    owners(id int, name text)
    cars.owner_id = owners.id
"""

import re
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Timer
from typing import TypeAlias

MAX_CATEGORIES = 8
"""A text column with more distinct values than this shows none."""
MAX_SHOWN = 4
MAX_SHOWN_CHARS = 16
COLUMN_S = 2.0
"""How long the values of one column may take to be found, where there is a limit at all."""

Cell: TypeAlias = str | int | float | bytes | None


def quoted(name: str) -> str:
    """A name as SQL takes any."""
    return '"' + name.replace('"', '""') + '"'


def _type_word(declared: str) -> str:
    upper = declared.upper()
    if "INT" in upper:
        return "int"
    if any(part in upper for part in ("REAL", "FLOA", "DOUB", "NUM", "DEC")):
        return "real"
    return "text"


def _categories(connection: sqlite3.Connection, table: str, column: str) -> list[str]:
    """The most frequent values of a text column, or none where it is no category."""
    name, source = quoted(column), quoted(table)
    rows = connection.execute(
        f"SELECT {name}, COUNT(*) FROM {source} WHERE {name} IS NOT NULL "
        f"GROUP BY {name} ORDER BY COUNT(*) DESC, {name} LIMIT {MAX_CATEGORIES + 1}"
    ).fetchall()
    if len(rows) > MAX_CATEGORIES or all(count == 1 for _, count in rows):
        return []
    values = [value if isinstance(value, (str, bytes)) else str(value) for value, _ in rows]
    shown = [value for value in values if isinstance(value, str) and value.isprintable()]
    return [value for value in shown if len(value) <= MAX_SHOWN_CHARS][:MAX_SHOWN]


@dataclass(frozen=True, slots=True)
class Schema:
    """A database as the model reads it."""

    text: str
    tables: list[str]
    left_out: list[str]
    """What cannot be read of it, and why: a view of a table that is gone spoils no other."""


def schema_text(connection: sqlite3.Connection) -> str:
    """Render every user table of the database, in creation order, then its foreign keys."""
    return schema_of(connection).text


def schema_of(connection: sqlite3.Connection, values_s: float | None = None) -> Schema:
    """The schema; ``values_s`` bounds how long values are looked for, as large tables and endless views take for ever.

    Raises ``sqlite3.Error`` only where not even the list of tables can be read.
    """
    values = _Values(connection, None if values_s is None else time.monotonic() + values_s)
    found = [
        str(name)
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
        )
    ]
    tables: list[str] = []
    lines: list[str] = []
    keys: list[str] = []
    left_out: list[str] = []
    for table in found:
        try:
            columns = [
                _column(values, table, str(column), str(declared), left_out)
                for _, column, declared, *_ in connection.execute(f"PRAGMA table_info({quoted(table)})").fetchall()
            ]
            parents = connection.execute(f"PRAGMA foreign_key_list({quoted(table)})").fetchall()
        except sqlite3.Error as error:
            left_out.append(f"`{table}` is left out: {error}")
            continue
        if not columns:
            left_out.append(f"`{table}` is left out: it has no columns that can be read")
            continue
        tables.append(table)
        lines.append(f"{_name(table)}({', '.join(columns)})")
        for _, _, parent, column, target, *_ in parents:
            keys.append(f"{_name(table)}.{_name(column)} = {_name(parent)}.{_name(target or 'id')}")
    if values.slow:
        more = f" and {len(values.slow) - MAX_SHOWN:,} more" if len(values.slow) > MAX_SHOWN else ""
        what = ", ".join(f"`{each}`" for each in values.slow[:MAX_SHOWN])
        left_out.append(f"shown without values, which take too long to be found: {what}{more}")
    return Schema("\n".join(lines + keys), tables, left_out)


@dataclass(slots=True)
class _Values:
    """Looks for the values of columns, one after the other, until the time is over."""

    connection: sqlite3.Connection
    deadline: float | None
    slow: list[str] = field(default_factory=list)
    """Columns for which there was no time."""

    def of(self, table: str, column: str) -> list[str]:
        """The most frequent ones of a category. Raises ``sqlite3.Error``."""
        if self.deadline is None:
            return _categories(self.connection, table, column)
        left_s = min(COLUMN_S, self.deadline - time.monotonic())
        try:
            if left_s > 0:
                with _interrupted_after(self.connection, left_s):
                    return _categories(self.connection, table, column)
        except sqlite3.OperationalError as error:
            if str(error) != "interrupted":
                raise
        self.slow.append(f"{table}.{column}")
        return []


@contextmanager
def _interrupted_after(connection: sqlite3.Connection, seconds: float) -> Iterator[None]:
    """By another thread: Python code that SQLite calls back would swallow a Ctrl-C."""
    timer = Timer(seconds, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # so that it finds no closed connection


def _column(values: _Values, table: str, column: str, declared: str, left_out: list[str]) -> str:
    word = _type_word(declared)
    shown: list[str] = []
    if word == "text":
        try:
            shown = values.of(table, column)
        except sqlite3.Error as error:
            left_out.append(f"`{table}.{column}` is shown without values: {error}")
    return f"{_name(column)} {word}" + (f" [{', '.join(shown)}]" if shown else "")


def _name(text: str) -> str:
    """In quotes where SQL needs them."""
    return text if re.fullmatch(r"[^\W\d]\w*", text) else quoted(text)


def cell_text(value: Cell) -> str:
    """One value of a result: floats to two decimals, so that an answer copies a short number."""
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def rows_text(rows: Iterable[Sequence[Cell]], max_rows: int = 10) -> str:
    """Render result rows, one per line with `` | `` between cells; rows past `max_rows` become one line ``...``."""
    shown = list(rows)
    lines = [" | ".join(cell_text(value) for value in row) for row in shown[:max_rows]]
    if len(shown) > max_rows:
        lines.append("...")
    return "\n".join(lines)
