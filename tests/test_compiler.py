"""The whole line: trace, passes, plan, program, run."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import weakref
from typing import Any

import pytest

from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.models.llm import chat, llm
from orchestrator.dsl.regions.control import loop, map_
from orchestrator.dsl.tool import tool
from orchestrator.dsl.workflow import Workflow, workflow
from orchestrator.errors import BudgetError, RunError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.runner import Runner
from orchestrator.testing import fake


@tool(effects="pure")
def shorten(text: str) -> str:
    return text[:4]


@tool(effects="idempotent")
async def later(n: int) -> int:
    return n + 1


@workflow
def summarise(texts: list[str], times: int) -> str:
    short = map_(shorten, texts, limit=10)
    n = loop(later, times, max=5, until=lambda n: n >= 3)
    return llm(f"{short} {n}")


def test_a_workflow_runs_like_a_function() -> None:
    with fake(lambda messages: messages[-1].content):
        assert summarise(texts=["abcdef", "xyz"], times=1) == '["abcd","xyz"] 3'


def test_a_workflow_runs_inside_a_running_loop() -> None:
    async def cell() -> list[str]:
        return [summarise(texts=["a"], times=3), await summarise.arun(texts=["a"], times=3)]

    with fake(lambda messages: messages[-1].content):
        assert asyncio.run(cell()) == ['["a"] 3'] * 2


def test_compiling_again_is_a_lookup_for_each_cluster() -> None:
    cluster = Cluster(engines=(EngineSpec(name="other", kind="sim", model="m"),))
    first = compile_workflow(summarise)
    assert compile_workflow(summarise) is first
    assert compile_workflow(summarise, cluster) is not first
    assert compile_workflow(summarise) is first
    assert "agent.generate" in first.level1
    assert "agent.generate" not in first.level2
    assert first.plan.ir_hash == first.hash == first.program.hash


def test_substituted_tools_are_compiled_apart() -> None:
    with fake(lambda messages: messages[-1].content, tools={"shorten": lambda text: "!"}):
        assert summarise(texts=["abcdef"], times=3) == '["!"] 3'
    with fake(lambda messages: messages[-1].content):
        assert summarise(texts=["abcdef"], times=3) == '["abcd"] 3'


def test_a_tool_defined_again_is_compiled_again() -> None:
    cell = "@tool(effects='pure')\ndef change(text: str) -> str:\n    return text + {!r}"
    notebook: dict[str, Any] = {"tool": tool, "workflow": workflow}
    exec(cell.format("1"), notebook)
    exec("def through(text):\n    return change(text)", notebook)
    exec("@workflow\ndef wf(text: str) -> str:\n    return through(text)", notebook)
    assert notebook["wf"](text="x") == "x1"
    first = compile_workflow(notebook["wf"])
    exec(cell.format("2"), notebook)
    assert notebook["wf"](text="x") == "x2"
    assert compile_workflow(notebook["wf"]) is not first


def test_the_cache_does_not_keep_workflows_alive() -> None:
    def make() -> weakref.ref[Workflow[..., str]]:
        @workflow
        def short_lived(text: str) -> str:
            return shorten(text)

        compile_workflow(short_lived)
        return weakref.ref(short_lived)

    gone = make()
    gc.collect()
    assert gone() is None


def test_a_budget_of_the_workflow_is_enforced() -> None:
    @workflow(budget="50 tokens")
    def costly(text: str) -> str:
        return llm(text, max_tokens=1000)

    with fake(["never"]) as engine, pytest.raises(BudgetError):
        costly(text="x")
    assert not engine.requests


@tool(effects="idempotent", typical_s=1.0)
def look_up(question: str) -> str:
    return f"rows for {question}"


@workflow
def prefetching(question: str) -> str:
    rows = look_up(question)
    first = llm(f"{'Answer from the rows alone, briefly. ' * 5}{rows}")
    conversation = chat(system="Never guess, never round, say so when you cannot tell. " * 4)
    return conversation.say(first + rows).reply


def test_prefetch_hints_change_nothing_but_the_ir() -> None:
    compiled = compile_workflow(prefetching)
    assert compiled.level2.count('"op.kv_prefetch"') == 2
    with fake(["one", "two"]) as engine:
        assert prefetching(question="x") == "two"
    assert [request.messages[-1].content[-10:] for request in engine.requests] == ["rows for x", "rows for x"]


def test_two_passwords_of_an_endpoint_are_two_clusters() -> None:
    def at(password: str) -> Cluster:
        options = {"base_url": f"http://me:{password}@h/v1"}
        return Cluster(engines=(EngineSpec(name="e", kind="openai", model="m", options=options),))

    plans = [compile_workflow(summarise, at(password)).plan for password in ("first", "second", "first")]
    assert [plan.cluster.engines[0].options["base_url"] for plan in plans] == [
        f"http://me:{password}@h/v1" for password in ("first", "second", "first")
    ]


@pytest.mark.parametrize("name", [None, "gpt"])
async def test_a_workflow_compiled_without_a_cluster_runs_on_the_engine_that_serves_its_model(name: str | None) -> None:
    @workflow
    def greet(q: str) -> str:
        return llm(q, model=name)

    async with Runner({"mine": ScriptedEngine(["hello"], model="gpt")}) as runtime:
        assert (await runtime.run(compile_workflow(greet), {"q": "hi"})).value == "hello"


async def test_an_engine_of_the_cluster_is_not_replaced_by_another() -> None:
    @workflow
    def greet(q: str) -> str:
        return llm(q)

    cluster = Cluster(engines=(EngineSpec(name="planned", kind="scripted", model="gpt"),))
    async with Runner({"mine": ScriptedEngine(["hello"], model="gpt")}) as runtime:
        with pytest.raises(RunError, match="no engine serves `planned`"):
            await runtime.run(compile_workflow(greet, cluster), {"q": "hi"})


def test_the_garbage_collector_is_left_as_it_was() -> None:
    """What the user has frozen stays frozen, and nothing else is."""
    gc.unfreeze()  # what commands have frozen that ran in this process
    compile_workflow(summarise, Cluster(engines=(EngineSpec(name="a", kind="sim", model="m"),)))
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    gc.freeze()
    try:
        compile_workflow(summarise, Cluster(engines=(EngineSpec(name="b", kind="sim", model="m"),)))
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_where_nothing_is_to_be_chosen_no_solver_is_imported() -> None:
    program = """
import sys
from orchestrator import llm, workflow
from orchestrator.compiler import compile
from orchestrator.planner.cluster import Cluster, EngineSpec

@workflow
def ask(question: str) -> str:
    return llm(question)

compile(ask, Cluster(engines=(EngineSpec(name="main", kind="sim", model="m"),)))
print([name for name in sys.modules if "highs" in name])
"""
    done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
