"""A resumed run goes on with the time and the chance that it began with."""

from __future__ import annotations

import pytest

from orchestrator import random, tool, uuid, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.runner import Runner


async def test_what_was_observed_is_journaled() -> None:
    seen: list[tuple[float, str]] = []

    @tool(effects="idempotent")
    def note(number: float, name: str) -> bool:
        seen.append((number, name))
        if len(seen) == 1:
            raise OSError("down")
        return True

    @workflow
    def flow() -> bool:
        return note(random(), uuid())

    compiled = compile_workflow(flow)
    async with Runner() as runtime:
        with pytest.raises(RunError, match="down"):
            await runtime.run(compiled, {}, run_id="r")
        assert (await runtime.resume(compiled, "r")).value is True
    assert seen[0] == seen[1]
