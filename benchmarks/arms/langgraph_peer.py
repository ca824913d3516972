"""LangGraph: state graphs without a checkpointer; the fan-out uses `Send`, its documented map."""

# mypy: disable-error-code="import-not-found,import-untyped,misc,type-var,unused-ignore,call-overload,arg-type"

from __future__ import annotations

import asyncio
import operator
from importlib.metadata import version
from typing import Annotated, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from benchmarks.arms.serve import serve
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

CONFIG: Any = {"recursion_limit": 10**6}


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


async def _step(state: Any) -> Any:
    return step(state)


async def _llm(state: Any) -> Any:
    await asyncio.sleep(LLM_S)
    return step(state)


async def _tool(state: Any) -> Any:
    await asyncio.sleep(TOOL_S)
    return step(state)


def chain(n: int) -> Run:
    """W1."""
    graph: Any = StateGraph(Message)
    for k in range(n):
        graph.add_node(f"n{k}", _step)
        graph.add_edge(f"n{k - 1}" if k else START, f"n{k}")
    graph.add_edge(f"n{n - 1}", END)
    app = graph.compile()

    async def main() -> int:
        return int((await app.ainvoke(payload(0), CONFIG))["i"])

    return lambda: asyncio.run(main())


def fan(n: int) -> Run:
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
    app = graph.compile()

    async def main() -> int:
        return int((await app.ainvoke({"out": [], "total": 0}, CONFIG))["total"])

    return lambda: asyncio.run(main())


def dag(n: int) -> Run:
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
    app = graph.compile()

    async def main() -> int:
        values = (await app.ainvoke({"values": {}}, CONFIG))["values"]
        return int(join_sum(values[k] for k in sinks(deps))["i"])

    return lambda: asyncio.run(main())


def loops(n: int) -> Run:
    """W4: one graph with a cycle, invoked n times at once."""
    graph: Any = StateGraph(Message)
    graph.add_node("llm", _llm)
    graph.add_node("tool", _tool)
    graph.add_edge(START, "llm")
    graph.add_edge("llm", "tool")
    graph.add_conditional_edges("tool", lambda state: "llm" if state["i"] < 2 * TURNS else END, ["llm", END])
    app = graph.compile()

    async def main() -> int:
        states = await asyncio.gather(*(app.ainvoke(payload(0), CONFIG) for _ in range(n)))
        return sum(int(state["i"]) for state in states)

    return lambda: asyncio.run(main())


CASES: dict[str, Factory] = {"W1": chain, "W2": fan, "W3": dag, "W4": loops}

if __name__ == "__main__":
    serve("langgraph", {"langgraph": version("langgraph")}, CASES)
