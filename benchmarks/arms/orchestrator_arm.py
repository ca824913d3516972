"""Our executor: ordinary workflows, compiled the ordinary way, run in process with the in-memory journal on.

W2 maps over the list its source returns and W4 maps a bounded loop over its agents, as users write them. Two more
cases look at the same shapes differently: ``W2-static`` spells the thousand branches out as a thousand ops, and
``W4-runs`` starts two hundred runs of a one-agent workflow at once.
"""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.arms import workloads
from benchmarks.arms.workloads import (
    LLM_S,
    TOOL_S,
    TURNS,
    State,
    join_sum,
    layered_dag,
    payload,
    sinks,
)
from orchestrator import Workflow, loop, map_, tool, workflow


@tool(effects="pure")
def step(state: State) -> State:
    """The no-op step."""
    return workloads.step(state)


@tool(effects="pure")
def first(node: int) -> State:
    """A DAG node of the first layer. Its number keeps the nodes apart: equal pure ops are merged."""
    return workloads.combine()


@tool(effects="pure")
def combine(a: State, b: State, c: State) -> State:
    """A DAG node."""
    return workloads.combine(a, b, c)


@tool(effects="pure")
def join(states: list[State]) -> int:
    """The join of a fan-out, and of a DAG's sinks."""
    return int(join_sum(states)["i"])


@tool(effects="pure")
def fan_out(n: int) -> list[State]:
    """The source of a fan-out."""
    return [payload(i) for i in range(n)]


@tool(effects="pure")
def branch_state(i: int) -> State:
    """The source of one branch of the static fan-out."""
    return payload(i)


@tool(effects="pure")
def start_states(n: int) -> list[State]:
    """Where the agents start."""
    return [payload(0) for _ in range(n)]


async def _model_call(state: State) -> State:
    """The 50 ms half of a turn."""
    await asyncio.sleep(LLM_S)
    return workloads.step(state)


async def _tool_call(state: State) -> State:
    """The 20 ms half of a turn."""
    await asyncio.sleep(TOOL_S)
    return workloads.step(state)


model_call = tool(_model_call, effects="idempotent", name="model_call")
tool_call = tool(_tool_call, effects="idempotent", name="tool_call")


def chain(n: int) -> Workflow[..., Any]:
    """W1."""

    @workflow
    def w1(start: State) -> State:
        state = start
        for _ in range(n):
            state = step(state)
        return state

    return w1


def fan(n: int) -> Workflow[..., Any]:
    """W2."""

    @workflow
    def w2(count: int) -> int:
        return join(map_(step, fan_out(count), limit=n))

    return w2


def dag(n: int) -> Workflow[..., Any]:
    """W3."""
    deps = layered_dag(n)

    @workflow
    def w3() -> int:
        values: dict[int, State] = {}
        for node, ps in deps.items():
            values[node] = combine(*(values[p] for p in ps)) if ps else first(node)
        return join([values[node] for node in sinks(deps)])

    return w3


def static_fan(n: int) -> Workflow[..., Any]:
    """W2 with every branch an op of its own."""

    @workflow
    def w2_static() -> int:
        return join([step(branch_state(i)) for i in range(n)])

    return w2_static


def _agent(state: State) -> State:
    return loop(lambda s: tool_call(model_call(s)), state, max=TURNS, until=lambda s: s["i"] >= 2 * TURNS)


def loops(n: int) -> Workflow[..., Any]:
    """W4."""

    @workflow
    def w4(count: int) -> list[State]:
        return map_(_agent, start_states(count), limit=n)

    return w4


@workflow
def one_agent(start: State) -> State:
    """W4's agent as a workflow of its own."""
    return _agent(start)
