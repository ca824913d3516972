"""Who answers: what the command line says, and what an application says where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import workflow
from orchestrator.cli.app import App, Job, Report
from orchestrator.cli.engines import EngineChoice


@workflow
def echo(text: str) -> str:
    """The text."""
    return text


APP = App(
    workflow=echo,
    prepare=lambda options, words: Job([]),
    report=lambda job, outcomes, facts: Report({}, ""),
    model="bundled",
    engine_options={"seed": 1},
)


@pytest.mark.parametrize(
    ("choice", "model"),
    [
        (EngineChoice(), "bundled"),
        (EngineChoice(kind="vllm"), "bundled"),
        (EngineChoice(kind="sim"), "bundled"),
        (EngineChoice(model="mine"), "mine"),
        (EngineChoice(kind="openai"), None),
        (EngineChoice(base_url="http://h/v1"), None),
        (EngineChoice(cluster_file=Path("c.toml")), None),
    ],
)
def test_an_applications_model_is_for_engines_of_this_machine(choice: EngineChoice, model: str | None) -> None:
    found = choice.for_app(APP)
    assert found.model == model
    assert found.options == {"seed": 1}
    assert choice.for_app(None) is choice
