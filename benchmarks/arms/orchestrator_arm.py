"""Our executor: ordinary workflows, compiled the ordinary way, run in process with the in-memory journal on.

W2 maps over the list its source returns and W4 maps a bounded loop over its agents, as users write them. Three more
cases look at the same shapes differently: ``W2-static`` spells the thousand branches out as a thousand ops,
``W4-runs`` starts two hundred runs of a one-agent workflow at once, and the steps of ``W4-effects`` declare effects, so
that each waits until the journal holds what it depends on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from importlib.util import find_spec
from typing import Any

import uvloop

from benchmarks.arms import workloads
from benchmarks.arms.serve import serve
from benchmarks.arms.workloads import (
    LLM_S,
    TOOL_S,
    TURNS,
    Factory,
    Run,
    State,
    join_sum,
    layered_dag,
    payload,
    sinks,
    steps,
)
from benchmarks.harness.machine import versions
from orchestrator import Tool, Workflow, loop, map_, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.planner.graph import read
from orchestrator.runtime.journal.events import Computed, Feed, OpDone
from orchestrator.runtime.observe import Subscription
from orchestrator.runtime.program.lowering import lower
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.runner import Runner


@tool(effects="pure", cheap=True)
def step(state: State) -> State:
    """The no-op step."""
    return workloads.step(state)


@tool(effects="pure", cheap=True)
def first(node: int) -> State:
    """A DAG node of the first layer. Its number keeps the nodes apart: equal pure ops are merged."""
    return workloads.combine()


@tool(effects="pure", cheap=True)
def combine(a: State, b: State, c: State) -> State:
    """A DAG node."""
    return workloads.combine(a, b, c)


@tool(effects="pure", cheap=True)
def join(states: list[State]) -> int:
    """The join of a fan-out, and of a DAG's sinks."""
    return int(join_sum(states)["i"])


@tool(effects="pure", cheap=True)
def fan_out(n: int) -> list[State]:
    """The source of a fan-out."""
    return [payload(i) for i in range(n)]


@tool(effects="pure", cheap=True)
def branch_state(i: int) -> State:
    """The source of one branch of the static fan-out."""
    return payload(i)


@tool(effects="pure", cheap=True)
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


model_call = tool(_model_call, effects="pure", name="model_call")
tool_call = tool(_tool_call, effects="pure", name="tool_call")
model_call_with_effects = tool(_model_call, effects="idempotent", name="model_call_with_effects")
tool_call_with_effects = tool(_tool_call, effects="idempotent", name="tool_call_with_effects")


def chain(n: int, step: Tool[..., Any] = step) -> Workflow[..., Any]:
    """W1."""

    @workflow
    def w1(start: State) -> State:
        state = start
        for _ in range(n):
            state = step(state)
        return state

    return w1


def fan(n: int, step: Tool[..., Any] = step) -> Workflow[..., Any]:
    """W2."""

    @workflow
    def w2(count: int) -> int:
        return join(map_(step, fan_out(count), limit=n))

    return w2


def dag(n: int, first: Tool[..., Any] = first, combine: Tool[..., Any] = combine) -> Workflow[..., Any]:
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


def loops_with_effects(n: int) -> Workflow[..., Any]:
    """W4 with steps that act on the world."""

    def turn(state: State) -> State:
        return tool_call_with_effects(model_call_with_effects(state))

    def agent(state: State) -> State:
        return loop(turn, state, max=TURNS, until=lambda s: s["i"] >= 2 * TURNS)

    @workflow
    def w4_effects(count: int) -> list[State]:
        return map_(agent, start_states(count), limit=n)

    return w4_effects


@workflow
def one_agent(start: State) -> State:
    """W4's agent as a workflow of its own."""
    return _agent(start)


WHOLE_COMPILER = find_spec("orchestrator.passes.pipeline") is not None
"""Where the passes are missing, the traced module is lowered as it is, and the report's versions say so."""


def compiled(flow: Workflow[..., Any]) -> Program:
    """The executable form of a workflow."""
    if WHOLE_COMPILER:
        return compile_workflow(flow).program
    traced = flow.trace()
    return lower(read(traced.module), traced.bindings, returns=traced.returns, program_hash=flow.name)


def total(value: Any) -> int:
    """The figure to check: a state's, a list of states' sum, or the join's own."""
    if isinstance(value, dict):
        return int(value["i"])
    return sum(total(each) for each in value) if isinstance(value, list) else int(value)


def results_in(feed: Iterable[Feed]) -> int:
    """How many step results a run shows, written down or computed; the list a map yields holds one for each item."""
    values = [value for each in feed if isinstance(each, (OpDone, Computed)) for value in each.values]
    return sum(len(value) if isinstance(value, list) else 1 for value in values)


def on(run: Callable[[Coroutine[Any, Any, int]], int]) -> dict[str, Factory]:
    """The cases on the event loop that `run` starts."""

    def factory(
        case: str, make: Callable[[int], Workflow[..., Any]], inputs: Callable[[int], tuple[object, ...]]
    ) -> Factory:
        def build(n: int) -> Run:
            program, given = compiled(make(n)), inputs(n)

            async def checked() -> int:
                seen = Subscription(limit=10_000_000)
                async with Runner() as runtime:
                    await runtime.run_program(program, given, observers=[seen])
                return results_in(seen.drain())

            async def main() -> int:
                async with Runner() as runtime:
                    return total((await runtime.run_program(program, given)).value)

            found = run(checked())
            if found < steps(case, n):
                raise RuntimeError(f"the run shows {found} results of {steps(case, n)} steps")
            return lambda: run(main())

        return build

    def many_runs(n: int) -> Run:
        program = compiled(one_agent)

        async def main() -> int:
            async with Runner() as runtime:
                results = await asyncio.gather(*(runtime.run_program(program, (payload(0),)) for _ in range(n)))
            return sum(total(result.value) for result in results)

        return lambda: run(main())

    return {
        "W1": factory("W1", chain, lambda n: (payload(0),)),
        "W2": factory("W2", fan, lambda n: (n,)),
        "W3": factory("W3", dag, lambda n: ()),
        "W4": factory("W4", loops, lambda n: (n,)),
        "W2-static": factory("W2", static_fan, lambda n: ()),
        "W4-runs": many_runs,
        "W4-effects": factory("W4", loops_with_effects, lambda n: (n,)),
    }


if __name__ == "__main__":
    stages = "trace, passes, plan, lower" if WHOLE_COMPILER else "trace, lower"
    serve("orchestrator", {**versions("torch-mlir", "uvloop"), "stages": stages}, on(uvloop.run))
