"""A result that was paid for arrives, or is saved and the user told where."""

from __future__ import annotations

import errno
import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from io import FileIO
from pathlib import Path

import pytest

from orchestrator.cli import output, saving
from orchestrator.runtime.engines.base import Usage
from tests.cli.conftest import Orch

GIVES = """
import math, os, subprocess
from typing import Any
from orchestrator import tool, workflow

@tool(effects="idempotent")
def make(kind: str) -> Any:
    if kind == "chatty":
        print("a tool prints")
        os.write(1, b"and so does a library\\n")
        subprocess.run(["echo", "and a program"])
    deep = []
    for _ in range(2_000):
        deep = [deep]
    kinds = {"nan": [math.nan], "bytes": b"\\xff", "deep": deep, "emoji": {"face": "\\U0001f600 é"}, "digits": 7**6000}
    return kinds.get(kind, kind)

@workflow
def give(kind: str) -> Any:
    return make(kind)
"""
COMMAND = [sys.executable, "-m", "orchestrator.cli.main", "run", "gives.py"]


@pytest.fixture
def gives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a workflow that gives what it is asked for, and a place of its own for results."""
    (folder / "gives.py").write_text(GIVES)
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "data"))
    return folder


def saved(folder: Path) -> list[object]:
    """What was saved there."""
    return [json.loads(path.read_text()) for path in (folder / "data" / "orchestrator" / "results").glob("*.json")]


@pytest.mark.parametrize("kind", ["nan", "bytes", "deep", "digits", "emoji"])
def test_what_json_has_no_form_for_is_shown_with_a_note(orch: Orch, gives: Path, kind: str) -> None:
    ended = orch("run", "gives.py", kind)
    assert ended.code == 0
    assert ended.out.strip()
    assert ("note: " in ended.err) == (kind != "emoji")
    data = json.loads(orch("run", "gives.py", kind, "--json").out, parse_constant=pytest.fail)
    assert data["ok"] is True
    assert data["value"] not in (None, [])


def test_many_results_are_a_line_of_json_each(orch: Orch, gives: Path) -> None:
    (gives / "in.jsonl").write_text("".join(json.dumps({"kind": kind}) + "\n" for kind in ("nan", "bytes", "plain")))
    ended = orch("run", "gives.py", "--inputs", "in.jsonl")
    assert [json.loads(line) for line in ended.out.splitlines()] == [[None], "/w==", "plain"]


def test_with_json_nothing_else_reaches_stdout(gives: Path) -> None:
    ended = subprocess.run([*COMMAND, "chatty", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout)["value"] == "chatty"
    for said in ("a tool prints", "and so does a library", "and a program"):
        assert said in ended.stderr


def test_an_encoding_without_the_characters_gets_escapes(gives: Path) -> None:
    latin = {**os.environ, "PYTHONIOENCODING": "ascii"}
    shown = subprocess.run([*COMMAND, "emoji"], capture_output=True, env=latin, check=True)
    assert b"\\U0001f600" in shown.stdout
    shown = subprocess.run([*COMMAND, "emoji", "--json"], capture_output=True, env=latin, check=True)
    assert json.loads(shown.stdout)["value"] == {"face": "😀 é"}


def test_a_terminal_is_not_commanded_by_a_result_and_a_file_gets_it_as_it_is(gives: Path) -> None:
    """Text of a model's may hold what moves the cursor, sets the title or writes to the clipboard."""
    hostile = "one\x1b]52;c;aGk=\x07 \x1b[31m\x9b2J\ttwo"
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        ran = subprocess.run([*COMMAND, hostile], stdout=theirs, stderr=subprocess.PIPE, check=True)
        os.close(theirs)
        assert b"one]52;c;aGk= [31m2J" in read_all(terminal), ran.stderr
    written = subprocess.run([*COMMAND, hostile], stdout=subprocess.PIPE, check=True).stdout
    assert written.decode() == hostile + "\n"


def read_all(terminal: FileIO) -> bytes:
    """What was written to a terminal that nobody has open any more."""
    found = b""
    with suppress(OSError):  # how Linux says that it is over
        while part := terminal.read(4096):
            found += part
    return found


@pytest.mark.parametrize("option", [[], ["--json"]])
@pytest.mark.parametrize("where", ["full", "closed", "pipe"])
def test_a_result_that_stdout_does_not_take_is_saved(gives: Path, where: str, option: list[str]) -> None:
    words = [*COMMAND, "precious", *option]
    if where == "closed":
        ended = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *words], stderr=subprocess.PIPE, text=True, check=False)
    elif where == "full":
        with Path("/dev/full").open("w") as full:
            ended = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    else:
        reader, writer = os.pipe()
        os.close(reader)
        ended = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
        os.close(writer)
    assert ended.returncode == (141 if where == "pipe" else 1)
    assert "ORCH-U092" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    [data] = saved(gives)
    assert data["value"] == "precious"  # type: ignore[index]
    assert str(gives / "data") in ended.stderr


@pytest.mark.parametrize("redirect", ["2>&-", "2>/dev/full", "<&- 2>&-"])
def test_a_stderr_that_takes_nothing_stops_nothing(gives: Path, redirect: str) -> None:
    ended = subprocess.run(
        ["sh", "-c", f'"$@" {redirect}', "sh", *COMMAND, "fine"], stdout=subprocess.PIPE, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "fine\n")


def test_a_record_that_cannot_be_written_is_refused_before_the_run(orch: Orch, gives: Path) -> None:
    for where in (gives / "none" / "record.json", gives):
        ended = orch("run", "gives.py", "chatty", "--record", str(where))
        assert (ended.code, ended.out) == (1, "")
        assert f"ORCH-U090]: --record {where} " in ended.err
        assert "a tool prints" not in ended.err


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_record_that_fails_after_the_run_costs_no_result(orch: Orch, gives: Path, option: list[str]) -> None:
    ended = orch("run", "gives.py", "fine", "--record", "/dev/full", *option)
    assert ended.code == 1
    assert "ORCH-U090]: /dev/full: No space left on device" in ended.err
    assert (json.loads(ended.out)["value"] if option else ended.out.strip()) == "fine"


def test_a_calibration_that_cannot_be_read_costs_no_result(
    orch: Orch, gives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCH_CALIBRATION", str(gives))
    ended = orch("run", "gives.py", "fine", "--record", "record.json")
    assert (ended.code, ended.out) == (1, "fine\n")
    assert "ORCH-P001" in ended.err
    assert "ORCH-U092" not in ended.err


def test_a_record_is_kept_of_a_result_that_nobody_took(gives: Path) -> None:
    with Path("/dev/full").open("w") as full:
        subprocess.run([*COMMAND, "fine", "--record", "record.json"], stdout=full, capture_output=False, check=False)
    assert json.loads((gives / "record.json").read_text())["runs"]


def test_a_report_that_fails_loses_no_result(orch: Orch, gives: Path) -> None:
    (gives / "own").mkdir()
    (gives / "own" / "app.py").write_text(
        "from orchestrator.cli.app import App, Case, Job\nfrom gives import give\n"
        "app = App(workflow=give, prepare=lambda options, words: Job([Case('a', {'kind': 'precious'})]),\n"
        "          report=lambda job, outcomes, facts: 1 / 0)\n"
    )
    ended = orch("run", "own")
    assert ended.code == 1
    assert "ORCH-U092" in ended.err
    assert "ZeroDivisionError" in ended.err
    [data] = saved(gives)
    assert data["value"] == "precious"  # type: ignore[index]


def test_where_no_folder_takes_it_the_result_goes_to_stderr(
    orch: Orch, gives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(output, "deliver", full)
    monkeypatch.setattr(saving.tempfile, "mkstemp", full)
    ended = orch("run", "gives.py", "precious")
    assert ended.code == 1
    assert "ORCH-U092" in ended.err
    assert "precious" in ended.err


def test_usage_that_was_counted_here_is_called_an_estimate() -> None:
    assert output.usage_text(Usage(1200, 0, 50)) == "1,200 tokens in (0 cached), 50 out"
    assert "estimated" in output.usage_text(Usage(1200, None, 50) + Usage(7, None, 2, estimated=True))
    assert output.usage_data(Usage(7, None, 2, estimated=True))["estimated"] is True
