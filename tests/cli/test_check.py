"""``orch check``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Orch


def test_a_correct_workflow_is_summed_up(orch: Orch, folder: Path) -> None:
    ended = orch("check", "flow.py")
    assert (ended.code, ended.err) == (0, "")
    assert "ok answer(question: str) -> list[str]" in ended.out
    assert "1 model call" in ended.out
    assert "run_sql (pure)" in ended.out


def test_all_errors_of_all_workflows_of_a_file_at_once(orch: Orch, folder: Path) -> None:
    ended = orch("check", "two.py")
    assert ended.code == 1
    assert "ok answer" in ended.out
    assert "error[ORCH-D041]" in ended.err
    assert "error[ORCH-D014]" in ended.err
    assert ended.err.count("two.py:") >= 2
    assert "2 errors" in ended.err


def test_json_has_workflows_or_errors(orch: Orch, folder: Path) -> None:
    (only,) = json.loads(orch("check", "flow.py", "--json").out)["workflows"]
    assert (only["workflow"], only["tools"]) == ("answer", {"run_sql": "pure", "vote": "pure"})
    failed = orch("check", "two.py:wrong", "--json")
    data = json.loads(failed.out)
    assert (failed.code, data["ok"]) == (1, False)
    assert {each["code"] for each in data["errors"]} == {"ORCH-D041", "ORCH-D014"}


def test_an_app_directory_is_checked_by_its_workflow(orch: Orch) -> None:
    ended = orch("check", "examples/text2sql")
    assert ended.code == 0
    assert "answer(question: str" in ended.out


READS = """
import sqlite3
import yaml
from orchestrator import tool, workflow

DB = sqlite3.connect(":memory:")

@tool(effects="pure")
def run_sql(query: str) -> str:
    return yaml.safe_dump(DB.execute(query).fetchall())

@tool(effects="pure")
def count(query: str) -> str:
    return run_sql(query)[:1]

@workflow
def answer(query: str) -> str:
    return f"{run_sql(query)} {count(query)}"
"""


def test_what_a_tool_reads_beside_its_hash_is_named_once(orch: Orch, folder: Path) -> None:
    (folder / "reads.py").write_text(READS)
    assert orch("check", "reads.py").out.count("not in a tool's hash: `run_sql` reads `DB` (a sqlite3.Connection)") == 1
    (only,) = json.loads(orch("check", "reads.py", "--json").out)["workflows"]
    hashed = only["hashes"]["run_sql"]
    assert hashed["unseen"] == [{"reader": "run_sql", "name": "DB", "what": "a sqlite3.Connection"}]
    assert list(hashed["versions"]) == ["PyYAML"]
    assert len(hashed["code"]) == 16


def test_what_a_workflow_is_rewritten_into(orch: Orch, folder: Path) -> None:
    (folder / "decides.py").write_text(DECIDES)
    shown = orch("check", "decides.py", "--show-rewritten")
    assert shown.code == 0
    assert "orch.if_(orch.compare(text, '==', 'a'), then_5, else_5, ('?result_',))" in shown.out
    assert "# left is traced as it is" in shown.out


DECIDES = """from orchestrator import llm, workflow

@workflow
def decides(text: str) -> str:
    if text == "a":
        return "b"
    return llm(text)

@workflow(rewrite=False)
def left(text: str) -> str:
    return llm(text)
"""


CHANGES = """
from orchestrator import tool, workflow

@tool
def add(xs: list[str], x: str) -> int:
    xs.append(x)
    return len(xs)

@workflow
def answer(query: str) -> int:
    return add([query], query)
"""


def test_a_tool_that_changes_its_argument_is_warned_of(orch: Orch, folder: Path) -> None:
    (folder / "changes.py").write_text(CHANGES)
    ended = orch("check", "changes.py")
    assert ended.code == 0
    assert "warning[ORCH-D058]: tool `add` changes its argument `xs`" in ended.out
    assert "changes.py:6 in add" in ended.out
    (only,) = json.loads(orch("check", "changes.py", "--json").out)["workflows"]
    assert [each["code"] for each in only["warnings"]] == ["ORCH-D058"]


ASKS = """
from orchestrator import ask, tool, workflow

@workflow
def approved(text: str) -> str:
    return ask(f"May it be {text}?")

@workflow
def plain(text: str) -> str:
    return text

@tool
def within(text: str) -> str:
    return plain(approved(text))

@workflow
def answer(query: str) -> str:
    return within(query)
"""


def test_a_tool_that_calls_a_workflow_that_asks_is_warned_of_with_what_to_do(orch: Orch, folder: Path) -> None:
    (folder / "asks.py").write_text(ASKS)
    ended = orch("check", "asks.py:answer")
    assert ended.code == 0
    assert "warning[ORCH-D059]: tool `within` calls the workflow `approved`, which asks a person" in ended.out
    assert "asks.py:12" in ended.out
    assert "call `approved` in the workflow itself" in ended.out
    (only,) = json.loads(orch("check", "asks.py:answer", "--json").out)["workflows"]
    assert [each["code"] for each in only["warnings"]] == ["ORCH-D059"]


UNKEPT = """
from orchestrator import tool, workflow

class Odd:
    pass

@tool(effects="reads")
def odd(text: str) -> Odd:
    return Odd()

@tool(effects="reads")
def even(text: str, odd: Odd) -> Odd:
    return odd

@workflow
def answer(query: str) -> str:
    even(query, odd(query))
    return query
"""


def test_every_value_that_keeps_runs_from_being_kept_is_warned_of_and_refused_when_they_are(
    orch: Orch, folder: Path
) -> None:
    (folder / "unkept.py").write_text(UNKEPT)
    ended = orch("check", "unkept.py")
    assert ended.code == 0
    assert ended.out.count("warning[ORCH-C092]") == 2
    ended = orch("run", "unkept.py", "a", "--store", "runs.db", "--json")
    assert [each["code"] for each in json.loads(ended.out)["errors"]] == ["ORCH-C092"] * 2
    assert orch("run", "unkept.py", "a", "--ephemeral").out == "a\n"
