"""The data that the text-to-SQL example reads: SQLite files and CSV files."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from examples.text2sql.data import describe, load_csv
from orchestrator.errors import UsageError


def loaded(folder: Path, **files: str) -> sqlite3.Connection:
    """The database of CSV files with these contents."""
    paths = []
    for name, text in files.items():
        paths.append(folder / f"{name}.csv")
        paths[-1].write_text(text, encoding="utf-8")
    load_csv(paths, folder / "out.db")
    return sqlite3.connect(folder / "out.db")


def test_columns_get_the_type_of_all_their_values(tmp_path: Path) -> None:
    loaded(tmp_path, cars="id,price,zip,colour\n1,2.5,00501,red\n2,3,10001,\n").close()
    schema, tables = describe(tmp_path / "out.db")
    assert tables == ["cars"]
    assert schema == "cars(id int, price real, zip text, colour text)"


def test_values_are_what_the_file_says(tmp_path: Path) -> None:
    database = loaded(tmp_path, cars="id,price,colour\n1,2.5,red\n-2,3e2,\n")
    assert database.execute("SELECT * FROM cars").fetchall() == [(1, 2.5, "red"), (-2, 300.0, None)]


def test_each_file_is_a_table_with_names_that_need_no_quotes(tmp_path: Path) -> None:
    database = loaded(tmp_path, **{"My Cars": "Car Name;1st;Car-Name;\na;b;c;d\n", "owners": "id\n1\n"})
    assert database.execute("SELECT car_name, _1st, car_name_2, column_4 FROM my_cars").fetchall() == [tuple("abcd")]
    assert database.execute("SELECT id FROM owners").fetchall() == [(1,)]


def test_quotes_newlines_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    database = loaded(tmp_path, notes='\ufeffid,text\n1,"two\nlines, ""quoted"""\n\n2,short\n')
    assert database.execute("SELECT text FROM notes").fetchall() == [('two\nlines, "quoted"',), ("short",)]


def test_short_rows_are_filled_and_long_ones_refused(tmp_path: Path) -> None:
    assert loaded(tmp_path, a="x,y\n1\n").execute("SELECT * FROM a").fetchall() == [(1, None)]
    with pytest.raises(UsageError, match=r"b\.csv:3 has 3 fields"):
        loaded(tmp_path, b="x,y\n1,2\n1,2,3\n")


@pytest.mark.parametrize(("text", "said"), [("", "is empty"), ("\n\n", "is empty"), ("a,b\n", "no rows")])
def test_a_file_without_rows_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        loaded(tmp_path, empty=text)
    assert raised.value.code == "ORCH-U011"


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00a,b")
    for name in ("a.csv", "missing.csv"):
        with pytest.raises(UsageError, match=name) as raised:
            load_csv([tmp_path / name], tmp_path / "out.db")
        assert raised.value.code == "ORCH-U011"


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database, although it is long enough to look like one" * 20)
    sqlite3.connect(tmp_path / "empty.db").close()
    for name, said in (
        ("none.db", "no database"),
        ("text.db", "not a SQLite"),
        ("empty.db", "no tables"),
        (".", "not a file"),
    ):
        with pytest.raises(UsageError, match=said):
            describe(tmp_path / name)


def test_looking_at_a_database_does_not_change_it(tmp_path: Path) -> None:
    loaded(tmp_path, a="x\n1\n").close()
    before = (tmp_path / "out.db").read_bytes()
    describe(tmp_path / "out.db")
    assert (tmp_path / "out.db").read_bytes() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.csv", "out.db"]
