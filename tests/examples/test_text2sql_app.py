"""``orch run examples/text2sql``: what it runs, and how its table looks."""

from __future__ import annotations

import json
import sqlite3
from io import StringIO
from pathlib import Path

import pytest
from pydantic_core import to_jsonable_python
from rich.console import Console

from examples.text2sql.app import app
from orchestrator.cli.app import Facts, Job, Outcome
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError, UsageError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.base import GenerateRequest
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.records import Spending
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.runner import Runner

NOTHING = {"db": None, "csv": (), "question": (), "limit": None}
COUNT = "SELECT COUNT(*) FROM distributions"


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Databases are kept in the test's folder."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))


def reply(request: GenerateRequest) -> object:
    last = request.messages[-1].content
    if last.endswith("Tables?"):
        return {"tables": ["distributions"]}
    return "Some words." if last.startswith("Rows:") else {"sql": COUNT}


def compiled() -> Compiled:
    spec = EngineSpec(name="main", kind="scripted", model="scripted")
    return compile_workflow(app.workflow, Cluster(engines=(spec,)))


def facts(ready: Compiled) -> Facts:
    return Facts("scripted", "scripted", True, 2.0, 1.0, ready.plan, Spending())


async def outcomes_of(job: Job) -> list[Outcome]:
    async with Runner({"main": ScriptedEngine(reply)}) as runtime:  # type: ignore[arg-type]
        return [Outcome(case, await runtime.run(compiled(), case.inputs)) for case in job.cases]


def shown(view: object, width: int) -> list[str]:
    console = Console(width=width, record=True, file=StringIO())
    console.print(view)
    return console.export_text().splitlines()


def test_without_options_it_asks_the_reference_questions_about_this_machine() -> None:
    job = app.prepare(NOTHING, [])
    assert len(job.cases) in (12, 20)
    assert "distributions(" in str(job.cases[0].inputs["schema"])
    assert len(app.prepare({**NOTHING, "limit": 3}, []).cases) == 3


def test_what_a_run_reads_is_there_for_whoever_goes_on_with_it(tmp_path: Path) -> None:
    (tmp_path / "cars.csv").write_text("id,name\n1,Audi\n")
    options = {**NOTHING, "csv": (tmp_path / "cars.csv",)}
    before, again = (app.prepare(options, ["How many?"]).cases[0].inputs["database"] for _ in range(2))
    (tmp_path / "cars.csv").write_text("id,name\n1,Audi\n2,Fiat\n")
    assert before == again != app.prepare(options, ["How many?"]).cases[0].inputs["database"]
    with sqlite3.connect(str(before)) as connection:
        assert connection.execute("SELECT * FROM cars").fetchall() == [(1, "Audi")]


def test_a_folder_that_takes_no_database_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cars.csv").write_text("id,name\n1,Audi\n")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="cannot be kept") as caught:
        app.prepare({**NOTHING, "csv": (tmp_path / "cars.csv",)}, ["How many?"])
    assert "XDG_DATA_HOME" in (caught.value.diagnostics[0].fix or "")


def test_own_data_and_words_make_one_case(tmp_path: Path) -> None:
    (tmp_path / "cars.csv").write_text("id,name\n1,Audi\n")
    job = app.prepare({**NOTHING, "csv": (tmp_path / "cars.csv",)}, ["How", "many", "cars?"])
    (case,) = job.cases
    assert case.inputs["question"] == "How many cars?"
    assert case.inputs["schema"] == "cars(id int, name text)"
    assert case.expected is None


def test_wrong_options_are_refused_and_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "empty.csv").write_text("")
    own = tmp_path / "own.db"
    sqlite3.connect(own).execute("CREATE TABLE t (x)").connection.commit()
    for options, words in (
        ({"db": own, "csv": (own,)}, ["x"]),
        ({"db": own}, []),
        ({}, [" "]),
        ({"csv": (tmp_path / "empty.csv",)}, ["x"]),
        ({"db": tmp_path / "none.db"}, ["x"]),
    ):
        with pytest.raises(UsageError):
            app.prepare({**NOTHING, **options}, words)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["empty.csv", "own.db"]


@pytest.mark.parametrize("width", [80, 120])
async def test_the_table_fits_the_terminal(width: int) -> None:
    job = app.prepare({**NOTHING, "limit": 3}, [])
    outcomes = await outcomes_of(job)
    report = app.report(job, outcomes, facts(compiled()))
    lines = shown(report.view, width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "✓ How many distributions" in text
    assert "✗" in text
    assert "1 of 3 equal the reference answers." in text
    assert "cost unknown" in text
    assert "SIMULATED" in text
    assert COUNT in text
    assert not report.failed


async def test_the_data_holds_what_the_table_shows() -> None:
    job = app.prepare({**NOTHING, "limit": 2}, [])
    outcomes = await outcomes_of(job)
    data = app.report(job, outcomes, facts(compiled())).data
    first, second = data["questions"]
    assert (first["equals_reference"], second["equals_reference"]) == (True, False)
    assert first["sql"] == COUNT
    assert first["turns"] == 5
    assert first["cost_usd"] is None
    assert data["correct"] == 1
    assert data["usage"]["input_tokens"] == sum(each["usage"]["input_tokens"] for each in data["questions"])
    json.dumps(to_jsonable_python(dict(data)))


async def test_an_own_question_shows_its_answer_first(tmp_path: Path) -> None:
    own = tmp_path / "own.db"
    with sqlite3.connect(own) as connection:
        connection.execute("CREATE TABLE distributions (name TEXT)")
        connection.executemany("INSERT INTO distributions VALUES (?)", [("a",), ("b",)])
    job = app.prepare({**NOTHING, "db": own}, ["How many?"])
    report = app.report(job, await outcomes_of(job), facts(compiled()))
    lines = shown(report.view, 80)
    assert lines[:3] == ["How many?", "Some words.", COUNT]
    assert report.data["correct"] is None
    assert report.data["questions"][0]["equals_reference"] is None


def test_a_run_that_failed_is_a_row_with_its_reason() -> None:
    job = app.prepare({**NOTHING, "limit": 1}, [])
    report = app.report(job, [Outcome(job.cases[0], None, RunError("ORCH-R001", "it broke"))], facts(compiled()))
    assert "failed: it broke" in "\n".join(shown(report.view, 120))
    assert report.failed


def test_the_commands_at_the_end_can_be_copied_from_80_columns() -> None:
    lines = [line.strip() for line in shown(app.report(Job([]), [], facts(compiled())).view, 80)]
    start = lines.index("python -m vllm.entrypoints.openai.api_server \\")
    command = " ".join(line.removesuffix(" \\") for line in lines[start : start + 4])
    assert command.endswith("--scheduler-cls orchestrator.kv.Scheduler --kv-cache-memory-bytes 1G --enforce-eager")
    assert all(line.endswith("\\") for line in lines[start : start + 3])


async def test_an_answer_that_was_there_before_is_no_surprise_for_the_plan() -> None:
    job = app.prepare({**NOTHING, "limit": 1}, [])
    store = MemoryStore()
    async with Runner({"main": ScriptedEngine(reply)}, store=store) as runtime:  # type: ignore[arg-type]
        for _ in range(2):
            result = await runtime.run(compiled(), job.cases[0].inputs, key="one")
    report = app.report(job, [Outcome(job.cases[0], result)], facts(compiled()))
    (question,) = report.data["questions"]
    assert (question["turns"], question["otherwise"]) == (None, ())
    assert question["usage"]["output_tokens"] > 0
