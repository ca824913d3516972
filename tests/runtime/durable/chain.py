"""A chain of steps, and runs of it that have done some of them when their process is gone.

What is outside of a run stands in the environment, so that it is no part of the tool: `CHAIN_DID` is a file, with a
line for each step that was begun; `CHAIN_WAITS` names a step that waits until there is a file `go on` beside that.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

from orchestrator import sleep, tool, workflow
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import SuspendedError
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.runner import Runner

STEPS = 4


def mark(run_id: str, number: int) -> str:
    """How the result of a step begins; behind it is as much as fills most of a page of SQLite's."""
    return f"{run_id} {number} "


@tool(effects="idempotent")
async def step(number: int, text: str) -> str:
    run_id = text.split(maxsplit=1)[0]
    if did := os.environ.get("CHAIN_DID"):
        with Path(did).open("a", encoding="utf-8") as file:
            file.write(f"{mark(run_id, number)}\n")
        while os.environ.get("CHAIN_WAITS") == str(number) and not Path(did).with_name("go on").exists():
            await asyncio.sleep(0.01)
    return mark(run_id, number).ljust(3000, ".")


@workflow
def chain(text: str) -> str:
    return step(4, step(3, step(2, step(1, text))))


@workflow
def nap(text: str) -> str:
    sleep(1800)
    return step(1, text)


@cache
def chaining() -> Compiled:
    return compile_workflow(chain)


def did(file: Path) -> list[str]:
    """The steps that were begun."""
    return [line.strip() for line in file.read_text().splitlines()] if file.exists() else []


async def begun_step(file: Path, line: str) -> None:
    """Return when a step has begun."""
    async with asyncio.timeout(120):
        while line not in did(file):
            await asyncio.sleep(0.01)


async def begun(url: str, run_id: str, file: Path, *, steps: int) -> None:
    """A run that has done so many steps, and that nobody executes."""
    os.environ |= {"CHAIN_DID": str(file), "CHAIN_WAITS": str(steps + 1)}
    try:
        store = await open_store(url)
        async with Runner(store=store) as runtime:
            work = asyncio.create_task(runtime.run(chaining(), {"text": run_id}, run_id=run_id))
            await begun_step(file, mark(run_id, steps + 1).strip())
            assert runtime.owner is not None
            await runtime.owner.hand_over("its process is gone")
            with suppress(SuspendedError):
                await work
        await store.close()
    finally:
        del os.environ["CHAIN_DID"], os.environ["CHAIN_WAITS"]
