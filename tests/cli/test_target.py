"""Finding what a TARGET names, and saying what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.cli.target import load_target, load_targets
from orchestrator.errors import OrchError
from tests.cli.conftest import FLOW, Orch

APP = """
from orchestrator.cli.app import App, Case, Job, Report
from flow import answer

app = App(workflow=answer, prepare=lambda options, words: Job([]), report=lambda job, outcomes, facts: Report({}, ""))
"""


@pytest.mark.parametrize("text", ["flow.py", "flow.py:answer", "./flow.py", "flow:answer", "flow", "package/inner.py"])
def test_the_forms_of_a_target(folder: Path, text: str) -> None:
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").touch()
    (folder / "package" / "inner.py").write_text(FLOW)
    assert load_target(text).workflow.name == "answer"


def test_a_directory_is_its_app(folder: Path) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "app.py").write_text(APP)
    found = load_target("mine")
    assert found.app is not None
    assert found.workflow.name == "answer"


def test_a_relative_import_works_in_a_package(folder: Path) -> None:
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").touch()
    (folder / "package" / "flow.py").write_text(FLOW)
    (folder / "package" / "other.py").write_text("from .flow import answer\n")
    assert load_target("package/other.py").workflow.name == "answer"


def test_a_file_named_like_a_standard_module_is_still_that_file(folder: Path) -> None:
    (folder / "json.py").write_text(FLOW)
    assert load_target("json.py").workflow.name == "answer"


def test_several_workflows_of_a_file(folder: Path) -> None:
    assert [each.workflow.name for each in load_targets("two.py")] == ["answer", "wrong"]


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("none.py", "ORCH-U003", "there is no `none.py`"),
        ("flwo.py", "ORCH-U003", "did you mean `flow.py`?"),
        ("none/flow.py", "ORCH-U003", "not a directory"),
        ("no.such.module:answer", "ORCH-U003", "finds no module"),
        (".:answer", "ORCH-U003", "names a workflow in a directory"),
        ("two.py", "ORCH-U004", "two.py:answer"),
        ("empty.py", "ORCH-U004", "@workflow"),
        ("flow.py:anwser", "ORCH-U005", "did you mean `flow.py:answer`?"),
        ("flow.py:Query", "ORCH-U005", "is not a workflow"),
        ("syntax.py", "ORCH-U006", "syntax.py:2"),
        ("raises.py", "ORCH-U006", "raises.py:3"),
        ("exits.py", "ORCH-U006", "__main__"),
        ("needs.py", "ORCH-U006", "install what provides `not_installed`"),
        (".", "ORCH-U007", "holds no app.py"),
        ("bare", "ORCH-U007", "defines no `app`"),
    ],
)
def test_what_cannot_be_loaded(orch: Orch, folder: Path, text: str, code: str, says: str) -> None:
    (folder / "empty.py").write_text("x = 1\n")
    (folder / "syntax.py").write_text("x = 1\ndef (:\n")
    (folder / "raises.py").write_text("def f():\n    # why\n    raise KeyError('gone')\nf()\n")
    (folder / "exits.py").write_text("raise SystemExit(3)\n")
    (folder / "needs.py").write_text("import not_installed\n")
    (folder / "bare").mkdir()
    (folder / "bare" / "app.py").write_text("x = 1\n")
    ended = orch("check", text) if text != "two.py" else orch("compile", text)
    assert ended.code in (1, 2)
    assert code in ended.err
    assert says in ended.err
    assert "Traceback" not in ended.err


def test_an_unreadable_file_is_one_sentence(orch: Orch, folder: Path) -> None:
    (folder / "binary.py").write_bytes(b"\x00\xff\xfe")
    ended = orch("check", "binary.py")
    assert (ended.code in (1, 2), "Traceback" in ended.err) == (True, False)


def test_the_users_own_coded_error_passes_through(folder: Path) -> None:
    (folder / "coded.py").write_text("from orchestrator import Retry\nRetry(attempts=0)\nundefined\n")
    with pytest.raises(OrchError):
        load_target("coded.py")
