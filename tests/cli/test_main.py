"""The entry point: finding commands, exit codes, and failures as sentences."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import __version__
from orchestrator.cli import check
from orchestrator.cli.codes import CODES
from orchestrator.cli.group import COMMANDS
from tests.cli.conftest import Orch


def test_no_command_shows_help_and_where_to_start(orch: Orch) -> None:
    ended = orch()
    assert ended.code == 0
    assert all(name in ended.out for name in COMMANDS)
    assert "orch doctor" in ended.out


def test_the_version(orch: Orch) -> None:
    assert orch("--version").out == f"orch {__version__}\n"


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_command_has_help_with_an_example_and_both_flags(orch: Orch, command: str) -> None:
    shown = orch(command, "--help").out
    assert "Example" in shown or "Exit status" in shown
    assert "--json" in shown
    assert "--debug" in shown


def test_an_unknown_command_is_answered_with_the_nearest(orch: Orch) -> None:
    ended = orch("chek", "flow.py")
    assert (ended.code, "ORCH-U001" in ended.err, "did you mean `orch check`?" in ended.err) == (2, True, True)
    assert "the commands are" in orch("xyzzy").err


def test_an_unknown_option_names_the_help(orch: Orch) -> None:
    ended = orch("check", "flow.py", "--frobnicate")
    assert ended.code == 2
    assert "ORCH-U002" in ended.err
    assert "orch check --help" in ended.err


def test_a_missing_target_is_a_usage_error(orch: Orch) -> None:
    ended = orch("check")
    assert (ended.code, "ORCH-U002" in ended.err, "Traceback" in ended.err) == (2, True, False)


@pytest.mark.parametrize(("raised", "code"), [(MemoryError(), "ORCH-U091"), (KeyError("x"), "ORCH-U099")])
def test_an_unexpected_failure_is_one_sentence_unless_debugging(
    orch: Orch, folder: Path, monkeypatch: pytest.MonkeyPatch, raised: BaseException, code: str
) -> None:
    def fail(workflow: object) -> None:
        raise raised

    monkeypatch.setattr(check, "summary", fail)
    ended = orch("check", "flow.py")
    assert (ended.code, code in ended.err, "Traceback" in ended.err) == (1, True, False)
    assert "Traceback" in orch("check", "flow.py", "--debug").err
    data = json.loads(orch("check", "flow.py", "--json").out)
    assert data["errors"][0]["code"] == code


def test_ctrl_c_ends_with_130_and_no_traceback(folder: Path) -> None:
    (folder / "slow.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    command = [sys.executable, "-m", "orchestrator.cli.main", "check", "slow.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "importing\n"
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from orchestrator.cli.group import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'ray', 'torch', 'vllm', 'torch_mlir', 'rich', 'pydantic'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"


def test_every_code_is_used() -> None:
    folder = Path(check.__file__).parent
    source = "".join(file.read_text() for file in folder.glob("*.py") if file.name != "codes.py")
    assert [code for code in CODES if code not in source] == []


def test_a_missing_target_is_answered_with_a_workflow_that_is_here(orch: Orch, folder: Path) -> None:
    for command in ("run", "check", "compile", "explain", "plan"):
        ended = orch(command)
        assert ended.code == 2
        assert f"`orch {command} flow.py`" in ended.err
    for file in folder.glob("*.py"):
        file.unlink()
    assert "`orch run flow.py:answer`" in orch("run").err


def test_no_colour_where_nobody_wants_it(orch: Orch, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("click.utils.should_strip_ansi", lambda stream=None, color=None: color is False)
    assert "\x1b[" in orch("check", "flow.py").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in orch("check", "flow.py").out
    assert "\x1b[" not in orch("check").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["compile", "flow.py", "-o", "none/x.mlir"], "there is no folder none"),
        (["plan", "flow.py", "--engine", "sim", "--out", "."], "is a folder"),
    ],
)
def test_what_cannot_be_written_is_told_before_anything_is_done(
    orch: Orch, folder: Path, words: list[str], said: str
) -> None:
    ended = orch(*words)
    assert (ended.code, ended.out) == (1, "")
    assert "ORCH-U090" in ended.err
    assert said in ended.err
    assert "starting" not in ended.err


def test_a_file_that_is_not_there_comes_with_the_one_that_was_meant(orch: Orch, folder: Path) -> None:
    (folder / "cluster.toml").write_text("")
    ended = orch("explain", "flow.py", "--cluster", "clustr.toml")
    assert "ORCH-P001" in ended.err
    assert "did you mean `cluster.toml`?" in ended.err


def test_formats_that_contradict_each_other_are_refused(orch: Orch, folder: Path) -> None:
    ended = orch("explain", "flow.py", "--engine", "sim", "--format", "dot", "--json")
    assert (ended.code, "contradict" in ended.err) == (2, True)
