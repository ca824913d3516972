"""Runs in files, and runs that are kept no longer."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.cli.conftest import Orch

FLOW = """
from orchestrator import tool, workflow

@tool(effects="idempotent")
def greet(name: str) -> str:
    return f"hello {name}\\x1b[31m"

@workflow
def greeting(name: str) -> str:
    return greet(name)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a workflow."""
    (tmp_path / "flow.py").write_text(FLOW)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def kept(orch: Orch, folder: Path) -> Path:
    """The same, with the run ``r1`` of it in ``a.db``."""
    assert orch("run", "flow.py", "ann", "--run-id", "r1", "--store", "a.db").code == 0
    return folder


def test_a_run_goes_from_one_store_to_another(orch: Orch, kept: Path) -> None:
    assert orch("runs", "export", "r1", "-o", "r1.run", "--store", "a.db").code == 0
    assert stat.S_IMODE((kept / "r1.run").stat().st_mode) == 0o600
    assert orch("runs", "import", "r1.run", "--store", "b.db").code == 0
    (step,) = json.loads(orch("runs", "show", "r1", "--store", "b.db", "--json").out)["steps"]
    assert (step["name"], step["status"]) == ("greet_1", "done")
    again = orch("runs", "import", "r1.run", "--store", "b.db", "--json")
    assert (again.code, json.loads(again.out)["errors"][0]["code"]) == (1, "ORCH-R029")
    (kept / "r1.run").write_bytes((kept / "r1.run").read_bytes()[:-20])
    assert "ORCH-R096" in orch("runs", "import", "r1.run", "--store", "c.db").err


def test_an_export_that_fails_leaves_no_file(orch: Orch, kept: Path) -> None:
    assert "ORCH-R023" in orch("runs", "export", "none", "-o", "x.run", "--store", "a.db").err
    assert not [each for each in kept.iterdir() if "x.run" in each.name]


@pytest.mark.usefixtures("kept")
def test_an_export_to_a_device_says_that_it_is_full_and_leaves_it_there(orch: Orch) -> None:
    ended = orch("runs", "export", "r1", "-o", "/dev/full", "--store", "a.db")
    assert (ended.code, "/dev/full: No space left on device" in ended.err) == (1, True)
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("days", ["nan", "-1", "x"])
def test_no_number_of_days_is_a_wrong_command(orch: Orch, kept: Path, days: str) -> None:
    ended = orch("runs", "gc", "--days", days, "--store", str(kept / "a.db"))
    assert (ended.code, "ORCH-U002" in ended.err) == (2, True)


def test_runs_are_removed_by_age_and_not_by_default(orch: Orch, kept: Path) -> None:
    assert json.loads(orch("runs", "gc", "--store", "a.db", "--json").out)["runs"] == 0
    assert json.loads(orch("runs", "gc", "--days", "1", "--store", "a.db", "--json").out)["runs"] == 0
    assert json.loads(orch("runs", "gc", "--days", "0", "--store", "a.db", "--json").out)["runs"] == 1
    assert json.loads(orch("runs", "list", "--store", "a.db", "--json").out)["runs"] == []


def test_watching_a_run_that_is_over_says_what_it_did(orch: Orch, kept: Path) -> None:
    ended = orch("runs", "watch", "r1", "--store", "a.db")
    assert (ended.code, "greet_1 · done" in ended.out) == (0, True)


def test_runs_are_listed_page_by_page(orch: Orch, kept: Path) -> None:
    for number in (2, 3):
        orch("run", "flow.py", "ann", "--run-id", f"r{number}", "--store", "a.db")
    found, cursor = [], None
    while True:
        words = [] if cursor is None else ["--before", cursor]
        page = json.loads(orch("runs", "list", "--limit", "2", "--store", "a.db", "--json", *words).out)
        found += [each["run_id"] for each in page["runs"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == ["r3", "r2", "r1"]
    assert orch("runs", "list", "--status", "failed", "--store", "a.db").out == ""
