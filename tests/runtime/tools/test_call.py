"""Where tools run: on the event loop only what is declared to be cheap."""

from __future__ import annotations

import asyncio
import threading

from orchestrator import map_, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.runtime.runner import Runner

together = threading.Barrier(5)


@tool(effects="pure")
def fetch(n: int) -> int:
    """Returns only when five calls are under way."""
    together.wait(20)
    return n


@tool(effects="pure", cheap=True)
def thread_of(n: int) -> str:
    return threading.current_thread().name


@tool(effects="pure")
def other_thread_of(n: int) -> str:
    return threading.current_thread().name


@workflow
def fetches(ns: list[int]) -> list[int]:
    return map_(fetch, ns, limit=10)


@workflow
def threads(n: int) -> tuple[str, str]:
    return thread_of(n), other_thread_of(n)


async def test_pure_tools_wait_beside_each_other_and_block_nobody() -> None:
    async with asyncio.timeout(30), Runner() as runtime:
        assert (await runtime.run(compile_workflow(fetches), {"ns": [1, 2, 3, 4, 5]})).value == [1, 2, 3, 4, 5]


async def test_a_cheap_tool_is_called_on_the_event_loop() -> None:
    async with Runner() as runtime:
        here, there = (await runtime.run(compile_workflow(threads), {"n": 1})).value
    assert here == threading.current_thread().name
    assert there.startswith("orch-tool-")
    assert {op.id: op.place for op in compile_workflow(threads).plan.ops if "thread" in op.id} == {
        "thread_of_1": "inline",
        "other_thread_of_1": "thread",
    }
