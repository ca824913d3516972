"""Compact text of a SQLite schema and of result rows: what the model reads.

One line per table with column types, a few values of low-cardinality text columns (they tell the model which column a
literal in the question belongs to, and how it is spelt), then one line per foreign key::

    cars(id int, name text, colour text [red, blue], price real, owner_id int)
    owners(id int, name text)
    cars.owner_id = owners.id
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import TypeAlias

MAX_CATEGORIES = 8
"""A text column with more distinct values than this shows none."""
MAX_SHOWN = 4
MAX_SHOWN_CHARS = 16

Cell: TypeAlias = str | int | float | bytes | None


def _quoted(name: str) -> str:
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
    name, source = _quoted(column), _quoted(table)
    rows = connection.execute(
        f"SELECT {name}, COUNT(*) FROM {source} WHERE {name} IS NOT NULL "
        f"GROUP BY {name} ORDER BY COUNT(*) DESC, {name} LIMIT {MAX_CATEGORIES + 1}"
    ).fetchall()
    if len(rows) > MAX_CATEGORIES or all(count == 1 for _, count in rows):
        return []
    values = [str(value) for value, _ in rows]
    return [value for value in values if len(value) <= MAX_SHOWN_CHARS][:MAX_SHOWN]


def schema_text(connection: sqlite3.Connection) -> str:
    """Render every user table of the database, in creation order, then its foreign keys."""
    tables = [
        str(name)
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
        )
    ]
    lines: list[str] = []
    keys: list[str] = []
    for table in tables:
        columns: list[str] = []
        for _, column, declared, *_ in connection.execute(f"PRAGMA table_info({_quoted(table)})"):
            word = _type_word(str(declared))
            values = _categories(connection, table, str(column)) if word == "text" else []
            columns.append(f"{column} {word}" + (f" [{', '.join(values)}]" if values else ""))
        lines.append(f"{table}({', '.join(columns)})")
        for _, _, parent, column, target, *_ in connection.execute(f"PRAGMA foreign_key_list({_quoted(table)})"):
            keys.append(f"{table}.{column} = {parent}.{target or 'id'}")
    return "\n".join(lines + keys)


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
