"""What a tool calls that asks a person is warned of, and nothing else that it calls."""

from __future__ import annotations

from orchestrator import ask, tool, workflow
from orchestrator.dsl.questions_within import questions_within


@workflow
def asks(text: str) -> str:
    return ask(f"May it be {text}?")


@workflow
def plain(text: str) -> str:
    return text


@tool
def both(text: str) -> str:
    return plain(asks(text))


@tool
def neither(text: str) -> str:
    return plain(text)


def test_the_workflow_that_asks_is_named_and_the_other_is_not() -> None:
    (warning,) = questions_within(both)
    assert warning.code == "ORCH-D059"
    assert "tool `both` calls the workflow `asks`" in warning.message


def test_a_tool_whose_workflows_ask_nobody_is_not_warned_of() -> None:
    assert list(questions_within(neither)) == []
