"""``make demo``: the demonstration that is killed and goes on, on the simulator."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def demonstrated(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The script, with its runs and its database in ``folder``."""
    env = {
        **os.environ,
        "ORCH_STORE": str(folder / "runs.db"),
        "ORCH_LEARNED": "off",
        "XDG_DATA_HOME": str(folder / "data"),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "examples.text2sql.killed", "--engine", "sim", *options]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.slow
def test_it_is_killed_with_questions_open_and_makes_no_paid_call_again(tmp_path: Path) -> None:
    ended = demonstrated(tmp_path, "--limit", "12")
    assert ended.returncode == 0, ended.stderr
    killed = re.search(r"kill -9: (\d+) questions are answered, (\d+) model calls paid for", ended.stderr)
    assert killed is not None
    assert 6 <= int(killed[1]) < 12
    told = re.search(r"(\d+) model calls, (\d+) of them before the kill: 0 of those were made again", ended.stderr)
    assert told is not None
    assert int(told[1]) > int(told[2]) == int(killed[2]) > 0
    assert "The kill cost" in ended.stderr
    assert "of 12 equal the reference answers" in ended.stdout


@pytest.mark.slow
def test_where_it_was_over_first_nothing_is_claimed(tmp_path: Path) -> None:
    ended = demonstrated(tmp_path, "--limit", "1")
    assert (ended.returncode, "It was over before" in ended.stderr) == (0, True)
    assert "made again" not in ended.stderr
