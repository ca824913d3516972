"""Results have stdout to themselves, whatever the user's code and foreign libraries print."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli.group import cli
from orchestrator.cli.streams import deliver, only_results
from tests.cli.conftest import FLOW

NOISE = """
import atexit, ctypes, logging, os, subprocess, sys, threading

def shout(when):
    print(f"Python {when}")
    sys.stdout.write(f"stream {when}")
    os.write(1, f"raw {when}".encode())
    ctypes.CDLL(None).printf(b"C, in a buffer\\n")
    ctypes.CDLL(None).puts(b"C")
    subprocess.run(["echo", "child"])
    thread = threading.Thread(target=print, args=("thread",))
    thread.start()
    thread.join()
    logging.basicConfig(stream=sys.stdout)
    logging.warning("log")

shout("at import")
atexit.register(shout, "at the end")
"""
TOOL = '''
from orchestrator import tool, workflow

@tool(effects="pure")
def loud(text: str) -> str:
    """Prints."""
    shout("in a tool")
    return text.upper()

@workflow
def upper(text: str) -> str:
    """Upper case."""
    return loud(text)
'''


LAST_WORDS = """
import os
from orchestrator import tool, workflow

@tool(effects="pure")
def last(text: str) -> str:
    print(text)
    os._exit(7)

@workflow
def flow(text: str) -> str:
    return last(text)
"""


def test_what_a_tool_prints_is_there_at_once(folder: Path) -> None:
    (folder / "flow.py").write_text(LAST_WORDS)
    ended = orch("run", "flow.py", "farewell")
    assert ended.returncode == 7
    assert "farewell" in ended.stderr


@pytest.fixture
def loud(folder: Path) -> Path:
    (folder / "noisy.py").write_text(NOISE + FLOW)
    (folder / "louder.py").write_text(NOISE + TOOL)
    return folder


def orch(*words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orchestrator.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, input=stdin)


@pytest.mark.parametrize(
    "words",
    [
        ["check", "noisy.py"],
        ["compile", "noisy.py"],
        ["explain", "noisy.py", "--engine", "sim"],
        ["plan", "noisy.py", "--engine", "sim"],
        ["run", "louder.py", "word"],
        ["check", "none.py"],
        ["run", "louder.py", "--nothing"],
    ],
)
def test_foreign_prints_never_end_in_the_json(loud: Path, words: list[str]) -> None:
    done = orch(*words, "--json")
    assert "ok" in json.loads(done.stdout) or "ops" in json.loads(done.stdout)
    if "none.py" not in words:
        for each in ("Python at import", "raw at import", "C, in a buffer", "child", "thread", "log", "at the end"):
            assert each in done.stderr


def test_what_a_tool_prints_is_no_result(loud: Path) -> None:
    done = orch("run", "louder.py", "word")
    assert done.stdout == "WORD\n"
    assert "Python in a tool" in done.stderr


def test_a_plan_by_the_solver_is_json(loud: Path) -> None:
    (loud / "shop.toml").write_text(
        '[[device]]\nname = "a100"\ntype = "a100-sxm-80gb"\ncount = 2\n\n'
        '[[engine]]\nname = "main"\nkind = "vllm"\nmodel = "meta-llama/Llama-3.1-8B"\n'
    )
    done = orch("plan", "noisy.py", "--cluster", "shop.toml", "--json")
    assert json.loads(done.stdout)["sites"], done.stderr


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["plan", "--help"], ["run", "louder.py", "--help"], []])
def test_help_is_a_result(loud: Path, words: list[str]) -> None:
    done = orch(*words)
    assert done.returncode == 0
    assert "orch" in done.stdout
    assert "orch" not in done.stderr


def test_a_command_in_a_program_of_someone_elses_writes_to_the_stdout_it_finds() -> None:
    with contextlib.redirect_stdout(io.StringIO()) as into, pytest.raises(SystemExit):
        cli.main(["--version"])
    assert into.getvalue().startswith("orch ")


def test_stdout_is_given_back(capfd: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout
    with only_results():
        print("theirs")
        deliver("ours")
    print("after")
    assert sys.stdout is before
    assert capfd.readouterr() == ("ours\nafter\n", "theirs\n")


def test_completion_is_a_result(loud: Path) -> None:
    asked = {"_ORCH_COMPLETE": "bash_complete", "COMP_WORDS": "orch ch", "COMP_CWORD": "1"}
    command = [sys.executable, "-m", "orchestrator.cli.main"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | asked)
    assert (done.stdout, done.stderr) == ("plain,check\n", "")
