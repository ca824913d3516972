"""The floor: the workloads in bare asyncio, with no graph, no journal and no framework."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Coroutine
from typing import Any

from benchmarks.arms.serve import serve
from benchmarks.arms.workloads import (
    LLM_S,
    TOOL_S,
    TURNS,
    Factory,
    State,
    combine,
    join_sum,
    layered_dag,
    payload,
    sinks,
    step,
)


async def _step(state: State) -> State:
    return step(state)


async def _llm(state: State) -> State:
    await asyncio.sleep(LLM_S)
    return step(state)


async def _tool(state: State) -> State:
    await asyncio.sleep(TOOL_S)
    return step(state)


async def chain(n: int) -> int:
    """W1: one coroutine awaited after the other."""
    state = payload(0)
    for _ in range(n):
        state = await _step(state)
    return int(state["i"])


async def fan(n: int) -> int:
    """W2: one task a step."""
    return int(join_sum(await asyncio.gather(*(_step(payload(i)) for i in range(n))))["i"])


async def dag(n: int) -> int:
    """W3: one task a node, awaiting its predecessors' tasks."""
    deps = layered_dag(n)
    tasks: dict[int, asyncio.Task[State]] = {}

    async def node(k: int) -> State:
        return combine(*[await tasks[p] for p in deps[k]])

    for k in deps:
        tasks[k] = asyncio.ensure_future(node(k))
    return int(join_sum([await tasks[k] for k in sinks(deps)])["i"])


async def loops(n: int) -> int:
    """W4: one task an agent."""

    async def agent() -> int:
        state = payload(0)
        for _ in range(TURNS):
            state = await _tool(await _llm(state))
        return int(state["i"])

    return sum(await asyncio.gather(*(agent() for _ in range(n))))


def on(run: Callable[[Coroutine[Any, Any, int]], int]) -> dict[str, Factory]:
    """The cases on the event loop that `run` starts."""
    bodies = {"W1": chain, "W2": fan, "W3": dag, "W4": loops}

    def factory(body: Callable[[int], Coroutine[Any, Any, int]]) -> Factory:
        return lambda n: lambda: run(body(n))

    return {case: factory(body) for case, body in bodies.items()}


CASES = on(asyncio.run)

if __name__ == "__main__":
    serve("asyncio", {"python": platform.python_version()}, CASES)
