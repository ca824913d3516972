"""``orch compile``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.ir.hash import module_hash
from orchestrator.ir.text import parse, to_text
from orchestrator.passes.pipeline import PIPELINE
from orchestrator.planner.plan import Plan
from tests.cli.conftest import Orch


@pytest.mark.parametrize("level", ["agent", "op"])
def test_what_it_prints_parses_back(orch: Orch, folder: Path, level: str) -> None:
    printed = orch("compile", "flow.py", "--level", level, "--locations").out
    assert to_text(parse(printed)) == printed
    assert ("op.decode" in printed) == (level == "op")
    assert "flow.py" in printed


def test_the_module_after_each_pass(orch: Orch, folder: Path) -> None:
    printed = orch("compile", "flow.py", "--print-after", "all").out
    heads = [line.removeprefix("// after ") for line in printed.splitlines() if line.startswith("// after ")]
    assert heads == ["trace", *(each.name for each in PIPELINE)]
    only = orch("compile", "flow.py", "--print-after", "decompose").out
    assert only.startswith("// after decompose\n")
    assert only.count("// after") == 1


def test_an_unknown_pass_is_answered_with_the_known_ones(orch: Orch, folder: Path) -> None:
    ended = orch("compile", "flow.py", "--print-after", "decompse")
    assert ended.code == 2
    assert "ORCH-U014" in ended.err
    assert "did you mean `decompose`?" in ended.err
    assert "canonicalise" in orch("compile", "flow.py", "--print-after", "xyzzy").err


def test_output_goes_to_a_file(orch: Orch, folder: Path) -> None:
    ended = orch("compile", "flow.py", "-o", "flow.mlir")
    assert (ended.code, ended.out) == (0, "")
    assert "agent.generate" in (folder / "flow.mlir").read_text()
    assert orch("compile", "flow.py", "--level", "op", "-o", "flow.mlir").code == 0
    assert "op.prefill" in (folder / "flow.mlir").read_text()


def test_json_carries_the_ir_and_its_hash(orch: Orch, folder: Path) -> None:
    data = json.loads(orch("compile", "flow.py", "--json", "--print-after", "trace").out)
    assert data["ok"]
    assert "op.decode" in data["ir"]
    assert "agent.generate" in data["after"]["trace"]
    assert data["hash"] == module_hash(parse(data["after"]["trace"]))
    orch("plan", "flow.py", "--out", "p.json")
    assert Plan.load(folder / "p.json").ir_hash == data["hash"]


def test_a_full_disk_is_one_sentence(orch: Orch, folder: Path) -> None:
    ended = orch("compile", "flow.py", "-o", "/dev/full")
    assert ended.code == 1
    assert "ORCH-U090" in ended.err
    assert "free some space" in ended.err
    assert "Traceback" not in ended.err


def test_a_closed_pipe_is_no_failure_to_report(folder: Path) -> None:
    command = f"{sys.executable} -m orchestrator.cli.main compile flow.py --print-after all | head -1"
    ended = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert ended.stdout == "// after trace\n"
    assert ended.stderr == ""
