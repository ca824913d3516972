"""CSV as other programs write it: no cell changes, and what cannot be read is named with its line."""

from __future__ import annotations

import csv
import io
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.text2sql.columns import column
from examples.text2sql.data import describe, load_csv
from orchestrator.errors import UsageError


def loaded(folder: Path, content: str | bytes, name: str = "t.csv") -> tuple[list[tuple[Any, ...]], str, list[str]]:
    """The rows, the schema and the notes."""
    file, database = folder / name, folder / "out.db"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    database.unlink(missing_ok=True)
    notes = load_csv([file], database)
    schema, (table, *_) = describe(database)
    connection = sqlite3.connect(database)
    found = connection.execute(f'SELECT * FROM "{table}"').fetchall()
    connection.close()
    return found, schema, notes


def refused(folder: Path, content: str | bytes, name: str = "t.csv") -> str:
    with pytest.raises(UsageError) as caught:
        loaded(folder, content, name)
    assert caught.value.code == "ORCH-U011"
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "kind", "cells"),
    [
        (["1", "-2", ""], "INTEGER", [1, -2, None]),
        (["9223372036854775807", "-9223372036854775808"], "INTEGER", [2**63 - 1, -(2**63)]),
        (["1234567890123456789", "1234567890123456788"], "INTEGER", [1234567890123456789, 1234567890123456788]),
        (["9223372036854775808", "1"], "TEXT", ["9223372036854775808", "1"]),
        (["12345678901234567890123", "2"], "TEXT", ["12345678901234567890123", "2"]),
        (["1" * 5_000, "2.5"], "TEXT", ["1" * 5_000, "2.5"]),
        (["9007199254740993", "0.5"], "TEXT", ["9007199254740993", "0.5"]),
        (["123456789012345678.5", "1.25"], "TEXT", ["123456789012345678.5", "1.25"]),
        (["1234567890123456.5", "2.0"], "TEXT", ["1234567890123456.5", "2.0"]),
        (["123456789012345.25", "0.1234567890123456789"], "REAL", [123456789012345.25, 0.12345678901234568]),
        (["1234567890123456,5", "2,25"], "TEXT", ["1234567890123456,5", "2,25"]),
        (["00501", "10001"], "TEXT", ["00501", "10001"]),
        (["0", "0.5"], "REAL", [0.0, 0.5]),
        (["12e4", "33e1"], "TEXT", ["12e4", "33e1"]),
        (["1e5", "7"], "TEXT", ["1e5", "7"]),
        (["1e-5", "7"], "REAL", [1e-5, 7.0]),
        (["1.5", "3e2"], "REAL", [1.5, 300.0]),
        (["1.5", "2E400"], "TEXT", ["1.5", "2E400"]),
        (["+4915112345678", "+4915112345679"], "TEXT", ["+4915112345678", "+4915112345679"]),
        (["+5", "-3"], "INTEGER", [5, -3]),
        (["\u0661\u0662", "\u0663"], "TEXT", ["\u0661\u0662", "\u0663"]),
        (["1_000", "2"], "TEXT", ["1_000", "2"]),
        (["nan", "1"], "TEXT", ["nan", "1"]),
        (["inf", "1.5"], "TEXT", ["inf", "1.5"]),
        (["0x10", "1"], "TEXT", ["0x10", "1"]),
        (["2,5", "3,75", "4"], "REAL", [2.5, 3.75, 4.0]),
        (["1.234,5", "2,25"], "REAL", [1234.5, 2.25]),
        (["1,234", "2,500"], "TEXT", ["1,234", "2,500"]),
        (["", ""], "TEXT", [None, None]),
        (["1.10", "2.50", "3"], "REAL", [1.1, 2.5, 3.0]),
        (["3.0", "2.25"], "REAL", [3.0, 2.25]),
        (["-1.0e3", "2.25"], "REAL", [-1000.0, 2.25]),
    ],
)
def test_a_number_loses_nothing_or_stays_text(values: list[str], kind: str, cells: list[Any]) -> None:
    found = column(values)
    assert (found.kind, found.cells) == (kind, cells)
    assert bool(found.note) == any("," in value for value in values)


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("release_of,n\n1.9,1\n1.10,2\n", ["1.9", "1.10"]),
        ("number,n\n1.1,1\n1.10,2\n,3\n", ["1.1", "1.10", None]),
        ("a,n\n2.00,1\n2.5,2\n", ["2.00", "2.5"]),
        ("a,n\n.250,1\n-1.2,2\n", [".250", "-1.2"]),
        ("Version,n\n1.10,1\n1.20,2\n", ["1.10", "1.20"]),
        ("Paper IDs,n\n2602.13690,1\n2602.13692,2\n", ["2602.13690", "2602.13692"]),
        ("price,n\n1.10,1\n2.50,2\n", [1.1, 2.5]),
        ("Code coverage,n\n85.50,1\n100.00,2\n", [85.5, 100.0]),
        ("release_budget,n\n1.10,1\n2.50,2\n", [1.1, 2.5]),
        ("Version number,n\n1.10,1\n1.20,2\n", ["1.10", "1.20"]),
        ("build_no_2,n\n1.10,1\n1.20,2\n", ["1.10", "1.20"]),
        ("valid,n\n1.10,1\n2.50,2\n", [1.1, 2.5]),
    ],
)
def test_versions_stay_as_they_are_and_prices_are_numbers(tmp_path: Path, text: str, cells: list[object]) -> None:
    rows, _, notes = loaded(tmp_path, text)
    assert [cell for cell, _ in rows] == cells
    assert len(notes) == isinstance(cells[0], str)


@given(st.lists(st.text("0123456789+-.eE,", max_size=24), min_size=1, max_size=4))
def test_an_integer_column_is_written_as_it_was_read(values: list[str]) -> None:
    found = column(values)
    for value, cell in zip(values, found.cells, strict=True):
        if found.kind == "INTEGER" and value:
            assert str(cell) == value.lstrip("+") or value in {"-0", "+0"}
        if found.kind == "TEXT" and value:
            assert cell == value


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a;b\n1;x, y\n2;z, w\n", [(1, "x, y"), (2, "z, w")]),
        ("a\tb\n1\tx;y\n", [(1, "x;y")]),
        ("a|b\n1|x\n", [(1, "x")]),
        ("sep=;\na;b\n1;2\n", [(1, 2)]),
        ('"sep=\t"\r\na\tb\r\n1\t2\r\n', [(1, 2)]),
        ("id,note\n1,'it''s'\n2,\"a, b\"\n", [(1, "'it''s'"), (2, "a, b")]),
        ('id, note\n1, "a, b"\n2, c\n', [(1, "a, b"), (2, "c")]),
        ('id,size\n1,5" pipe\n2,6" pipe\n', [(1, '5" pipe'), (2, '6" pipe')]),
        ("price\n2,5\n3,75\n", [(2.5,), (3.75,)]),
        ("name\nSmith\nJones\n", [("Smith",), ("Jones",)]),
        ("a,b\r1,2\r3,4", [(1, 2), (3, 4)]),
        ("a,b,\n1,2,\n3,4,,,\n", [(1, 2, None), (3, 4, None)]),
        ("a,b\n1,\n,2\n\n,\n", [(1, None), (None, 2)]),
        ('a,b\n1,"two\r\nlines\u2028 and\x85 more\x0c"\n', [(1, "two\r\nlines\u2028 and\x85 more\x0c")]),
        ("a,b\n1,x\0y\n", [(1, "x\0y")]),
        ("a,b\n1,2\n\x1a", [(1, 2)]),
        ("[m],{s}\n1,2\n", [(1, 2)]),
        ("a,A,a \n1,2,3\n", [(1, 2, 3)]),
        ("a,b\n1," + "x" * 300_000 + "\n", [(1, "x" * 300_000)]),
        ("datum;betrag\n1.2.2024;1.234,50\n2.2.2024;7,25\n", [("1.2.2024", 1234.5), ("2.2.2024", 7.25)]),
    ],
)
def test_dialects(tmp_path: Path, text: str, rows: list[tuple[Any, ...]]) -> None:
    assert loaded(tmp_path, text)[0] == rows


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_encodings_are_told_apart_and_named(tmp_path: Path, encoding: str) -> None:
    rows, _, notes = loaded(tmp_path, "id,name\n1,Müller\n2,Café €\n".encode(encoding))
    assert rows == [(1, "Müller"), (2, "Café €")]
    assert len(notes) == (0 if encoding.startswith("utf-8") else 1)


def test_decisions_are_told(tmp_path: Path) -> None:
    _, _, notes = loaded(tmp_path, "id;price;sum\n1;2,5;1,234\n2;3,75;2,345\n")
    assert notes == [
        "t.csv, column price: read with decimal commas",
        "t.csv, column sum: kept as text, since its commas may stand for decimals or thousands",
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('id,name\n1,"apple\n2,pear\n3,plum\n', "t.csv:2 opens a quote that nothing closes"),
        ('id,name\n1,a\n2,"pear"s\n3,plum\n', "t.csv:3 has a quote inside a quoted cell"),
        ('sep=,\nid,name\n1,"apple\n', "t.csv:3 opens a quote"),
        ("id,name\n1,Müller\n2,".encode() + b"M\xfcller\n", "t.csv:3 holds the byte 0xfc"),
        (b"id,name\n1,\x81\n", "t.csv:2 is neither UTF-8 nor Windows-1252"),
        ("a,b\n1,2\n3,4,5\n", "t.csv:3 has 3 fields, and the header 2"),
        ('a,b\n"1\n1",2\n3,4,5\n', "t.csv:4 has 3 fields"),
        (",".join(f"c{at}" for at in range(2_001)) + "\n" + ",".join("1" * 2_001), "2,001 columns"),
        ("a,b\n", "a header and no rows"),
        ("\ufeff\n\n", "is empty"),
        (b"PK\x03\x04\x14\0\x06\0", "an Excel workbook"),
        (b"\x1f\x8b\x08\0", "gzip"),
        (b"SQLite format 3\0", "--db"),
        ("\n<!DOCTYPE html>\n<html><body>Log in, please</body></html>\n", "not CSV text but HTML or XML"),
        ('<?xml version="1.0"?>\n<rows/>\n', "not CSV text but HTML or XML"),
        ('[{"a": 1, "b": 2},\n {"a": 3, "b": 4}]\n', "not CSV text but JSON"),
        ('{"a": 1}\n{"a": 2}\n', "not CSV text but JSON"),
    ],
)
def test_what_would_take_a_guess_is_refused_with_its_line(tmp_path: Path, content: str | bytes, said: str) -> None:
    assert said in refused(tmp_path, content)


@pytest.mark.parametrize("name", ["sqlite_stats.csv", "2024 sales (final).csv", "---.csv", "Ümläut.csv", "a'b\"c.csv"])
def test_any_file_name_names_a_table(tmp_path: Path, name: str) -> None:
    rows, schema, _ = loaded(tmp_path, "a,b\n1,2\n", name)
    assert rows == [(1, 2)]
    assert schema.isprintable()


_CELL = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=8).map(lambda text: f"_{text}_")


@given(st.lists(st.lists(_CELL, min_size=3, max_size=3), min_size=1, max_size=5), st.sampled_from(",;\t|"))
def test_what_a_csv_writer_writes_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], delimiter: str
) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([["x", "y", "z"], *rows])
    found, _, _ = loaded(tmp_path_factory.mktemp("csv"), stream.getvalue())
    assert [list(row) for row in found] == rows
