"""Runs that are killed, in processes of their own, and go on."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

FLOW = '''
import time
from pathlib import Path
from orchestrator import ask, tool, workflow

@tool(effects="idempotent")
def step(number: int, text: str) -> str:
    """Appends a line, and on its second call waits until somebody lets it go on."""
    with Path("log.txt").open("a") as log:
        log.write(f"{number}\\n")
    while number == 2 and not Path("mended").exists():
        time.sleep(0.05)
    return f"{text}{number}"

@tool(effects="once")
def send(number: int) -> int:
    with Path("log.txt").open("a") as log:
        log.write("sent\\n")
    while not Path("mended").exists():
        time.sleep(0.05)
    return number

@workflow
def pay(number: int) -> int:
    return send(number)

@workflow
def approve(amount: int) -> str:
    return ask(f"Pay {amount}?", choices=["yes", "no"], name="verdict")

@workflow
def chain(text: str) -> str:
    return step(3, step(2, step(1, text)))
'''
WRITES = """
from orchestrator import tool, workflow

@tool(effects="idempotent")
def save(text: str) -> str:
    return f"saved {text}"

@tool(effects="reads")
def end(text: str) -> str:
    if BROKEN:
        raise OSError("not yet")
    return f"{text}."

@workflow
def flow(text: str) -> str:
    return end(save(f"{text}"))
"""
COMMAND = (sys.executable, "-m", "orchestrator.cli.main")
ENV = {**os.environ, "ORCH_LEARNED": "off", "ORCH_CALIBRATION": "off"}


def orch(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The real command, to its end."""
    return subprocess.run(
        [*COMMAND, *words],
        cwd=folder,
        env=ENV,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def printed(ended: subprocess.CompletedProcess[str]) -> list[list[str]]:
    """The commands that it says to paste, without `orch`."""
    return [shlex.split(each) for each in re.findall(r": orch (runs .*)$", ended.stderr, re.MULTILINE)]


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
    killed(tmp_path, "run", "flow.py:chain", "a", "--run-id", "r1", until="2")
    shown = json.loads(orch(tmp_path, "runs", "show", "r1", "--json").stdout)
    first, *under_way = [(each["name"], each["status"]) for each in shown["steps"]]
    assert first == ("step_1", "done")
    assert under_way in ([], [("step_2", "running")])  # it is there when it has gone on for a while
    (tmp_path / "mended").touch()
    ended = orch(tmp_path, "runs", "resume", "r1", "flow.py:chain")
    assert (ended.returncode, ended.stdout) == (0, "a123\n"), ended.stderr
    assert (tmp_path / "log.txt").read_text().split() == ["1", "2", "2", "3"]
    (head,) = json.loads(orch(tmp_path, "runs", "list", "--json").stdout)["runs"]
    assert (head["run_id"], head["workflow"], head["status"]) == ("r1", "chain", "done")
    text = orch(tmp_path, "runs", "show", "r1").stdout
    assert "gone on with 1 time;" in text
    assert "step_3 · done · thread" in text
    again = orch(tmp_path, "runs", "resume", "r1", "flow.py:chain", "--json")
    assert json.loads(again.stdout)["value"] == "a123"
    assert (tmp_path / "log.txt").read_text().split() == ["1", "2", "2", "3"]


def test_a_once_tool_that_was_killed_is_not_started_again_before_somebody_says_what_happened(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    killed(tmp_path, "run", "flow.py:pay", "-i", "number=5", "--run-id", "r1", until="sent")
    (tmp_path / "mended").touch()
    ended = orch(tmp_path, "runs", "resume", "r1", "flow.py:pay")
    assert ended.returncode == 1
    assert "ORCH-R020" in ended.stderr
    settle, resume = printed(ended)
    assert settle == ["runs", "settle", "r1", "send_1", "--did-not-happen"]
    assert orch(tmp_path, *settle[:-1], "--result", "7").returncode == 0
    ended = orch(tmp_path, *resume)
    assert (ended.returncode, ended.stdout) == (0, "7\n"), ended.stderr
    assert (tmp_path / "log.txt").read_text().split() == ["sent"]


def test_a_question_that_nobody_is_there_to_answer_is_answered_by_another_process(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    ended = orch(tmp_path, "run", "flow.py:approve", "-i", "amount=5", "--run-id", "r 1", "--store", "own runs.db")
    assert ended.returncode == 3
    answer, resume = printed(ended)
    assert resume == ["runs", "resume", "r 1", "flow.py:approve", "--store", "own runs.db"]
    (step,) = json.loads(orch(tmp_path, "runs", "show", "r 1", "--json", *resume[-2:]).stdout)["steps"]
    assert (step["name"], step["waits_for"], step["said"]) == ("verdict", "a person", "Pay 5?")
    assert "ORCH-R031" in orch(tmp_path, *[each.replace("VALUE", "maybe") for each in answer]).stderr
    assert orch(tmp_path, *[each.replace("VALUE", "yes") for each in answer]).returncode == 0
    assert orch(tmp_path, *resume).stdout == "yes\n"


def test_the_commands_that_decide_about_a_write_are_printed_whole(tmp_path: Path) -> None:
    flow = tmp_path / "flow.py"
    flow.write_text(WRITES.replace("BROKEN", "True"))
    assert orch(tmp_path, "run", "flow.py", "-i", "text=a", "--run-id", "r1", "--store", "own.db").returncode == 1
    flow.write_text(WRITES.replace("BROKEN", "False").replace('save(f"{text}")', 'save(f"{text}!")'))
    ended = orch(tmp_path, "runs", "resume", "r1", "flow.py", "--store", "own.db")
    assert "ORCH-R104" in ended.stderr
    keep, again, _ = printed(ended)
    assert again == ["runs", "resume", "r1", "flow.py", "--again", "save_1", "--store", "own.db"]
    assert orch(tmp_path, *keep).stdout == "saved a.\n"


def test_what_is_wrong_with_a_command_is_a_coded_error(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    assert orch(tmp_path, "run", "flow.py:approve", "-i", "amount=3", "--run-id", "r").returncode == 3
    for words, code in ((("show", "none"), "ORCH-R023"), (("shw",), "ORCH-U001"), (("settle", "r", "op"), "ORCH-U002")):
        ended = orch(tmp_path, "runs", *words)
        assert code in ended.stderr
        assert ended.returncode == (1 if code == "ORCH-R023" else 2)


def test_a_run_goes_on_with_its_own_workflow_only(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    assert orch(tmp_path, "run", "flow.py:approve", "-i", "amount=3", "--run-id", "r").returncode == 3
    ended = orch(tmp_path, "runs", "resume", "r", "flow.py:pay")
    assert ended.returncode == 1
    assert "error[ORCH-R021]: run r is one of `approve`, and not of `pay`" in ended.stderr
    assert not (tmp_path / "log.txt").exists()
    assert "waiting" in orch(tmp_path, "runs", "list").stdout


def test_a_run_that_somebody_cancelled_is_not_said_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    assert orch(tmp_path, "run", "flow.py:approve", "-i", "amount=3", "--run-id", "r").returncode == 3
    assert orch(tmp_path, "runs", "cancel", "r", "--by", "Ada").returncode == 0
    resume = ("runs", "resume", "r", "flow.py:approve")
    for words, code in ((resume, "ORCH-R024"), (resume, "ORCH-R033"), (resume[:3], "ORCH-R033")):
        ended = orch(tmp_path, *words)
        assert (ended.returncode, code in ended.stderr) == (1, True)
        assert "cancelled by Ada, 20" in ended.stderr
        assert "go on with it" not in ended.stderr


def test_a_run_that_somebody_cancelled_does_not_go_on_under_its_key(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    words = ["run", "flow.py:approve", "-i", "amount=3", "--key", "k"]
    run_id = json.loads(orch(tmp_path, *words, "--json").stdout)["run_id"]
    assert orch(tmp_path, "runs", "cancel", run_id, "--by", "Ada").returncode == 0
    for code in ("ORCH-R024", "ORCH-R033"):
        ended = orch(tmp_path, *words)
        assert (ended.returncode, code in ended.stderr) == (1, True)
        assert "goes on with the rest" not in ended.stderr
    assert "ORCH-R033" in orch(tmp_path, *words, "--detach").stderr
    assert orch(tmp_path, *words[:-1], "another").returncode == 3


def test_ctrl_c_leaves_a_run_that_the_command_it_prints_goes_on_with(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    command = [*COMMAND, "run", "flow.py:chain", "a", "--run-id", "r"]
    with subprocess.Popen(command, cwd=tmp_path, env=ENV, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "log.txt").exists() or (tmp_path / "log.txt").read_text().split() != ["1", "2"]:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        (tmp_path / "mended").touch()
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 130
    (listed,) = json.loads(orch(tmp_path, "runs", "list", "--json").stdout)["runs"]
    assert (listed["status"], listed["why"]) == ("failed", "ORCH-R035: the run was interrupted")
    (again,) = re.findall("go on with it: orch (.*)", said)
    assert orch(tmp_path, *shlex.split(again)).stdout == "a123\n"
    assert (tmp_path / "log.txt").read_text().split() == ["1", "2", "2", "3"]
