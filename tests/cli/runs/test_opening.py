"""No command on runs makes a store where there is none, but those that bring a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Orch

FLOW = """
from orchestrator import workflow

@workflow
def flow(text: str) -> str:
    return text
"""
COMMANDS = [
    ("runs", "list"),
    ("runs", "show", "r"),
    ("runs", "watch", "r"),
    ("runs", "diff", "r", "s"),
    ("runs", "export", "r", "-o", "r.run"),
    ("runs", "replay", "r", "flow.py"),
    ("runs", "fork", "r", "flow.py"),
    ("runs", "resume", "r"),
    ("runs", "resume", "r", "flow.py"),
    ("runs", "pause", "r"),
    ("runs", "cancel", "r"),
    ("runs", "answer", "r", "verdict=yes"),
    ("runs", "settle", "r", "pay_1", "--did-not-happen"),
    ("runs", "gc", "--days", "1"),
    ("check", "flow.py", "--against-live"),
]


@pytest.mark.parametrize("store", [None, "own.db", "empty.db"])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_store_that_is_not_there_is_said_not_to_be_and_not_made(
    orch: Orch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], store: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow.py").write_text(FLOW)
    (tmp_path / "empty.db").touch()
    ended = orch(*words, *(() if store is None else ("--store", store)))
    assert ended.code == 1
    assert f"error[ORCH-R093]: there is no store of runs at {store or '.orch/runs.db'}" in ended.err
    assert {each.name for each in tmp_path.iterdir()} - {"__pycache__"} == {"flow.py", "empty.db"}
    assert (tmp_path / "empty.db").stat().st_size == 0
