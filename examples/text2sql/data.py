"""The data that questions are asked about: a SQLite file, CSV files, or this machine.

CSV files become tables of a temporary database: the first line names the columns, and a column holds integers or
reals if all its values are such, else text. Empty fields are NULL.
"""

from __future__ import annotations

import csv
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TextIO

from orchestrator.errors import UsageError

from .schema_text import schema_text

_INTEGER = re.compile(r"[+-]?\d{1,18}")
_REAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SNIFFED_CHARS = 65_536


def describe(path: Path) -> tuple[str, list[str]]:
    """The schema as the model reads it, and the tables. Raises ``UsageError`` ORCH-U011 unless it is such a file."""
    if not path.exists():
        raise UsageError("ORCH-U011", f"there is no database {path}")
    if not path.is_file():
        raise UsageError("ORCH-U011", f"{path} is not a file", fix="name the SQLite file itself")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute(
                "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%'"
            )
            tables = [str(name) for (name,) in found]
            text = schema_text(connection)
    except sqlite3.Error as error:
        fix = "load a CSV file with --csv" if path.suffix.lower() in (".csv", ".tsv", ".txt") else None
        raise UsageError("ORCH-U011", f"{path} is not a SQLite database: {error}", fix=fix) from error
    if not tables:
        raise UsageError("ORCH-U011", f"the database {path} holds no tables")
    return text, tables


def load_csv(files: Sequence[Path], database: Path) -> None:
    """Write a table for each file into ``database``. Raises ``UsageError`` ORCH-U011 for a file that is no table."""
    names: set[str] = set()
    with closing(sqlite3.connect(database)) as connection:
        for file in files:
            header, rows = _read(file)
            name = _unique(_identifier(file.stem) or "data", names)
            kinds = [_kind([row[column] for row in rows]) for column in range(len(header))]
            columns = ", ".join(f'"{column}" {kind}' for column, kind in zip(header, kinds, strict=True))
            connection.execute(f'CREATE TABLE "{name}" ({columns})')
            holes = ", ".join("?" * len(header))
            values = ([cell.strip() or None for cell in row] for row in rows)
            connection.executemany(f'INSERT INTO "{name}" VALUES ({holes})', values)
        connection.commit()


def _read(file: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            lines = [(number, row) for number, row in _rows(stream) if any(cell.strip() for cell in row)]
    except OSError as error:
        raise UsageError("ORCH-U011", f"cannot read {file}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError("ORCH-U011", f"{file} is not CSV text in UTF-8: {error}") from error
    if len(lines) < 2:
        what = "is empty" if not lines else "has a header and no rows"
        raise UsageError("ORCH-U011", f"{file} {what}", fix="the first line names the columns, each other is a row")
    (_, first), *rest = lines
    seen: set[str] = set()
    header = [_unique(_identifier(cell) or f"column_{number}", seen) for number, cell in enumerate(first, 1)]
    for number, row in rest:
        if len(row) > len(header):
            raise UsageError("ORCH-U011", f"{file}:{number} has {len(row)} fields, and the header {len(header)}")
    return header, [row + [""] * (len(header) - len(row)) for _, row in rest]


def _rows(stream: TextIO) -> Iterator[tuple[int, list[str]]]:
    sample = stream.read(_SNIFFED_CHARS)
    stream.seek(0)
    try:
        dialect: type[csv.Dialect] | str = csv.Sniffer().sniff(sample, delimiters=",;\t|")
    except csv.Error:
        dialect = "excel"
    reader = csv.reader(stream, dialect)
    return ((reader.line_num, row) for row in reader)


def _identifier(text: str) -> str:
    """A name that needs no quotes in SQL: the model was trained on such."""
    name = re.sub(r"\W+", "_", text.strip().lower()).strip("_")
    return f"_{name}" if name[:1].isdigit() else name


def _unique(name: str, taken: set[str]) -> str:
    free = name
    number = 2
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    taken.add(free)
    return free


def _kind(values: Sequence[str]) -> str:
    """Leading zeros mark a code, not a number: 00501 stays text."""
    given = [value.strip() for value in values if value.strip()]
    if not given or any(re.match(r"[+-]?0\d", value) for value in given):
        return "TEXT"
    if all(_INTEGER.fullmatch(value) for value in given):
        return "INTEGER"
    return "REAL" if all(_REAL.fullmatch(value) for value in given) else "TEXT"
