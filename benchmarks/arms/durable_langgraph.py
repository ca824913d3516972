"""LangGraph with its SQLite saver, a commit before each next superstep (``durability="sync"``).

Its default is ``"async"``, which commits behind the next superstep. The saver puts its database in WAL mode and leaves
SQLite's ``synchronous=FULL``, so a commit is synced. The chain is a cycle of one node, the fan-out uses `Send`.
"""

# mypy: disable-error-code="import-not-found,import-untyped,misc,type-var,unused-ignore,call-overload,arg-type"

from __future__ import annotations

import asyncio
import operator
import sqlite3
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from itertools import count
from typing import Annotated, Any, TypedDict

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from benchmarks.arms import history
from benchmarks.arms.databases import scratch
from benchmarks.arms.victim import Victim, serve_or_die
from benchmarks.arms.workloads import (
    LLM_S,
    TOOL_S,
    TURNS,
    Factory,
    Run,
    combine,
    join_sum,
    layered_dag,
    payload,
    sinks,
    step,
)

LOOP = asyncio.new_event_loop()


class Message(TypedDict):
    """The 200-byte state."""

    i: int
    role: str
    pad: str


class Fan(TypedDict):
    """State of the fan-out: results append."""

    out: Annotated[list[Any], operator.add]
    total: int


class Nodes(TypedDict):
    """State of the DAG: one entry a node, merged."""

    values: Annotated[dict[int, Any], operator.or_]


def _config(thread: str) -> Any:
    return {"recursion_limit": 10**6, "configurable": {"thread_id": thread}}


async def _step(state: Any) -> Any:
    return step(state)


def cycle(node: Callable[[Any], Awaitable[Any]], n: int) -> Any:
    """A chain as a cycle of one node."""
    graph: Any = StateGraph(Message)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_conditional_edges("node", lambda state: "node" if state["i"] < n else END, ["node", END])
    return graph


def chain(n: int) -> tuple[Any, Any, Callable[[Any], int]]:
    """W1: the graph, its input, and the figure to check."""
    return cycle(_step, n), payload(0), lambda state: int(state["i"])


def fan(n: int) -> tuple[Any, Any, Callable[[Any], int]]:
    """W2."""

    async def source(state: Any) -> Any:
        return {}

    async def work(state: Any) -> Any:
        return {"out": [step(state)]}

    async def join(state: Any) -> Any:
        return {"total": join_sum(state["out"])["i"]}

    graph: Any = StateGraph(Fan)
    graph.add_node("source", source)
    graph.add_node("work", work)
    graph.add_node("join", join)
    graph.add_edge(START, "source")
    graph.add_conditional_edges("source", lambda state: [Send("work", payload(i)) for i in range(n)], ["work"])
    graph.add_edge("work", "join")
    graph.add_edge("join", END)
    return graph, {"out": [], "total": 0}, lambda state: int(state["total"])


def dag(n: int) -> tuple[Any, Any, Callable[[Any], int]]:
    """W3."""
    deps = layered_dag(n)
    graph: Any = StateGraph(Nodes)

    def node(k: int) -> Any:
        async def run(state: Any) -> Any:
            return {"values": {k: combine(*(state["values"][p] for p in deps[k]))}}

        return run

    for k, ps in deps.items():
        graph.add_node(f"n{k}", node(k))
        graph.add_edge([f"n{p}" for p in ps] if ps else START, f"n{k}")
    return graph, {"values": {}}, lambda state: int(join_sum(state["values"][k] for k in sinks(deps))["i"])


async def _saver(path: str) -> AsyncSqliteSaver:
    saver = AsyncSqliteSaver(await aiosqlite.connect(path))
    await saver.setup()
    for pragma, wanted in (("synchronous", 2), ("journal_mode", "wal")):
        found = await (await saver.conn.execute(f"PRAGMA {pragma}")).fetchone()
        if found is None or found[0] != wanted:
            raise RuntimeError(f"{pragma} is {found}")
    return saver


def _factory(make: Callable[[int], tuple[Any, Any, Callable[[Any], int]]]) -> Factory:
    def build(n: int) -> Run:
        graph, given, figure = make(n)
        app = graph.compile(checkpointer=LOOP.run_until_complete(_saver(str(scratch() / "langgraph.db"))))
        ids = count()

        async def main() -> int:
            return figure(await app.ainvoke(given, _config(f"run{next(ids)}"), durability="sync"))

        return lambda: LOOP.run_until_complete(main())

    return build


def loops(n: int) -> Run:
    """W4: one graph with a cycle, invoked n times at once."""

    async def llm(state: Any) -> Any:
        await asyncio.sleep(LLM_S)
        return step(state)

    async def tool(state: Any) -> Any:
        await asyncio.sleep(TOOL_S)
        return step(state)

    graph: Any = StateGraph(Message)
    graph.add_node("llm", llm)
    graph.add_node("tool", tool)
    graph.add_edge(START, "llm")
    graph.add_edge("llm", "tool")
    graph.add_conditional_edges("tool", lambda state: "llm" if state["i"] < 2 * TURNS else END, ["llm", END])
    app = graph.compile(checkpointer=LOOP.run_until_complete(_saver(str(scratch() / "langgraph.db"))))
    ids = count()

    async def main() -> int:
        states = await asyncio.gather(
            *(app.ainvoke(payload(0), _config(f"run{next(ids)}"), durability="sync") for _ in range(n))
        )
        return sum(int(state["i"]) for state in states)

    return lambda: LOOP.run_until_complete(main())


async def _crash_chain(victim: Victim, n: int) -> int:
    async def recorded(state: Any) -> Any:
        victim.step(state["i"])
        return step(state)

    saver = await _saver(str(victim.folder / "langgraph.db"))
    app = cycle(recorded, n).compile(checkpointer=saver)
    begun = await saver.aget_tuple(_config("run")) is not None
    state = await app.ainvoke(None if begun else payload(0), _config("run"), durability="sync")
    await saver.conn.close()
    return int(state["i"])


class Conversation(TypedDict):
    """A state whose messages append."""

    texts: Annotated[list[str], operator.add]


async def _history(victim: Victim, n: int) -> int:
    async def call(state: Any) -> Any:
        number = len(state["texts"]) // 2
        return {"texts": [history.asked(number), history.said(number)]}

    graph: Any = StateGraph(Conversation)
    graph.add_node("call", call)
    graph.add_edge(START, "call")
    graph.add_conditional_edges("call", lambda state: "call" if len(state["texts"]) < 2 * n else END, ["call", END])
    saver = await _saver(str(victim.folder / "langgraph.db"))
    app = graph.compile(checkpointer=saver)
    state = await app.ainvoke({"texts": []}, _config("run"), durability="sync")
    await saver.conn.close()
    return history.digest(state["texts"])


CASES: dict[str, Factory] = {"W1": _factory(chain), "W2": _factory(fan), "W3": _factory(dag), "W4": loops}

if __name__ == "__main__":
    serve_or_die(
        "langgraph-sqlite",
        {
            "langgraph": version("langgraph"),
            "langgraph-checkpoint-sqlite": version("langgraph-checkpoint-sqlite"),
            "sqlite": sqlite3.sqlite_version,
        },
        CASES,
        {
            "chain": lambda victim, n: lambda: asyncio.run(_crash_chain(victim, n)),
            "history": lambda victim, n: lambda: asyncio.run(_history(victim, n)),
        },
    )
