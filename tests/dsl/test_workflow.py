"""Calling a workflow runs it with the runner in force: sync, async, and from inside an event loop."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator import llm, workflow
from orchestrator.dsl.workflow import Workflow, running_with
from orchestrator.errors import RunError


@workflow(name="greet")
def greeting(name: str, tone: str = "kind") -> str:
    """Greet someone."""
    return llm(f"Greet {name}, be {tone}")


async def echo(flow: Workflow[..., Any], inputs: dict[str, object]) -> Any:
    await asyncio.sleep(0)
    return SimpleNamespace(value=f"{flow.name} {inputs}")


EXPECTED = "greet {'name': 'Ada', 'tone': 'kind'}"


def test_sync() -> None:
    with running_with(echo):
        assert greeting("Ada") == EXPECTED
        assert greeting.run(name="Ada").value == EXPECTED


async def test_async() -> None:
    with running_with(echo):
        assert await greeting.arun("Ada") == EXPECTED


async def test_sync_inside_an_event_loop() -> None:
    with running_with(echo):
        assert greeting("Ada") == EXPECTED


def test_wrong_inputs_are_reported_at_the_callers_line_before_anything_runs() -> None:
    with running_with(echo), pytest.raises(RunError, match="nam") as caught:
        greeting(nam="Ada")  # type: ignore[call-arg]
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "ORCH-R007"
    assert diagnostic.fix == "its parameters are (name, tone)"
    assert diagnostic.where is not None
    assert diagnostic.where.file == __file__


def test_it_looks_like_the_function() -> None:
    assert greeting.__doc__ == "Greet someone."
    assert greeting.__module__ == __name__
    assert repr(greeting) == "<Workflow greet(name: str, tone: str) -> str>"
