"""Which attempts are in the log when they start, and what is said of the others."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from orchestrator import Retry, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.runtime.execution import starts
from orchestrator.runtime.journal.events import OpStarted
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.runner import Runner

GATE: dict[str, asyncio.Event] = {}
TIMES: list[int] = []


@pytest.fixture(autouse=True)
def gates() -> None:
    GATE.update({name: asyncio.Event() for name in ("started", "may end")})
    TIMES.clear()


@tool(effects="reads")
async def quick(n: int) -> int:
    """Reads at once."""
    return n + 1


@tool(effects="idempotent")
async def patient(n: int) -> int:
    """Takes as long as the test likes."""
    GATE["started"].set()
    await GATE["may end"].wait()
    return n + 1


@tool(effects="idempotent")
async def shaky(n: int) -> int:
    """Fails the first time."""
    TIMES.append(n)
    if len(TIMES) == 1:
        raise ConnectionError("gone")
    return n + 1


@tool(effects="reads", isolation="process")
def apart(n: int) -> int:
    """Reads in another process."""
    return n + 1


@workflow
def inner(n: int) -> int:
    return patient(n)


@tool(effects="idempotent")
async def around(n: int) -> int:
    """Runs a workflow."""
    return await inner.arun(n)


@workflow
def reading(n: int) -> int:
    return quick(n)


@workflow
def waiting(n: int) -> int:
    return patient(n)


@workflow
def failing(n: int) -> int:
    return shaky.options(retry=Retry(2, backoff_s=0.0))(n)


@workflow
def elsewhere(n: int) -> int:
    return apart(n)


@workflow
def bounded(n: int) -> int:
    return quick.options(budget="10 s")(n)


@workflow
def calling(n: int) -> int:
    return around(n)


async def lines(store: MemoryStore) -> list[Any]:
    """What is durable of the run."""
    rows = [row async for row in store.history("r")]
    return [json.loads(text) for row in rows for text in row.data.decode().split("\n") if text[:1] == "["]


async def kinds_of(flow: Any, store: MemoryStore) -> list[str]:
    async with Runner(store=store) as runtime:
        result = await runtime.run(compile_workflow(flow), {"n": 1}, run_id="r")
    assert result.value == 2
    assert [event for event in result.events if isinstance(event, OpStarted)]
    return [line[0] for line in await lines(store)]


async def test_of_a_tool_that_is_quick_there_is_its_result_which_says_how_long_it_took() -> None:
    store = MemoryStore()
    assert await kinds_of(reading, store) == ["run", "done", "result"]
    took = (await lines(store))[1][5]
    assert isinstance(took, float)
    assert took >= 0.0


async def test_a_tool_that_fails_has_started_in_front_of_that() -> None:
    assert await kinds_of(failing, MemoryStore()) == ["run", "started", "failed", "wrote", "result"]


@pytest.mark.parametrize("flow", [elsewhere, bounded])
async def test_what_a_resumed_run_has_to_know_is_written_when_it_starts(flow: Any) -> None:
    assert await kinds_of(flow, MemoryStore()) == ["run", "started", "done", "result"]


async def test_a_tool_that_takes_long_is_in_the_log_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "LATE_S", 0.0)
    store = MemoryStore()
    async with Runner(store=store) as runtime:
        run = asyncio.create_task(runtime.run(compile_workflow(waiting), {"n": 1}, run_id="r"))
        while [line[0] for line in await lines(store)] != ["run", "started"]:
            await asyncio.sleep(0)
        GATE["may end"].set()
        await run
    assert [line[0] for line in await lines(store)] == ["run", "started", "wrote", "result"]
    assert len((await lines(store))[2]) == 5


async def test_a_tool_that_runs_a_workflow_has_started_before_that_does() -> None:
    store = MemoryStore()
    async with Runner(store=store) as runtime:
        run = asyncio.create_task(runtime.run(compile_workflow(calling), {"n": 1}, run_id="r"))
        await GATE["started"].wait()
        assert [line[0] for line in await lines(store)] == ["run", "started"]
        GATE["may end"].set()
        assert (await run).value == 2
