"""How failures reach the user."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


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
    assert ("ORCH-U003" if unknown else "ORCH-U090") in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
