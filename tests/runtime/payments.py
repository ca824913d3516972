"""Tools that pay, for the tests of what must happen at most once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from orchestrator import Happened, race, tool, workflow
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow

Answer = Happened[str] | Literal["did not happen", "unknown"]
"""Of a check."""


def compiled(flow: Callable[..., Any]) -> Compiled:
    return compile_workflow(workflow(flow))


def hanging(calls: list[int], **options: Any) -> Any:
    """A payment that is noted and never ends."""

    @tool(effects="once", **options)
    async def pay(cents: int) -> str:
        calls.append(cents)
        await asyncio.sleep(3600)
        return "paid"

    return pay


def paying(pay: Any) -> Compiled:
    """A workflow of one call, ``pay_1``."""

    def flow(cents: int) -> Any:
        return pay(cents)

    return compiled(flow)


def overtaken(pay: Any) -> Compiled:
    """A race that a payment loses, after it has begun."""

    @tool(effects="idempotent")
    async def quick(cents: int) -> str:
        await asyncio.sleep(0.01)
        return "quick"

    def flow(cents: int) -> str:
        return race(lambda: pay(cents), lambda: quick(cents), name="either")

    return compiled(flow)
