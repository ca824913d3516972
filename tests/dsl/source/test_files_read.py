"""A workflow whose prompts come from files is compiled again once one of them is another."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from orchestrator import llm, workflow
from orchestrator.compiler import compile as compile_workflow
from tests.notebook import cell, prompt_of


@pytest.mark.parametrize("read", [lambda path: path.read_text(), lambda path: path.open().read()])
def test_a_file_that_is_edited(read: Callable[[Path], str], tmp_path: Path) -> None:
    path = tmp_path / "prompt.txt"
    path.write_text("Be kind")

    @workflow
    def flow(q: str) -> str:
        return llm(f"{read(path)} {q}")

    assert prompt_of(flow) == "Be kind x"
    first = compile_workflow(flow)
    assert compile_workflow(flow) is first
    path.write_text("Be rude")
    os.utime(path, ns=(1, 1))
    assert prompt_of(flow) == "Be rude x"


def test_a_file_that_is_written_while_tracing_costs_no_compiling(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"

    @workflow
    def flow(q: str) -> str:
        with path.open("a") as log:
            log.write("traced\n")
        return llm(q)

    first = compile_workflow(flow)
    path.write_text("something else")
    assert compile_workflow(flow) is first
    assert path.read_text() == "something else"


def test_a_file_that_appears(tmp_path: Path) -> None:
    path = tmp_path / "prompt.txt"

    @workflow
    def flow(q: str) -> str:
        try:
            return llm(f"{path.read_text()} {q}")
        except FileNotFoundError:
            return llm(f"Nothing {q}")

    assert prompt_of(flow) == "Nothing x"
    path.write_text("Something")
    assert prompt_of(flow) == "Something x"


@pytest.mark.parametrize(
    "listed",
    [
        "sorted(os.listdir(folder))",
        "[each.name for each in sorted(folder.iterdir())]",
        "sorted(os.listdir())",
        "sorted(each.name for each in os.scandir())",
    ],
)
def test_a_folder_that_gets_another_file(listed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.md").touch()
    names: dict[str, Any] = {"__name__": "notebook", "folder": tmp_path}
    cell(names, "import os\nfrom orchestrator import llm, workflow\n")
    cell(names, f"@workflow\ndef flow(q: str) -> str: return llm(f'{{{listed}}} {{q}}')\n")
    assert prompt_of(names["flow"]) == "['a.md'] x"
    (tmp_path / "b.md").touch()
    assert prompt_of(names["flow"]) == "['a.md', 'b.md'] x"


@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize("is_uri", [False, True])
def test_a_database_that_is_written_to(journal: str, is_uri: bool, tmp_path: Path) -> None:
    file = tmp_path / "all words.db"
    with closing(sqlite3.connect(file)) as database:
        database.execute(f"pragma journal_mode={journal}")
        database.execute("create table words (word)")
        connect = partial(sqlite3.connect, uri=is_uri)
        named = f"file:{quote(str(file))}?mode=ro" if is_uri else file
        names: dict[str, Any] = {"__name__": "notebook", "connect": connect, "file": named}
        cell(names, "from orchestrator import llm, workflow\n")
        ask = "[word for word, in connect(file).execute('select word from words')]"
        cell(names, f'@workflow\ndef flow(q: str) -> str: return llm(f"{{{ask}}} {{q}}")\n')
        assert prompt_of(names["flow"]) == "[] x"
        with database:
            database.execute("insert into words values ('kind')")
        assert prompt_of(names["flow"]) == "['kind'] x"
