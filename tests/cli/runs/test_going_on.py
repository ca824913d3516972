"""Runs that are killed, in processes of their own, and go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

FLOW = '''
import time
from pathlib import Path
from orchestrator import tool, workflow

@tool(effects="idempotent")
def step(number: int, text: str) -> str:
    """Appends a line, and on its second call waits until somebody lets it go on."""
    with Path("log.txt").open("a") as log:
        log.write(f"{number}\\n")
    while number == 2 and not Path("mended").exists():
        time.sleep(0.05)
    return f"{text}{number}"

@workflow
def chain(text: str) -> str:
    return step(3, step(2, step(1, text)))
'''
COMMAND = (sys.executable, "-m", "orchestrator.cli.main")
ENV = {**os.environ, "ORCH_LEARNED": "off", "ORCH_CALIBRATION": "off"}


def orch(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The real command, to its end."""
    return subprocess.run(
        [*COMMAND, *words], cwd=folder, env=ENV, capture_output=True, text=True, timeout=200, check=False
    )


def killed(folder: Path, *words: str, until: str) -> None:
    """Start the command, and kill it with a signal that nobody can handle once the log has a line."""
    with subprocess.Popen([*COMMAND, *words], cwd=folder, env=ENV, stderr=subprocess.DEVNULL) as process:
        log, patience = folder / "log.txt", time.monotonic() + 200
        while not log.exists() or until not in log.read_text().split():
            assert process.poll() is None and time.monotonic() < patience
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)


def test_a_run_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    killed(tmp_path, "run", "flow.py", "a", "--run-id", "r1", until="2")
    shown = json.loads(orch(tmp_path, "runs", "show", "r1", "--json").stdout)
    assert [(each["name"], each["status"]) for each in shown["steps"]] == [("step_1", "done"), ("step_2", "running")]
    (tmp_path / "mended").touch()
    ended = orch(tmp_path, "runs", "resume", "r1", "flow.py")
    assert (ended.returncode, ended.stdout) == (0, "a123\n"), ended.stderr
    assert (tmp_path / "log.txt").read_text().split() == ["1", "2", "2", "3"]
    (head,) = json.loads(orch(tmp_path, "runs", "list", "--json").stdout)["runs"]
    assert (head["run_id"], head["workflow"], head["status"]) == ("r1", "chain", "done")
    text = orch(tmp_path, "runs", "show", "r1").stdout
    assert "gone on with 1 times" in text
    assert "step_3 · done · thread" in text
    again = orch(tmp_path, "runs", "resume", "r1", "flow.py", "--json")
    assert json.loads(again.stdout)["value"] == "a123"
    assert (tmp_path / "log.txt").read_text().split() == ["1", "2", "2", "3"]


def test_what_is_wrong_with_a_command_is_a_coded_error(tmp_path: Path) -> None:
    for words, code in ((("show", "none"), "ORCH-R023"), (("shw",), "ORCH-U001"), (("settle", "r", "op"), "ORCH-U002")):
        ended = orch(tmp_path, "runs", *words)
        assert code in ended.stderr
        assert ended.returncode == (1 if code == "ORCH-R023" else 2)
