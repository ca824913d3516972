"""``orch check``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Orch


def test_a_correct_workflow_is_summed_up(orch: Orch, folder: Path) -> None:
    ended = orch("check", "flow.py")
    assert (ended.code, ended.err) == (0, "")
    assert "ok answer(question: str) -> list[str]" in ended.out
    assert "1 model call" in ended.out
    assert "run_sql (pure)" in ended.out


def test_all_errors_of_all_workflows_of_a_file_at_once(orch: Orch, folder: Path) -> None:
    ended = orch("check", "two.py")
    assert ended.code == 1
    assert "ok answer" in ended.out
    assert "error[ORCH-D004]" in ended.err
    assert "error[ORCH-D014]" in ended.err
    assert ended.err.count("two.py:") >= 2
    assert "2 errors" in ended.err


def test_json_has_workflows_or_errors(orch: Orch, folder: Path) -> None:
    (only,) = json.loads(orch("check", "flow.py", "--json").out)["workflows"]
    assert (only["workflow"], only["tools"]) == ("answer", {"run_sql": "pure", "vote": "pure"})
    failed = orch("check", "two.py:wrong", "--json")
    data = json.loads(failed.out)
    assert (failed.code, data["ok"]) == (1, False)
    assert {each["code"] for each in data["errors"]} == {"ORCH-D004", "ORCH-D014"}


def test_an_app_directory_is_checked_by_its_workflow(orch: Orch) -> None:
    ended = orch("check", "examples/text2sql")
    assert ended.code == 0
    assert "answer(question: str" in ended.out
