"""No name, text or cell that somebody else wrote commands the terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

EVIL = "ev\x1b]52;c;aGk=\x07\x9b2Jil\x7f"
"""Writes to the clipboard, and clears the screen, of a terminal that obeys it."""
FLOW = f"""
import logging
from orchestrator import ask, tool, workflow

@tool(effects="idempotent")
def fails(text: str) -> str:
    raise ValueError({EVIL!r})

@tool(effects="idempotent")
def logs(text: str) -> str:
    logging.getLogger("mine").warning("seen: %s", {EVIL!r})
    return {EVIL!r}

@workflow
def failing(text: str) -> str:
    return fails(text)

@workflow
def logging_(text: str) -> str:
    return logs(text)

@workflow
def asking(text: str) -> str:
    return ask("go?", choices=[{EVIL!r}, "no"])

@workflow
def wrong(text: str) -> str:
    return text + {EVIL!r}.nothing
"""
APP = f"""
from rich.table import Table
from rich.text import Text
from orchestrator.cli.app import App, Case, Job, Report
from flow import logging_

def report(job, outcomes, facts):
    table = Table(title={EVIL!r})
    table.add_column({EVIL!r})
    table.add_row(Text(outcomes[0].result.value, style="bold"))
    return Report({{}}, table)

def prepare(options, words):
    return Job([Case({EVIL!r}, {{"text": "a"}})], notes=[{EVIL!r}])

app = App(workflow=logging_, prepare=prepare, report=report)
"""


def at_a_terminal(folder: Path, *words: str) -> str:
    """Everything that a command writes to one."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "orchestrator.cli.main", *words]
    env = {**os.environ, "TERM": "xterm", "ORCH_LEARNED": "off", "ORCH_CALIBRATION": "off"}
    with subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # how Linux says that it is over
            while part := os.read(ours, 65536):
                seen += part
                if seen.endswith(b"> ") and "flow.py:asking" in words:
                    process.terminate()  # it asks, and nobody answers
        os.close(ours)
    return seen.decode()


@pytest.mark.parametrize(
    "words",
    [
        ["run", f"{EVIL}.py", "a"],
        ["check", f"{EVIL}/none.py"],
        ["explain", f"{EVIL}.py:failing"],
        ["plan", f"{EVIL}.py:failing", "--out", f"{EVIL}.json"],
        ["run", "flow.py:failing", "a"],
        ["run", "flow.py:failing", "a", "--debug"],
        ["run", "flow.py:logging_", "a"],
        ["run", "flow.py:logging_", "a", "--json"],
        ["run", "flow.py:logging_", "--inputs", f"{EVIL}.jsonl"],
        ["run", "flow.py:logging_", "--input", f"{EVIL}=3"],
        ["run", "flow.py:asking", "a"],
        ["run", "flow.py:asking", "a", "--answer", f"{EVIL}=3"],
        ["run", "own"],
        ["run", "flow.py:failing", f"--{EVIL}"],
        [EVIL],
    ],
    ids=str,
)
def test_a_terminal_shows_them_and_does_not_obey(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "flow.py").write_text(FLOW, encoding="utf-8")
    (tmp_path / f"{EVIL}.py").write_text(FLOW, encoding="utf-8")
    (tmp_path / f"{EVIL}.jsonl").write_text('{"text": "a"}\n{"text": 3}\n{"no": 1}\n', encoding="utf-8")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "app.py").write_text(APP, encoding="utf-8")
    seen = at_a_terminal(tmp_path, *words)
    assert seen.strip()
    ours = re.sub(r"\x1b\[[0-9;?]*[mlhKAG]", "", seen)  # colours, and the live display
    assert not re.findall(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", ours), seen


def test_a_file_gets_every_character(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW, encoding="utf-8")
    command = [sys.executable, "-m", "orchestrator.cli.main", "run", "flow.py:logging_", "a"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, text=True, encoding="utf-8")
    assert ran.stdout == EVIL + "\n"
