"""Async tools whose libraries use anyio, as httpx does: it looks into tasks by asyncio's private names."""

from __future__ import annotations

import asyncio

import anyio

from orchestrator import tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.runtime.runner import Runner


@tool(effects="idempotent")
async def scopes(words: list[str]) -> list[str]:
    """A scope that is cut off, one within a group, one that is cancelled at once; and a thread."""
    with anyio.move_on_after(0.01) as short:
        await anyio.sleep_forever()
    found = ["cut off"] if short.cancelled_caught else []
    try:
        with anyio.fail_after(0.01):
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                await anyio.sleep_forever()
    except TimeoutError:
        found.append("timed out")
    with anyio.CancelScope() as given_up:
        given_up.cancel()
        await anyio.sleep_forever()
    found += ["given up"] if given_up.cancelled_caught else []
    return found + await anyio.to_thread.run_sync(list, words)


@workflow
def scoped(words: list[str]) -> list[str]:
    return scopes(words)


EXPECTED = ["cut off", "timed out", "given up", "in a thread"]


async def test_scopes_of_anyio_on_the_loop_of_asyncio() -> None:
    async with asyncio.timeout(20), Runner() as runtime:
        assert (await runtime.run(compile_workflow(scoped), {"words": ["in a thread"]})).value == EXPECTED


def test_scopes_of_anyio_on_the_loop_of_runs() -> None:
    assert scoped(["in a thread"]) == EXPECTED
