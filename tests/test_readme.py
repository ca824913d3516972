"""The README shows code that exists and does what it says."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from examples.hello import hello
from orchestrator.compiler import compile as compile_workflow
from orchestrator.testing import fake

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FIRST = (ROOT / "docs" / "first-workflow.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README + FIRST, re.MULTILINE | re.DOTALL)
MOST_LINES = 100
FIGURES = 10


def test_its_first_workflow_is_the_example() -> None:
    first = next(text for language, text in BLOCKS if language == "python")
    assert first.strip() in (ROOT / "examples" / "hello.py").read_text(encoding="utf-8")


def test_it_fits_a_screen_and_a_table() -> None:
    assert len(README.splitlines()) <= MOST_LINES
    _, _, figures = README.partition("## Figures")
    assert len(re.findall(r"^\| (?!---|\|)", figures, re.MULTILINE)) == FIGURES


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`python -m (benchmarks[^`]*)`", README))))
def test_its_figures_come_of_commands_as_they_stand(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is missing in them and nothing unknown but what is added here."""
    module, *arguments = command.split()
    with pytest.raises(SystemExit):
        importlib.import_module(module).main([*arguments, "--unheard-of"])
    assert "unrecognized arguments: --unheard-of" in capsys.readouterr().err


def test_its_plan_has_the_examples_ops() -> None:
    shown = next(text for _, text in BLOCKS if text.startswith("Plan of `hello`"))
    plan = compile_workflow(hello).plan
    for op in plan.ops:
        if op.kind in ("decode", "tool", "map"):
            assert f"{op.id} " in shown
            assert op.source.rpartition("/")[2] in shown


def test_its_test_passes() -> None:
    with fake(['{"sql": "SELECT COUNT(*) FROM planets"}'] * 5):
        assert hello(question="How many planets are there?") == ["5"]


def test_what_it_links_to_exists() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
