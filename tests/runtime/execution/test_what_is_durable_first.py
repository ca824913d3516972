"""A tool acts when what has led to its arguments is durable, whatever others have done meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from orchestrator import map_, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.runner import Runner

acted: list[str] = []
durable = asyncio.Event()


@tool(effects="idempotent")
async def first(x: str) -> str:
    acted.append(f"first {x}")
    durable.clear()
    return x


@tool(effects="idempotent")
async def second(x: str) -> str:
    acted.append(f"second {x}")
    return x


@workflow
def both(xs: list[str]) -> list[str]:
    return map_(lambda x: second(first(x)), xs, limit=3)


class Held(MemoryJournal):
    """Nothing is durable that is appended after an effect, before it is said to be."""

    def barrier(self, run_id: str) -> Awaitable[bool]:  # type: ignore[override]
        return durable.wait()


async def test_items_of_a_map_wait_for_what_has_led_to_them_and_not_for_each_other() -> None:
    acted.clear()
    durable.set()
    async with Runner(journal=Held()) as runtime:
        running = asyncio.ensure_future(runtime.run(compile_workflow(both), {"xs": ["a", "b", "c"]}))
        for _ in range(50):
            await asyncio.sleep(0)
        assert acted == ["first a", "first b", "first c"]
        durable.set()
        assert (await running).value == ["a", "b", "c"]
    assert acted[3:] == ["second a", "second b", "second c"]
