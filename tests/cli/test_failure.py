"""How failures reach the user."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli.failure import as_orch_error
from orchestrator.cli.streams import UndeliveredError
from tests.cli.conftest import FLOW, Orch


@pytest.mark.parametrize(
    "words",
    [
        ["check", "flow.py"],
        ["check", "flow.py", "--json"],
        ["check", "none.py", "--json"],
        ["compile", "flow.py"],
        ["compile", "flow.py", "--json"],
        ["explain", "flow.py", "--json"],
        ["doctor", "--json"],
    ],
)
def test_a_full_stdout_is_a_sentence_on_stderr(folder: Path, words: list[str]) -> None:
    command = [sys.executable, "-m", "orchestrator.cli.main", *words]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    unknown = "none.py" in words
    assert ended.returncode == (2 if unknown else 1)
    assert ("ORCH-U003" if unknown else "ORCH-U090]: stdout: No space left on device") in ended.stderr
    assert "TMPDIR" not in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["run", "flow.py", "--help"],
        ["check", "flow.py"],
        ["compile", "flow.py", "--json"],
        ["explain", "flow.py", "--engine", "sim"],
        ["plan", "flow.py", "--engine", "sim", "--json"],
        ["plan", "flow.py", "--engine", "sim", "--json", "--out", "plan.json"],
        ["doctor"],
    ],
)
def test_a_stdout_that_nobody_reads_ends_every_command_the_same_way(folder: Path, words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "orchestrator.cli.main", *words]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert ended.returncode == 141
    assert "--out" in words or not ended.stderr
    assert ("--out" in words) == (folder / "plan.json").exists()


def test_a_pipe_of_somebody_elses_is_no_closed_stdout(folder: Path) -> None:
    (folder / "broken.py").write_text(f"{FLOW}\nraise BrokenPipeError(32, 'Broken pipe')")
    command = [sys.executable, "-m", "orchestrator.cli.main", "check", "broken.py"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "ORCH-U006" in ended.stderr


def test_what_fails_after_the_result_adds_no_second_json(orch: Orch, folder: Path) -> None:
    ended = orch("plan", "flow.py", "--engine", "sim", "--json", "--out", "/dev/full")
    assert ended.code == 1
    assert json.loads(ended.out)["errors"][0]["code"] == "ORCH-U090"


@pytest.mark.parametrize(
    ("failure", "fix"),
    [
        (UndeliveredError(errno.ENOSPC, "No space left on device"), "where stdout goes"),
        (UndeliveredError(errno.EFBIG, "File too large"), "where stdout goes"),
        (UndeliveredError(errno.EBADF, "Bad file descriptor"), "leave out the `>&-`"),
        (OSError(errno.ENOSPC, "No space left on device", "/disk/plan.json"), "name a path on another disk"),
        (OSError(errno.ENOSPC, "No space left on device"), "TMPDIR"),
    ],
)
def test_the_advice_is_about_the_place_that_is_full(failure: OSError, fix: str) -> None:
    assert fix in str(as_orch_error(failure).diagnostics[0].fix)
