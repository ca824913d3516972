"""What stands beside a workflow's file: its own helpers, and files whose names somebody else needs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli import shadowing
from orchestrator.cli.target import load_target
from orchestrator.errors import OrchError
from orchestrator.shadows import shadows
from tests.cli.conftest import Orch

FLOW = """
from orchestrator import tool, workflow

@tool(effects="idempotent")
def shout(text: str) -> str:
    return text.upper()

@workflow
def answer(text: str) -> str:
    return shout(text)
"""
ORCH = Path(sys.executable).with_name("orch")


@pytest.fixture(autouse=True)
def no_shadows(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folder of the test is the only one that anything was loaded from."""
    (folder / "flow.py").write_text(FLOW)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(shadowing, "_installed", shadowing._Installed())
    yield


@pytest.mark.parametrize("name", ["queue", "secrets", "json", "types", "random", "select", "openai", "click", "httpx"])
def test_a_file_with_a_needed_name_is_in_nobodys_way_and_is_named(folder: Path, name: str) -> None:
    (folder / f"{name}.py").write_text("raise RuntimeError('this is not the module you want')\n")
    words = [str(ORCH), "run", "flow.py", "hi", "--base-url", "http://127.0.0.1:9/v1", "--model", "m"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "HI\n"), ended.stderr
    assert f"{name}.py" in ended.stderr
    assert "rename" in ended.stderr


def test_a_package_with_a_needed_name_is_named_too(orch: Orch, folder: Path) -> None:
    (folder / "email").mkdir()
    (folder / "email" / "__init__.py").write_text("MINE = 1\n")
    ended = orch("check", "flow.py")
    assert ended.code == 0
    assert str(folder / "email") in ended.err


@pytest.mark.parametrize("statement", ["from statistics import my_mean", "import statistics\nstatistics.my_mean"])
def test_an_import_that_wanted_the_file_says_what_to_rename(folder: Path, statement: str) -> None:
    (folder / "statistics.py").write_text("def my_mean(): ...\n")
    (folder / "flow.py").write_text(f"{statement}\n{FLOW}")
    with pytest.raises(OrchError) as caught:
        load_target("flow.py")
    (problem,) = caught.value.diagnostics
    assert problem.code == "ORCH-U006"
    assert "statistics.py" in (problem.why or "")
    assert "rename statistics.py" in (problem.fix or "")


@pytest.mark.parametrize("name", ["helpers", "agents", "planner", "test", "utils"])
def test_a_helper_with_any_other_name_is_the_users(
    orch: Orch, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, name, raising=False)  # pytest gives tests/planner that name
    (folder / f"{name}.py").write_text("MINE = 1\n")
    (folder / "flow.py").write_text(f"from {name} import MINE\n{FLOW}")
    ended = orch("check", "flow.py")
    assert (ended.code, ended.err) == (0, "")


def test_a_target_that_has_a_needed_name_itself_is_not_complained_about(orch: Orch, folder: Path) -> None:
    (folder / "types.py").write_text(FLOW)
    ended = orch("check", "types.py")
    assert (ended.code, ended.err) == (0, "")


def test_two_folders_each_have_their_own_helper(folder: Path) -> None:
    for name in ("left", "right"):
        (folder / name).mkdir()
        (folder / name / "helper.py").write_text(f"NAME = {name!r}\n")
        text = FLOW.replace("def answer", "def {}").format(name)
        (folder / name / "flow.py").write_text(f"import helper\nassert helper.NAME == {name!r}\n{text}")
    assert load_target("left/flow.py").workflow.name == "left"
    assert load_target("right/flow.py").workflow.name == "right"
    assert load_target("left/flow.py").workflow.name == "left"


@pytest.mark.parametrize(
    "name",
    ["my-flow.py", "my flow.py", "flöw.py", "2024.flow.py", "workflow", ".ipynb_checkpoints/flow-checkpoint.py"],
)
def test_any_file_name_will_do(folder: Path, name: str) -> None:
    (folder / "helpers.py").write_text("MINE = 1\n")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(f"from helpers import MINE\n{FLOW}\nif __name__ == '__main__':\n    1 / 0\n")
    assert load_target(name).workflow.name == "answer"
    assert load_target(f"{name}:answer").workflow.name == "answer"


def test_a_module_inside_a_package_is_a_target(folder: Path) -> None:
    (folder / "pack" / "inner").mkdir(parents=True)
    for place in (folder / "pack", folder / "pack" / "inner"):
        (place / "__init__.py").touch()
    (folder / "pack" / "inner" / "flow.py").write_text(f"from ..names import MINE\n{FLOW}")
    (folder / "pack" / "names.py").write_text("MINE = 1\n")
    assert load_target("pack.inner.flow:answer").workflow.name == "answer"


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("lonely.py", "from .helpers import MINE\n", "by its plain name"),
        ("book.ipynb", '{"cells": []}', "jupyter nbconvert"),
        (
            "mute.py",
            "class Mute(Exception):\n    __str__ = None\nraise Mute\n",
            "(its text cannot be made",
        ),
        ("nul", "\0", "null bytes"),
    ],
)
def test_what_cannot_be_imported_says_what_to_do(orch: Orch, folder: Path, file: str, text: str, said: str) -> None:
    (folder / file).write_text(text)
    ended = orch("check", file)
    assert ended.code in (1, 2)
    assert said in ended.err
    assert "ORCH-U099" not in ended.err


@pytest.mark.parametrize(("target", "code", "said"), [("{}/flow.py", 0, "ok answer"), ("flow.py", 2, "ORCH-U003")])
def test_a_current_folder_that_is_gone(folder: Path, target: str, code: int, said: str) -> None:
    (folder / "gone").mkdir()
    script = f'cd "{folder}/gone" && rmdir "{folder}/gone" && "{ORCH}" check "{target.format(folder)}"'
    ended = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert ended.returncode == code
    assert said in ended.stdout + ended.stderr


def test_what_is_no_string_on_pythons_path_is_passed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python ignores it as well, and scripts put paths there all the same."""
    monkeypatch.setattr(sys, "path", [*sys.path, folder, b"bytes"])
    (folder / "queue.py").write_text("")
    assert [each.name for each in shadows(folder, sys.path)] == ["queue"]
    assert load_target("flow.py").workflow.name == "answer"
