"""pydantic-graph: its beta graph builder for W1-W3, its node classes for the agent loop of W4."""

# mypy: disable-error-code="import-not-found,misc,untyped-decorator,type-arg"

import asyncio
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from typing import Any

from pydantic_graph import BaseNode, End, GraphBuilder, GraphRunContext, StepContext, reduce_list_append

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


def chain(n: int) -> Run:
    """W1."""
    builder = GraphBuilder(input_type=dict, output_type=dict)
    steps: list[Any] = []
    for k in range(n):

        async def run(ctx: StepContext[None, None, dict]) -> dict:
            return step(ctx.inputs)

        steps.append(builder.step(run, node_id=f"n{k}"))
    edges = [builder.edge_from(builder.start_node).to(steps[0])]
    edges += [builder.edge_from(a).to(b) for a, b in pairwise(steps)]
    builder.add(*edges, builder.edge_from(steps[-1]).to(builder.end_node))
    graph = builder.build()
    return lambda: int(asyncio.run(graph.run(inputs=payload(0)))["i"])


def fan(n: int) -> Run:
    """W2: its documented map and join."""
    builder = GraphBuilder(input_type=int, output_type=int)

    @builder.step
    async def source(ctx: StepContext[None, None, int]) -> list[dict]:
        return [payload(i) for i in range(ctx.inputs)]

    @builder.step
    async def work(ctx: StepContext[None, None, dict]) -> dict:
        return step(ctx.inputs)

    @builder.step
    async def last(ctx: StepContext[None, None, list[dict]]) -> int:
        return int(join_sum(ctx.inputs)["i"])

    join = builder.join(reduce_list_append, initial_factory=list)
    builder.add(
        builder.edge_from(builder.start_node).to(source),
        builder.edge_from(source).map().to(work),
        builder.edge_from(work).to(join),
        builder.edge_from(join).to(last),
        builder.edge_from(last).to(builder.end_node),
    )
    graph = builder.build()
    return lambda: int(asyncio.run(graph.run(inputs=n)))


def dag(n: int) -> Run:
    """W3: a join before every node with in-edges."""
    deps = layered_dag(n)
    builder = GraphBuilder(input_type=dict, output_type=dict)
    steps: dict[int, Any] = {}
    outs: dict[int, list[Any]] = {k: [] for k in deps}
    for k in deps:

        async def run(ctx: StepContext[None, None, object]) -> dict:
            return combine(*ctx.inputs) if isinstance(ctx.inputs, list) else combine()

        steps[k] = builder.step(run, node_id=f"n{k}")
    joins = {k: builder.join(reduce_list_append, initial_factory=list, node_id=f"j{k}") for k, ps in deps.items() if ps}
    end = builder.join(reduce_list_append, initial_factory=list, node_id="jend")
    for k, ps in deps.items():
        for p in ps:
            outs[p].append(joins[k])
    for k in sinks(deps):
        outs[k].append(end)

    async def last(ctx: StepContext[None, None, list[dict]]) -> dict:
        return join_sum(ctx.inputs)

    final = builder.step(last, node_id="last")
    builder.add(builder.edge_from(builder.start_node).to(*[steps[k] for k, ps in deps.items() if not ps]))
    builder.add(*[builder.edge_from(steps[k]).to(*outs[k]) for k in deps])
    builder.add(*[builder.edge_from(joins[k]).to(steps[k]) for k in joins])
    builder.add(builder.edge_from(end).to(final), builder.edge_from(final).to(builder.end_node))
    graph = builder.build()
    return lambda: int(asyncio.run(graph.run(inputs=payload(0)))["i"])


@dataclass
class Llm(BaseNode[None, None, dict]):
    """The 50 ms half of a turn."""

    state: dict[str, Any]

    async def run(self, ctx: GraphRunContext) -> "Tool":
        await asyncio.sleep(LLM_S)
        return Tool(step(self.state))


@dataclass
class Tool(BaseNode[None, None, dict]):
    """The 20 ms half of a turn."""

    state: dict[str, Any]

    async def run(self, ctx: GraphRunContext) -> Llm | End[dict]:
        await asyncio.sleep(TOOL_S)
        state = step(self.state)
        return Llm(state) if state["i"] < 2 * TURNS else End(state)


def loops(n: int) -> Run:
    """W4."""
    builder = GraphBuilder(input_type=dict, output_type=dict)

    @builder.step
    async def begin(ctx: StepContext[None, None, dict]) -> Llm:
        return Llm(ctx.inputs)

    builder.add(builder.node(Llm), builder.node(Tool), builder.edge_from(builder.start_node).to(begin))
    graph = builder.build()

    async def main() -> int:
        states = await asyncio.gather(*(graph.run(inputs=payload(0)) for _ in range(n)))
        return sum(int(state["i"]) for state in states)

    return lambda: asyncio.run(main())


CASES: dict[str, Factory] = {"W1": chain, "W2": fan, "W3": dag, "W4": loops}

if __name__ == "__main__":
    serve("pydantic-graph", {"pydantic-graph": version("pydantic-graph")}, CASES)
