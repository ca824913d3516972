"""What a run says of how it ended."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import attempt, loop, race, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.journal.events import RunFailed
from orchestrator.runtime.runner import Runner

failing: list[int] = []


@tool(effects="reads")
async def step(n: int) -> int:
    """It fails the first time that it gets 1."""
    if n == 1 and not failing:
        failing.append(n)
        raise OSError("not yet")
    return n


@tool(effects="reads")
async def fails(n: int) -> int:
    raise OSError("never")


@tool(effects="reads", retry=2)
async def tried(n: int) -> int:
    return await step.fn(n)  # type: ignore[attr-defined]


def raced(n: int) -> int:
    return fails(race(lambda: fails(n), lambda: step(2)))


def retried(n: int) -> int:
    return fails(loop(step, n, max=1, retry=2))


def tried_again(n: int) -> int:
    return fails(tried(n))


def caught(n: int) -> int:
    return fails(attempt(lambda: fails(n), otherwise=lambda _: step(2)))


def at_once(n: int) -> int:
    return fails(n)


@pytest.mark.parametrize("flow", [raced, retried, tried_again, caught, at_once])
async def test_a_run_names_the_op_that_it_failed_at_and_none_whose_failure_is_over(flow: Any) -> None:
    failing.clear()
    compiled = compile_workflow(workflow(flow))
    last = max(op.id for op in compiled.program.body.ops() if op.id.startswith("fails"))
    async with Runner() as runtime:
        with pytest.raises(RunError, match="never"):
            await runtime.run(compiled, {"n": 1}, run_id="r")
        *_, ended = await runtime.journal.load("r")
    assert isinstance(ended, RunFailed)
    assert ended.op == last
