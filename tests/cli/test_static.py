"""Static parameters of a workflow on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Orch

FLOW = """
from orchestrator import Static, workflow

@workflow
def flow(question: str, verbose: Static[bool], model: Static[str] = "m") -> str:
    return f"{question}!" if verbose else question
"""


@pytest.fixture
def flow(tmp_path: Path) -> str:
    file = tmp_path / "flow.py"
    file.write_text(FLOW)
    return str(file)


def test_an_option_each(orch: Orch, flow: str) -> None:
    assert orch("run", flow, "--verbose", "true", "Why").out.strip() == "Why!"
    assert orch("run", flow, "Why", "--verbose", "false").out.strip() == "Why"
    assert orch("run", flow, "-i", "verbose=true", "-i", "question=Why").out.strip() == "Why!"


def test_options_that_a_command_has_keep_their_meaning(orch: Orch, flow: str) -> None:
    ended = orch("run", flow, "--help")
    assert "--verbose true|false" in ended.out
    assert "-i model=…" in ended.out


def test_wrong_and_missing_values(orch: Orch, flow: str) -> None:
    assert "does not fit `bool`" in orch("run", flow, "--verbose", "maybe", "Why").err
    assert "the input `verbose: bool` is missing" in orch("run", flow, "Why").err
    assert "workflow.given(name=value)" in orch("explain", flow).err


def test_all_runs_of_a_command_share_them(orch: Orch, flow: str, tmp_path: Path) -> None:
    file = tmp_path / "inputs.jsonl"
    file.write_text('{"question": "a", "verbose": true}\n{"question": "b", "verbose": true}\n')
    assert orch("run", flow, "--inputs", str(file)).code == 0
    file.write_text('{"question": "a", "verbose": true}\n{"question": "b", "verbose": false}\n')
    assert "the runs differ in `verbose`" in orch("run", flow, "--inputs", str(file)).err


def test_check_shows_them_and_checks_each_value(orch: Orch, flow: str, tmp_path: Path) -> None:
    assert "verbose: Static[bool]" in orch("check", flow).out
    file = Path(flow)
    file.write_text(FLOW.replace('f"{question}!"', "question.sum"))
    ended = orch("check", flow)
    assert "ORCH-D011" in ended.err
