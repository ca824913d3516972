"""The durable floor: the workloads in bare asyncio, where a step is done when the record of its result is on disk."""

from __future__ import annotations

import asyncio
import json
import platform
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any

from benchmarks.arms import history
from benchmarks.arms.databases import scratch
from benchmarks.arms.group_commit import Log
from benchmarks.arms.victim import Victim, serve_or_die
from benchmarks.arms.workloads import (
    LLM_S,
    TOOL_S,
    TURNS,
    Factory,
    Run,
    State,
    combine,
    join_sum,
    layered_dag,
    payload,
    sinks,
    step,
)


async def _kept(log: Log, state: State) -> State:
    await log.append(json.dumps(state).encode())
    return state


async def chain(log: Log, n: int) -> int:
    """W1: a commit after every step."""
    state = payload(0)
    for _ in range(n):
        state = await _kept(log, step(state))
    return int(state["i"])


async def fan(log: Log, n: int) -> int:
    """W2: one task a step."""
    await _kept(log, payload(0))
    states = await asyncio.gather(*(_kept(log, step(payload(i))) for i in range(n)))
    return int((await _kept(log, join_sum(states)))["i"])


async def dag(log: Log, n: int) -> int:
    """W3: one task a node, awaiting its predecessors' tasks."""
    deps = layered_dag(n)
    tasks: dict[int, asyncio.Task[State]] = {}

    async def node(k: int) -> State:
        return await _kept(log, combine(*[await tasks[p] for p in deps[k]]))

    for k in deps:
        tasks[k] = asyncio.ensure_future(node(k))
    return int(join_sum([await tasks[k] for k in sinks(deps)])["i"])


async def loops(log: Log, n: int) -> int:
    """W4: one task an agent, a record a step."""

    async def agent() -> int:
        state = payload(0)
        for _ in range(TURNS):
            await asyncio.sleep(LLM_S)
            state = await _kept(log, step(state))
            await asyncio.sleep(TOOL_S)
            state = await _kept(log, step(state))
        return int(state["i"])

    return sum(await asyncio.gather(*(agent() for _ in range(n))))


def _factory(body: Callable[[Log, int], Coroutine[Any, Any, int]]) -> Factory:
    def build(n: int) -> Run:
        log = Log(scratch() / "log.db")
        return lambda: asyncio.run(body(log, n))

    return build


async def _crash_chain(victim: Victim, n: int) -> int:
    log = Log(victim.folder / "log.db")
    done = log.records()
    state = json.loads(done[-1]) if done else payload(0)
    for _ in range(n - len(done)):
        victim.step(state["i"])
        state = await _kept(log, step(state))
    return int(state["i"])


async def _history(victim: Victim, n: int) -> int:
    log = Log(victim.folder / "log.db")
    texts: list[str] = []
    for number in range(n):
        new = [history.asked(number), history.said(number)]
        await log.append(json.dumps(new).encode())
        texts += new
    log.close()
    return history.digest(texts)


CASES = {"W1": _factory(chain), "W2": _factory(fan), "W3": _factory(dag), "W4": _factory(loops)}

if __name__ == "__main__":
    serve_or_die(
        "asyncio-sqlite",
        {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version},
        CASES,
        {
            "chain": lambda victim, n: lambda: asyncio.run(_crash_chain(victim, n)),
            "history": lambda victim, n: lambda: asyncio.run(_history(victim, n)),
        },
    )
