"""The data that the text-to-SQL example reads: SQLite files and CSV files."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from examples.text2sql import data, sandbox, schema_text
from examples.text2sql.data import describe, load_csv
from examples.text2sql.sandbox import Result, execute
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


def hostile(folder: Path) -> Path:
    """A database with one good table, and several things in it that cannot be read."""
    path = folder / "hostile.db"
    with closing(sqlite3.connect(path)) as made:
        made.executescript(
            "CREATE TABLE good(id INTEGER, colour TEXT); INSERT INTO good VALUES (1, 'red'), (2, 'red'), (3, 'blue');"
            "CREATE TABLE gone(x INTEGER); CREATE VIEW broken AS SELECT x FROM gone; DROP TABLE gone;"
            'CREATE TABLE "two words"("a b" TEXT, "c""d" INTEGER);'
            "CREATE TABLE bytes(data TEXT); INSERT INTO bytes VALUES (x'ff00'), (x'ff00'), ('ok'), ('ok');"
            "CREATE TABLE latin(word TEXT);"
            "INSERT INTO latin VALUES (CAST(x'6d6fff' AS TEXT)), (CAST(x'6d6fff' AS TEXT)), ('fine'), ('fine');"
        )
    return path


def test_what_cannot_be_read_spoils_nothing_else(tmp_path: Path) -> None:
    notes: list[str] = []
    schema, tables = describe(hostile(tmp_path), notes)
    assert tables == ["good", "two words", "bytes", "latin"]
    assert schema.splitlines()[0] == "good(id int, colour text [red, blue])"
    assert '"two words"("a b" text, "c""d" int)' in schema
    assert "bytes(data text [ok])" in schema
    assert len(notes) == 1
    assert "`broken` is left out: no such table: main.gone" in notes[0]


def test_text_that_is_no_utf8_can_be_asked_about(tmp_path: Path) -> None:
    found = execute(hostile(tmp_path), "SELECT word FROM latin ORDER BY word")
    assert found.error is None
    assert [row[0] for row in found.rows] == ["fine", "fine", "mo\ufffd", "mo\ufffd"]


def test_a_damaged_table_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "damaged.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE first(id INTEGER, word TEXT)")
        made.executemany("INSERT INTO first VALUES (?, ?)", [(at, "w" * 500) for at in range(200)])
        made.execute("CREATE TABLE second(id INTEGER, word TEXT)")
        made.execute("INSERT INTO second VALUES (1, 'a'), (2, 'a')")
        made.commit()
        (root,) = made.execute("SELECT rootpage FROM sqlite_master WHERE name = 'first'").fetchone()
        (size,) = made.execute("PRAGMA page_size").fetchone()
    data = bytearray(path.read_bytes())
    data[(root - 1) * size : root * size] = b"\xff" * size
    path.write_bytes(data)
    notes: list[str] = []
    schema, tables = describe(path, notes)
    assert "second(id int, word text [a])" in schema
    assert tables == ["first", "second"]
    assert any("first.word" in note and "malformed" in note for note in notes)


def test_a_lock_is_called_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = hostile(tmp_path)
    monkeypatch.setattr(sandbox, "PATIENCE_S", 0.05)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UsageError, match="locked by another program"):
            describe(path)
    assert describe(path)[1][0] == "good"


def test_a_write_ahead_log_is_read_with_what_it_holds(tmp_path: Path) -> None:
    path = hostile(tmp_path)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE late(x INTEGER)")
        writer.commit()
        assert "late" in describe(path)[1]
        assert execute(path, "SELECT COUNT(*) FROM good").rows == [[3]]


def test_a_database_of_broken_views_only_says_so(tmp_path: Path) -> None:
    path = tmp_path / "views.db"
    with closing(sqlite3.connect(path)) as made:
        made.executescript("CREATE TABLE t(x); CREATE VIEW v AS SELECT x FROM t; DROP TABLE t;")
    with pytest.raises(UsageError, match="holds no tables") as caught:
        describe(path)
    assert "no such table" in str(caught.value)


def endless(path: Path) -> Path:
    """A database with a table and two views whose values never end."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE cars(colour TEXT)")
        database.executemany("INSERT INTO cars VALUES (?)", [("red",), ("red",), ("blue",)])
        for name in ("first", "second"):
            numbers = "WITH RECURSIVE n(x) AS (SELECT 'a' UNION ALL SELECT x FROM n)"
            database.execute(f"CREATE VIEW {name} AS {numbers} SELECT x AS word FROM n")
        database.execute("CREATE TABLE towns(name TEXT)")
        database.executemany("INSERT INTO towns VALUES (?)", [("Rome",), ("Rome",)])
        database.commit()
    return path


def test_values_that_take_for_ever_are_left_out_and_others_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_text, "COLUMN_S", 0.05)
    notes: list[str] = []
    schema, tables = describe(endless(tmp_path / "e.db"), notes)
    assert tables == ["cars", "first", "second", "towns"]
    assert schema == "cars(colour text [red, blue])\nfirst(word text)\nsecond(word text)\ntowns(name text [Rome])"
    assert notes == ["shown without values, which take too long to be found: `first.word`, `second.word`"]


def test_when_the_time_is_over_no_more_values_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "VALUES_S", 0.05)
    notes: list[str] = []
    schema, _ = describe(endless(tmp_path / "e.db"), notes)
    assert schema.startswith("cars(colour text [red, blue])\nfirst(word text)\n")
    assert schema.endswith("towns(name text)")
    assert "`towns.name`" in notes[0]


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT o.id, tag.value FROM orders o, json_each(o.tags) AS tag ORDER BY 1, 2", [[1, "new"], [1, "rush"]]),
        ("SELECT atom FROM json_tree('{\"a\": [7]}') WHERE atom IS NOT NULL", [[7]]),
        ("SELECT body FROM notes WHERE notes MATCH 'late'", [["arrived late"]]),
        ("SELECT id FROM areas WHERE low < 2 AND high > 1", [[4]]),
    ],
)
def test_tables_of_functions_and_modules_can_be_asked_and_nothing_can_be_written(
    tmp_path: Path, sql: str, rows: list[list[object]]
) -> None:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as made:
        made.executescript(
            'CREATE TABLE orders(id INTEGER, tags TEXT); INSERT INTO orders VALUES (1, \'["rush", "new"]\');'
            "CREATE VIRTUAL TABLE notes USING fts5(body); INSERT INTO notes VALUES ('arrived late');"
            "CREATE VIRTUAL TABLE areas USING rtree(id, low, high); INSERT INTO areas VALUES (4, 0.5, 3.0);"
        )
    before = path.read_bytes()
    assert execute(path, sql) == Result(rows)
    for harm in (
        "INSERT INTO notes VALUES ('x')",
        "INSERT INTO notes(notes) VALUES ('rebuild')",
        "DELETE FROM areas",
        "UPDATE sqlite_master SET sql = ''",
        "SELECT * FROM pragma_journal_mode('delete')",
        "PRAGMA data_version = 3",
        "CREATE VIRTUAL TABLE temp.t USING fts5(x)",
    ):
        assert execute(path, harm).error, harm
    assert path.read_bytes() == before
