"""Reading CSV as Excel, databases and logs export it, so that no cell changes on the way.

What cannot be read without a guess is refused with its line: an unclosed quote, a byte of another encoding, a row with
more cells than the header. What is decided for the user is told in a note.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from orchestrator.errors import SourceLoc, UsageError

_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_NO_TEXT = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"SQLite format 3\x00", "a SQLite database: name it with --db"),
    (b"PAR1", "a Parquet file"),
)
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[ \t]*(\r\n|\n|\r|\Z)', re.IGNORECASE)
_PAGE = re.compile(r"\s*<(?:!doctype|html|\?xml)\b", re.IGNORECASE)
"""What a browser gives in place of a table."""
_DELIMITERS = ",;\t|"
_NONE = "\x1f"
"""A delimiter that no table of one column contains."""
_END_OF_FILE = "\x1a"
"""What old programs of DOS and Windows write at the end."""
_SAMPLE_ROWS = 1_000
_BLANK = " \t\r"


@dataclass(frozen=True, slots=True)
class Table:
    """The cells of a file, each row as long as the header."""

    header: list[str]
    rows: list[list[str]]
    delimiter: str
    notes: list[str]


def read_table(file: Path) -> Table:
    """The table in a file; raises ``UsageError`` ORCH-U011 for a file that is none."""
    text, notes = _text(file)
    text = text.removesuffix(_END_OF_FILE)
    if _PAGE.match(text) or _is_json(text):
        what = f"{file} is not CSV text but {'HTML or XML' if _PAGE.match(text) else 'JSON'}"
        raise UsageError("ORCH-U011", what, fix="export it as CSV in UTF-8")
    text, delimiter, skipped = _told_delimiter(text)
    delimiter = delimiter or _delimiter(text)
    lines = [(line + skipped, row) for line, row in _rows(file, text, delimiter, skipped) if any(map(_content, row))]
    if len(lines) < 2:
        what = "is empty" if not lines else "has a header and no rows"
        raise UsageError("ORCH-U011", f"{file} {what}", fix="the first line names the columns, each other is a row")
    (_, header), *rest = lines
    rows = []
    for line, row in rest:
        if any(map(_content, row[len(header) :])):
            what = f"{file}:{line} has {len(row)} fields, and the header {len(header)}"
            raise _refused(file, line, what, fix="put cells that hold the delimiter in double quotes")
        rows.append([cell.strip(_BLANK) for cell in row[: len(header)]] + [""] * (len(header) - len(row)))
    return Table([cell.strip(_BLANK) for cell in header], rows, delimiter, notes)


def _is_json(text: str) -> bool:
    """Whether it, or its first line, is an object or a list."""
    text = text.strip()
    if not text.startswith(("[", "{")):
        return False
    for part in (text, text.split("\n", 1)[0]):
        with suppress(ValueError, RecursionError):
            return isinstance(json.loads(part), (dict, list))
    return False


def _content(cell: str) -> bool:
    return bool(cell.strip(_BLANK))


def _text(file: Path) -> tuple[str, list[str]]:
    """The characters of a file, and a note where its encoding was not UTF-8."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError("ORCH-U011", f"cannot read {file}: {error.strerror or error}") from error
    for start, what in _NO_TEXT:
        if data.startswith(start):
            raise UsageError("ORCH-U011", f"{file} is not CSV text but {what}", fix="export it as CSV in UTF-8")
    mark, encoding = next(((mark, name) for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), (b"", ""))
    encoding = encoding or _wide(data) or "utf-8"
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise UsageError("ORCH-U011", f"{file} is not CSV text in {encoding.upper()}: {error.reason}") from error
        return _in_one_byte(file, data, error)
    return text, [f"{file.name} is read as {encoding.upper()}"] if encoding != "utf-8" else []


def _wide(data: bytes) -> str | None:
    """UTF-16 without its mark: every other byte of most characters is zero."""
    sample = data[:4096]
    if len(sample) < 4 or sample.count(0) < len(sample) // 4:
        return None
    return "utf-16-le" if sample[1::2].count(0) > sample[::2].count(0) else "utf-16-be"


def _in_one_byte(file: Path, data: bytes, error: UnicodeDecodeError) -> tuple[str, list[str]]:
    """Windows-1252, unless other characters of the file are UTF-8: then a byte is broken, and nobody knows how."""
    line = data.count(b"\n", 0, error.start) + 1
    if not data.decode("utf-8", "ignore").isascii():
        what = f"{file}:{line} holds the byte 0x{data[error.start]:02x}, which is no UTF-8, as the rest of the file is"
        raise _refused(file, line, what, fix="mend that cell, or save the whole file in one encoding") from error
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError as other:
        what = f"{file}:{line} is neither UTF-8 nor Windows-1252: the byte 0x{data[other.start]:02x}"
        raise _refused(file, line, what, fix="save it as CSV in UTF-8") from other
    return text, [f"{file.name} is not UTF-8: it is read as Windows-1252 (Latin-1)"]


def _told_delimiter(text: str) -> tuple[str, str | None, int]:
    """Without Excel's line ``sep=;``, what that line says, and how many lines it was."""
    found = _SEPARATOR_LINE.match(text)
    return (text[found.end() :], found[1], 1) if found else (text, None, 0)


def _delimiter(text: str) -> str:
    """The one that divides the header, and most rows into as many cells; none of them in a table of one column."""
    best, most = _NONE, (0.0, 1)
    for delimiter in _DELIMITERS:
        with _any_length():
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
            rows = [row for row in islice(reader, _SAMPLE_ROWS) if any(row)]
        if len(rows) < 2 or len(rows[0]) < 2:
            continue
        alike = sum(len(row) == len(rows[0]) for row in rows[1:]) / (len(rows) - 1)
        if best == _NONE or (alike, len(rows[0])) > most:
            best, most = delimiter, (alike, len(rows[0]))
    return best


def _rows(file: Path, text: str, delimiter: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line it begins at; a quote that does not end its cell is refused."""
    spaced = f'{delimiter} "' in text
    stream = io.StringIO(text, newline="")
    line = 1
    with _any_length():
        reader = csv.reader(stream, delimiter=delimiter, strict=True, skipinitialspace=spaced)
        try:
            for row in reader:
                yield line, row
                line = reader.line_num + 1
        except csv.Error as error:
            open_end = "unexpected end of data" in str(error)
            said = "opens a quote that nothing closes" if open_end else f"has a quote inside a quoted cell ({error})"
            what = f"{file}:{line + skipped} {said}"
            raise _refused(file, line + skipped, what, fix='write a quote within a quoted cell twice: ""') from error


@contextmanager
def _any_length() -> Iterator[None]:
    """csv stops at cells of 131,072 characters by a limit of the whole process."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _refused(file: Path, line: int, what: str, fix: str) -> UsageError:
    return UsageError("ORCH-U011", what, where=SourceLoc(str(file), line), fix=fix)


def names(cells: Sequence[str], prefix: str) -> list[str]:
    """Names that need no quotes in SQL, all different: the model was trained on such."""
    taken: set[str] = set()
    return [unique(identifier(cell) or f"{prefix}_{number}", taken) for number, cell in enumerate(cells, 1)]


def identifier(text: str) -> str:
    """A name that needs no quotes; empty where nothing is left of it."""
    name = re.sub(r"\W+", "_", text.strip().lower()).strip("_")
    return f"_{name}" if name[:1].isdigit() or name.startswith("sqlite_") else name


def unique(name: str, taken: set[str]) -> str:
    """The name, or the first of ``name_2``, ``name_3``, … that is free; it is taken then."""
    free, number = name, 2
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    taken.add(free)
    return free
