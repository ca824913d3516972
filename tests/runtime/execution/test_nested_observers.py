"""Who watches a run with runs within it counts what is used once."""

from __future__ import annotations

from orchestrator import llm, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.events import Feed, OpDone, Reserved, RunStarted, Spent
from orchestrator.runtime.observe import Subscription
from orchestrator.runtime.runner import Runner

CLUSTER = Cluster(engines=(EngineSpec(name="main", kind="scripted", model="scripted"),))


@workflow
def innermost(q: str) -> str:
    return llm(f"say {q}", max_tokens=20)


@tool(effects="idempotent")
async def ask_innermost(q: str) -> str:
    return await innermost.arun(q)


@workflow
def inner(q: str) -> str:
    return ask_innermost(llm(f"repeat {q}", max_tokens=20))


@tool(effects="idempotent")
def ask_inner(q: str) -> str:
    return inner(q) + inner(q)


@workflow
def outer(q: str) -> str:
    return ask_inner(llm(f"first {q}", max_tokens=20))


def _used(feed: list[Feed]) -> Usage:
    return sum((each.usage for each in feed if isinstance(each, (OpDone, Spent)) and each.usage), Usage())


async def test_whatever_it_watches_an_observer_adds_up_what_the_result_says() -> None:
    everything, this_run = Subscription(), Subscription()
    engine = ScriptedEngine(lambda request: request.messages[-1].content.split()[-1])
    async with Runner({"main": engine}, observers=[everything]) as runtime:
        found = await runtime.run(compile_workflow(outer, CLUSTER), {"q": "hi"}, observers=[this_run])
    seen, own = everything.drain(), this_run.drain()
    assert found.usage.input_tokens > 0
    assert _used(seen) == _used(own) == found.usage
    assert sum(isinstance(each, RunStarted) for each in seen) == 5
    assert sum(isinstance(each, RunStarted) for each in own) == 1
    assert sum(isinstance(each, Reserved) for each in seen) == sum(isinstance(each, Reserved) for each in own)
