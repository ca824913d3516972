"""Each ``golden/*.mlir`` names a pass in ``// RUN:`` and says with ``// CHECK`` what it makes of the module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.ir.text import parse, to_text
from orchestrator.ir.verify import verify
from orchestrator.ir.walk import tree
from orchestrator.passes.pipeline import PIPELINE, run_pipeline
from tests.ir.test_properties import shape

GOLDEN = sorted(Path(__file__).parent.joinpath("golden").glob("*.mlir"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden(path: Path, tmp_path: Path) -> None:
    text = path.read_text()
    name = text.splitlines()[0].removeprefix("// RUN: ")
    module = parse(text, file=str(path))
    made, _ = run_pipeline(module, passes=[each for each in PIPELINE if each.name == name])
    output = tmp_path / "after.mlir"
    output.write_text(to_text(made, locations=False))
    command = [sys.executable, "-m", "filecheck", str(path), "--input-file", str(output)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_tree_is_changed_with_the_module(path: Path) -> None:
    module = parse(path.read_text())
    root = tree(module)
    for one in PIPELINE:
        one.run(root)
        assert shape(root) == shape(tree(module)), one.name


def test_every_pass_has_a_golden_file() -> None:
    assert {path.read_text().splitlines()[0].removeprefix("// RUN: ") for path in GOLDEN} == {
        each.name for each in PIPELINE
    }


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", ["canonicalise", "fold-prompts", "hoist-prefixes", "decompose", "inline-cheap"])
def test_idempotent(path: Path, name: str) -> None:
    [one] = [each for each in PIPELINE if each.name == name]
    module = parse(path.read_text())
    one.run(tree(module))
    once = to_text(module)
    one.run(tree(module))
    verify(module)
    assert to_text(module) == once
