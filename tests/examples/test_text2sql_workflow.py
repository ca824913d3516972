"""The text-to-SQL workflow on scripted replies: what it does with good, broken and disagreeing drafts."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.text2sql import prompts
from examples.text2sql.tools import Result, elected, execute
from examples.text2sql.workflow import Answer, answer
from orchestrator.compiler import compile as compile_workflow
from orchestrator.testing import fake

SCHEMA = "cars(id int, name text)"
Messages = tuple[object, ...]


@pytest.fixture
def database(tmp_path: Path) -> str:
    path = tmp_path / "cars.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE cars (id INTEGER, name TEXT)")
        connection.executemany("INSERT INTO cars VALUES (?, ?)", [(1, "Audi"), (2, "Fiat")])
    return str(path)


def script(sql: Callable[[str], str], asked: Counter[str] | None = None) -> Callable[..., object]:
    """Replies to every kind of turn; ``sql`` gives the query for the last message."""

    def reply(messages: Messages) -> object:
        last = str(messages[-1].content)  # type: ignore[attr-defined]
        kind = "link" if last.endswith("Tables?") else "words" if last.startswith("Rows:") else "sql"
        if asked is not None:
            asked[kind if not last.startswith("Error:") else "repair"] += 1
        if kind == "link":
            return {"tables": ["cars"]}
        return f"It is: {last}" if kind == "words" else {"sql": sql(last)}

    return reply


def run(database: str, sql: Callable[[str], str], asked: Counter[str] | None = None) -> Answer:
    with fake(script(sql, asked)):
        return answer(question="How many cars?", schema=SCHEMA, database=database)


def test_agreeing_drafts_are_executed_and_put_into_words(database: str) -> None:
    asked: Counter[str] = Counter()
    found = run(database, lambda _: "SELECT COUNT(*) FROM cars", asked)
    assert found.sql == "SELECT COUNT(*) FROM cars"
    assert found.rows == [[2]]
    assert found.text == f"It is: {prompts.answer(2)}"
    assert found.problem == ""
    assert asked["repair"] == 0
    assert asked["words"] == 1


def test_a_broken_draft_is_shown_its_error_and_repaired(database: str) -> None:
    seen: list[str] = []

    def sql(last: str) -> str:
        seen.append(last)
        return "SELECT name FROM cars WHERE id = 1" if last.startswith("Error:") else "SELECT nam FROM cars"

    found = run(database, sql)
    assert found.rows == [["Audi"]]
    assert prompts.repair("no such column: nam") in seen


def test_an_empty_result_is_repaired_like_an_error(database: str) -> None:
    found = run(database, lambda last: "SELECT 7" if prompts.NO_ROWS in last else "SELECT name FROM cars WHERE id = 9")
    assert found.rows == [[7]]


def test_repairs_are_bounded_and_failure_is_no_answer(database: str) -> None:
    asked: Counter[str] = Counter()
    found = run(database, lambda _: "SELECT broken", asked)
    assert found.text == ""
    assert found.problem == "no such column: broken"
    assert asked["words"] == 0
    drafts = asked["repair"] // 2
    assert asked["repair"] == 2 * drafts > 0


def test_a_query_cannot_change_the_database(database: str) -> None:
    before = Path(database).read_bytes()
    found = run(database, lambda _: "DROP TABLE cars")
    assert found.problem
    assert Path(database).read_bytes() == before


def test_the_most_frequent_result_is_elected_and_problems_count_only_alone() -> None:
    one, two, bad = Result(rows=[[1]]), Result(rows=[[2]]), Result(rows=[], problem="no such table: x")
    assert elected([one, two, two]) == 1
    assert elected([bad, bad, one]) == 2
    assert elected([bad, bad]) == 0
    assert elected([one, two]) == 0


def test_results_carry_the_problem_that_a_model_can_read(database: str) -> None:
    assert execute(database, "SELECT id, name FROM cars").text == "1 | Audi\n2 | Fiat"
    assert execute(database, "SELECT x FROM cars").problem == "no such column: x"
    assert execute(database, "SELECT MAX(id) FROM cars WHERE id > 9").problem == prompts.NO_ROWS


def test_every_model_call_and_tool_is_in_the_plan() -> None:
    places = {op.id: op.place for op in compile_workflow(answer).plan.ops}
    assert {"link", "repair", "words"} <= set(places)
    assert sum(place == "thread" for place in places.values()) == 2
