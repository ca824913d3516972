"""What several commands take."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from orchestrator.cli.options import check_writable
from orchestrator.errors import RunError
from tests.cli.conftest import Orch

FLOW = """
from orchestrator import workflow

@workflow
def flow(text: str) -> str:
    return text
"""


@pytest.mark.parametrize("name", ["runs.db", "runs.db-wal"])
def test_no_result_is_written_over_a_database(tmp_path: Path, name: str) -> None:
    database = sqlite3.connect(tmp_path / "runs.db")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("CREATE TABLE one (two)")
    with pytest.raises(RunError, match="is a database") as failure:
        check_writable(tmp_path / name, "--output")
    assert failure.value.code == "ORCH-U090"
    database.close()


def test_a_run_is_not_exported_over_its_store(orch: Orch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow.py").write_text(FLOW)
    assert orch("run", "flow.py", "a", "--run-id", "r", "--store", "own.db").code == 0
    assert "is a database" in orch("runs", "export", "r", "-o", "own.db", "--store", "own.db").err
    assert orch("runs", "show", "r", "--store", "own.db").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("show", os.fsdecode(b"\xff")),
        ("pause", "r", "--by", os.fsdecode(b"\xff")),
        ("list", "--workflow", os.fsdecode(b"\xff")),
        ("gc", "--tenant", os.fsdecode(b"\xff=1")),
    ],
    ids=lambda words: words[0],
)
def test_a_word_that_is_no_utf_8_is_said_to_be_none(orch: Orch, words: tuple[str, ...]) -> None:
    ended = orch("runs", *words)
    assert (ended.code, "error[ORCH-U010]" in ended.err, "is no UTF-8" in ended.err) == (2, True, True)
