"""Workflows that are compiled to a file and run from it: ``orch compile -o`` and ``orch run flow.mlir``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Ended, Orch

FLOW = '''
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from orchestrator import branch, map_, tool, workflow
from parts.more import shorten

class Colour(Enum):
    RED = "red"
    BLUE = "blue"

class Query(BaseModel):
    sql: str
    limit: Annotated[int, Field(ge=0)] = 3

@dataclass
class Row:
    name: str
    count: int

@tool(effects="pure")
def run_sql(query: Query, colour: Colour = Colour.RED) -> list[Row]:
    """Rows."""
    return [Row(f"{query.sql}{colour.value}", n) for n in range(query.limit)]

def was_sent(text: str) -> bool:
    return False

@tool(effects="once", key="key", check=was_sent)
def send(text: str, key: str = "") -> Annotated[int, Field(ge=0)]:
    return len(text)

@workflow(budget="400k tokens")
def answer(question: str, colour: Colour = Colour.BLUE, style: Literal["short", "long"] = "short") -> str:
    rows = run_sql(Query(sql="select ", limit=2), colour)
    names = map_(lambda row: shorten(row.name), rows, limit=10)
    total = send(f"{names} {question}")
    return branch(total > 3, then=lambda: f"{names} {style} {total}", otherwise=lambda: "nothing")
'''


@pytest.fixture
def stored(orch: Orch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workflow, its package, and what it is compiled to, in another folder."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").touch()
    (tmp_path / "parts" / "cut.py").write_text("def cut(text: str) -> str:\n    return text[:9]\n")
    more = "from orchestrator import tool\nfrom .cut import cut\nshorten = tool(cut, effects='pure', name='shorten')\n"
    (tmp_path / "parts" / "more.py").write_text(more)
    (tmp_path / "flow.py").write_text(FLOW)
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    ended = orch("compile", "flow.py", "-o", "out/flow.mlir")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    return tmp_path / "out" / "flow.mlir"


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_text_runs_as_its_source_does(orch: Orch, stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("-i", "question=hello", "-i", "style=long", "--json")
    source = json.loads(orch("run", "flow.py", *given).out)
    monkeypatch.chdir("/")  # where the text is found does not matter
    text = json.loads(orch("run", str(stored), *given).out)
    assert text["value"] == source["value"] == '["select bl","select bl"] long 31'
    for command in ("compile", "plan"):
        assert orch(command, str(stored)).code == 0
    assert "tools run_sql (pure), send (once), shorten (pure)" in orch("check", str(stored)).out
    assert "flow.mlir:" in orch("explain", str(stored), "--every-op").out


def test_hash_and_plan_are_those_of_the_source(orch: Orch, stored: Path) -> None:
    source, text = (json.loads(orch("compile", target, "--json").out) for target in ("flow.py", str(stored)))
    assert text["hash"] == source["hash"]
    ids = [[op["id"] for op in json.loads(orch("plan", t, "--json").out)["ops"]] for t in ("flow.py", str(stored))]
    assert ids[0] == ids[1]


def test_writing_it_again_changes_nothing(orch: Orch, stored: Path) -> None:
    before = stored.read_text()
    orch("compile", "flow.py", "-o", str(stored))
    assert stored.read_text() == before
    assert str(stored.parent.parent) not in before
    assert 'path = "../flow.py:run_sql"' in before


def test_its_inputs_are_checked(orch: Orch, stored: Path) -> None:
    assert "ORCH-U010" in orch("run", str(stored), "-i", "question=x", "-i", "colour=green").err
    assert "`question: str` is missing" in orch("run", str(stored), "-i", "style=long").err
    assert "-i style=…" in orch("run", str(stored), "--help").out


@pytest.mark.parametrize(
    ("file", "old", "new", "what"),
    [
        ("flow.py", "range(query.limit)]", "range(1)]", "tool `run_sql` at `../flow.py:run_sql` has changed"),
        (
            "flow.py",
            "limit: Annotated[int, Field(ge=0)]",
            "limit: int",
            "type `Query` at `../flow.py:Query` has changed",
        ),
        (
            "flow.py",
            "def run_sql(query: Query, colour",
            "def run_sql(query: Any, colour",
            "`types` of tool `run_sql` at",
        ),
        (
            "flow.py",
            "-> list[Row]",
            "-> list[Query]",
            "`returns` of tool `run_sql` at `../flow.py:run_sql` has changed",
        ),
        ("flow.py", 'key: str = ""', "key: str", "tool `send` at `../flow.py:send` has changed"),
        ("out/flow.mlir", 'count = "int"', 'count = "float"', "`fields` of type `Row` at `../flow.py:Row` has changed"),
        (
            "out/flow.mlir",
            'opts = {code = "',
            'opts = {is_async = true, code = "',
            "`is_async` is True, and must be nothing",
        ),
        ("flow.py", 'RED = "red"', 'RED = "rosso"', "type `Colour` at `../flow.py:Colour` has changed"),
        ("parts/cut.py", "text[:9]", "text[:8]", "tool `shorten` at `../parts/cut.py:cut` has changed"),
        ("out/flow.mlir", '"run_sql", opts', '"nobody", opts', "no tool `run_sql` among the declarations"),
        ("flow.py", "def send(", "def post(", "tool `send` of `out/flow.mlir` is not at `../flow.py:send`"),
        ("out/flow.mlir", "../flow.py:Row", "../flow.py:Rows", "type `Row` of `out/flow.mlir` is not at"),
        ("out/flow.mlir", "../parts/cut.py", "../parts/gone.py", "there is no file `out/../parts/gone.py`"),
        ("out/flow.mlir", "../parts/cut.py", "nowhere", "Python finds no module `nowhere`"),
        ("out/flow.mlir", '"../flow.py:send"', '""', "does not say where it is defined"),
        (
            "out/flow.mlir",
            ', returns = "str"}, sym',
            "}, sym",
            "does not say the parameters and the result",
        ),
        (
            "flow.py",
            'effects="once", key="key", check=was_sent',
            'effects="pure"',
            "was `once` key=key check=flow:was_sent",
        ),
        ("flow.py", 'effects="pure")\ndef run', 'effects="reads")\ndef run', "it was `pure`, and is `reads`"),
        ("flow.py", "check=was_sent", "", "it was `once` key=key check=flow:was_sent, and is `once` key=key"),
        ("out/flow.mlir", "../flow.py:run_sql", "../flow.py:shorten", "what is there is defined elsewhere"),
        ("out/flow.mlir", "../flow.py:run_sql", "os:system", "what is there is defined elsewhere"),
        ("out/flow.mlir", "../flow.py:run_sql", ".flow:run_sql", "`.flow` is no name of a module"),
        ("out/flow.mlir", "../flow.py:run_sql", "x" * 5000 + ".py:run_sql", "there is no file"),
        ("out/flow.mlir", '"question", "colour"', '"class", "colour"', "cannot be the name of a parameter"),
        ("out/flow.mlir", "agent.prompt", "op.prompt", "there is no op op.prompt"),
        ("out/flow.mlir", "module {", "module", "ORCH-I002"),
    ],
)
def test_what_is_not_as_it_was_is_refused(orch: Orch, stored: Path, file: str, old: str, new: str, what: str) -> None:
    edit(stored.parent.parent / file, old, new)
    ended = orch("run", "out/flow.mlir", "-i", "question=x")
    assert ended.code != 0
    assert what in ended.err
    assert "Traceback" not in ended.err


def test_both_hashes_are_named(orch: Orch, stored: Path) -> None:
    edit(stored.parent.parent / "flow.py", "range(query.limit)]", "range(1)]")
    ended = orch("check", "out/flow.mlir", "--json")
    [error] = json.loads(ended.out)["errors"]
    assert error["code"] == "ORCH-U016"
    assert "it was " in error["message"]


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("def f(x: str) -> str:\n        return x\n    return tool(f)(question)", "tool `f`"),
        ("return tool(Holder('x').fill)(question)", "tool `fill`"),
        ("return tool(sent, effects='once', check=lambda x: True)(question)", "the check of tool `sent`"),
        ("class Local(BaseModel):\n        x: str\n    return llm(question, returns=Local).x", "type `Local`"),
        ("return llm(question, returns=Annotated[str, Field(pattern='a')])", "type `Annotated[str"),
    ],
)
def test_what_cannot_be_found_again_is_not_written(orch: Orch, tmp_path: Path, body: str, what: str) -> None:
    head = "from typing import Annotated\nfrom pydantic import BaseModel, Field\n"
    head += "from orchestrator import llm, tool, workflow\n"
    source = tmp_path / "local.py"
    head += "def sent(x: str) -> str:\n    return x\n"
    head += "class Holder:\n    def __init__(self, text: str) -> None:\n        self.text = text\n"
    head += "    def fill(self, x: str) -> str:\n        return self.text + x\n"
    source.write_text(f"{head}@workflow\ndef flow(question: str) -> str:\n    {body}\n")
    ended = orch("compile", str(source), "-o", str(tmp_path / "local.mlir"))
    assert ended.code != 0
    assert "ORCH-U017" in ended.err
    assert what in ended.err
    assert not (tmp_path / "local.mlir").exists()


def test_the_level_of_the_hardware_is_not_run(orch: Orch, stored: Path) -> None:
    orch("compile", "flow.py", "--level", "op", "-o", "op.mlir")
    ended: Ended = orch("run", "op.mlir", "-i", "question=x")
    assert "ORCH-U018" in ended.err
    assert "--level agent" in ended.err
    assert "is a text already" in orch("compile", str(stored), "-o", "again.mlir").err
