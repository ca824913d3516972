"""Who answers: what the command line says, and what an application says where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import workflow
from orchestrator.cli.app import App, Job, Report
from orchestrator.cli.engines import EngineChoice
from orchestrator.errors import EngineError


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


def test_a_policy_is_of_every_engine_of_which_the_file_says_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    own = '[[engine]]\nname = "own"\nkind = "sim"\nmodel = "m"\noptions = { policy = "round-robin+fcfs" }\n'
    file.write_text(f'{own}[[engine]]\nname = "plain"\nkind = "sim"\nmodel = "m"\noptions = {{ seed = 3 }}\n')
    found = EngineChoice(cluster_file=file, policy="freeness+migration").cluster()
    assert [engine.options["policy"] for engine in found.engines] == ["round-robin+fcfs", "freeness+migration"]
    assert found.engines[1].options["seed"] == 3


def test_a_policy_that_there_is_not_is_told_before_anything_runs() -> None:
    with pytest.raises(EngineError, match=r"did you mean `freeness\+migration`") as caught:
        EngineChoice(kind="sim", policy="freeness").cluster()
    assert caught.value.code == "ORCH-E016"
