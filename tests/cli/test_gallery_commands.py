"""The commands that the gallery's files begin with: their inputs are read; without the model they end there."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Orch

FOLDER = Path(__file__).parents[2] / "examples" / "gallery"
COMMANDS = [
    shlex.split(line)
    for file in sorted(FOLDER.glob("*.py"))
    for line in file.read_text(encoding="utf-8").splitlines()
    if line.startswith("orch run ")
]


def test_each_file_has_one() -> None:
    assert len(COMMANDS) == 20


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: Path(each[2]).stem)
def test_its_inputs_are_read(orch: Orch, command: list[str]) -> None:
    missing = {"examples/text2sql/model": "no/such/model", "my-cluster.toml": "no/such/cluster.toml"}
    ended = orch(*[missing.get(each, each) for each in command[1:]])
    assert ended.code != 0
    assert "no/such/" in ended.err
    assert "ORCH-U010" not in ended.err
