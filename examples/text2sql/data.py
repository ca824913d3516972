"""The data that questions are asked about: a SQLite file, CSV files, or this machine.

CSV files become tables of a temporary database: the first line names the columns, and a column holds integers or
reals if all its values are such (:mod:`.columns`), else text. Empty fields are NULL.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from orchestrator.errors import UsageError
from orchestrator.userdata import data_folder
from orchestrator.whole_file import write_whole

from .columns import column
from .csv_file import identifier, names, read_table, unique
from .sandbox import opened
from .schema_text import schema_of

VALUES_S: Final = 10.0
"""How long values of text columns are looked for."""
MOST_COLUMNS: Final = 2_000
"""Of a table in SQLite as Python has it."""


def describe(path: Path, notes: list[str] | None = None) -> tuple[str, list[str]]:
    """The schema as the model reads it, and the tables; ``notes`` gets what of it cannot be read.

    Raises ``UsageError`` ORCH-U011 unless it is such a file.
    """
    if not path.exists():
        raise UsageError("ORCH-U011", f"there is no database {path}")
    if not path.is_file():
        raise UsageError("ORCH-U011", f"{path} is not a file", fix="name the SQLite file itself")
    try:
        with closing(opened(path)) as connection:
            schema = schema_of(connection, VALUES_S)
    except sqlite3.Error as error:
        raise _not_read(path, error) from error
    if notes is not None:
        notes += schema.left_out
    if not schema.tables:
        why = "; ".join(schema.left_out) or None
        raise UsageError("ORCH-U011", f"the database {path} holds no tables", why=why)
    return schema.text, schema.tables


def _not_read(path: Path, error: sqlite3.Error) -> UsageError:
    if "locked" in str(error) or "busy" in str(error):
        fix = "wait until the program that writes to it is done, or ask about a copy"
        return UsageError("ORCH-U011", f"the database {path} is locked by another program", fix=fix)
    if "not a database" not in str(error):
        fix = "`sqlite3 FILE .recover` saves what can be saved" if "malformed" in str(error) else None
        return UsageError("ORCH-U011", f"the database {path} cannot be read: {error}", fix=fix)
    fix = "load a CSV file with --csv" if path.suffix.lower() in (".csv", ".tsv", ".txt") else None
    return UsageError("ORCH-U011", f"{path} is not a SQLite database: {error}", fix=fix)


def kept(database: Path) -> Path:
    """A copy of a database that a run may read, and go on reading in another process: named by what is in it.

    Raises ``UsageError`` ORCH-U011 where it cannot be written.
    """
    content = database.read_bytes()
    copy = data_folder() / "text2sql" / f"{hashlib.sha256(content).hexdigest()[:16]}.db"
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_whole(copy, content)
    except OSError as error:
        fix = "set XDG_DATA_HOME to a folder that you may write"
        raise UsageError("ORCH-U011", f"the database that runs read cannot be kept: {error}", fix=fix) from error
    return copy


def load_csv(files: Sequence[Path], database: Path) -> list[str]:
    """Write a table for each file into ``database``; what was decided for the user on the way.

    Raises ``UsageError`` ORCH-U011 for a file that is no table.
    """
    taken: set[str] = set()
    notes: list[str] = []
    with closing(sqlite3.connect(database)) as connection:
        for file in files:
            table = read_table(file)
            if len(table.header) > MOST_COLUMNS:
                what = f"{file} has {len(table.header):,} columns, and SQLite takes {MOST_COLUMNS:,}"
                raise UsageError("ORCH-U011", what, fix="leave out columns that no question needs")
            header = names(table.header, "column")
            columns = [column([row[at] for row in table.rows], name) for at, name in enumerate(header)]
            decided = ((each, kind.note) for each, kind in zip(header, columns, strict=True) if kind.note)
            notes += [*table.notes, *(f"{file.name}, column {each}: {note}" for each, note in decided)]
            name = unique(identifier(file.stem) or "data", taken)
            typed = ", ".join(f'"{each}" {kind.kind}' for each, kind in zip(header, columns, strict=True))
            connection.execute(f'CREATE TABLE "{name}" ({typed})')
            holes = ", ".join("?" * len(header))
            connection.executemany(
                f'INSERT INTO "{name}" VALUES ({holes})', zip(*(each.cells for each in columns), strict=True)
            )
        connection.commit()
    return notes
