"""A resumed run goes on where it failed: nothing that completed runs again, inside structured ops with a retry too."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

import pytest

from orchestrator import Retry, branch, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError, UnsettledError
from orchestrator.runtime.run import Runtime


async def test_a_resumed_structure_keeps_what_its_latest_attempt_has_done_and_has_all_attempts_again() -> None:
    made: list[str] = []
    failures = iter([OSError("down"), OSError("down"), OSError("still down"), TypeError("a bug")])

    @tool(effects="idempotent")
    async def dear(x: int) -> int:
        made.append("dear")
        return x + 1

    @tool(effects="idempotent")
    async def shaky(x: int) -> int:
        made.append("shaky")
        error = next(failures, None)
        if error is not None:
            raise error
        return x

    @workflow
    def flow(x: int) -> int:
        return branch(x > 0, lambda: shaky(dear(x)), lambda: x, retry=Retry(2, backoff_s=0))

    compiled = compile_workflow(flow)
    async with Runtime() as runtime:
        with pytest.raises(RunError, match="down"):
            await runtime.run(compiled, {"x": 1}, run_id="r")
        assert made == ["dear", "shaky"] * 2
        with pytest.raises(RunError, match="a bug"):  # the second attempt, and then a third
            await runtime.resume(compiled, "r")
        assert made == ["dear", "shaky"] * 2 + ["shaky", "dear", "shaky"]
        assert (await runtime.resume(compiled, "r")).value == 2
    assert made == ["dear", "shaky"] * 2 + ["shaky", "dear", "shaky"] + ["shaky"]


@pytest.mark.parametrize("last", [False, True])
async def test_what_a_person_settles_inside_a_retried_structure_counts(last: bool) -> None:
    said: list[Literal["did not happen", "unknown"]] = ["unknown"] if not last else ["did not happen", "unknown"]
    calls: list[int] = []

    def look() -> Any:
        return said.pop(0) if len(said) > 1 else said[0]

    @tool(effects="once", timeout=0.01, check=look)
    async def pay(cents: int) -> str:
        calls.append(cents)
        await asyncio.sleep(60)
        return "never"

    @tool(effects="idempotent")
    async def prepare(cents: int) -> int:
        calls.append(-cents)
        return cents

    @workflow
    def flow(cents: int) -> str:
        return branch(
            cents > 0, lambda: pay(prepare(cents)), lambda: "nothing", retry=Retry(2, backoff_s=0, on=[RunError])
        )

    flow_ = compile_workflow(flow)
    async with Runtime() as runtime:
        with pytest.raises(UnsettledError):
            await runtime.run(flow_, {"cents": 5}, run_id="r")
        made = list(calls)
        await runtime.settle(flow_, "r", "pay_1", result="paid")
        assert (await runtime.resume(flow_, "r")).value == "paid"
    assert calls == made
