"""Workflows called as functions, where there is neither Ray nor an engine."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator import Chat, llm, map_, tool, vote, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.runner import Runner
from orchestrator.testing import fake


class Row(BaseModel):
    name: str


class Gap(BaseModel):
    why: str


@tool(effects="pure", typical_s=30)
def heavy(text: str) -> str:
    return f"{text} in {os.getpid()} {threading.current_thread().name}"


@workflow
def many(texts: list[str]) -> list[str]:
    return map_(heavy, texts, limit=3)


def test_long_pure_tools_beside_each_other_run_in_processes_and_what_replaces_them_runs_here() -> None:
    assert all(f"in {os.getpid()} " not in each for each in many(["a", "b"]))
    noted: list[str] = []
    with fake(tools={"heavy": lambda text: noted.append(text) or text}):
        assert many(["a", "b"]) == ["a", "b"]
    assert sorted(noted) == ["a", "b"]
    with fake():
        assert len(many(["a"])) == 1


@tool(effects="pure")
async def stops_the_event_loop(text: str) -> str:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)
    return text


def test_a_tool_that_stops_the_event_loop_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    @workflow
    def flow(text: str) -> str:
        return stops_the_event_loop(stops_the_event_loop(text))

    assert flow("on") == "on"
    assert "stopped the event loop" in caplog.text


@tool(effects="pure")
async def leaves_a_callback_that_exits(how: str) -> str:
    loop = asyncio.get_running_loop()
    match how:
        case "soon":
            loop.call_soon(sys.exit, "over")
        case "later":
            loop.call_later(0.001, sys.exit, "over")
        case "done":
            future = loop.create_future()
            future.add_done_callback(lambda _: sys.exit("over"))
            future.set_result(None)
    await asyncio.sleep(0.01)
    return how


@pytest.mark.parametrize("how", ["soon", "later", "done"])
def test_a_callback_of_a_tool_that_exits_ends_nothing(how: str, caplog: pytest.LogCaptureFixture) -> None:
    @workflow
    def flow(how: str) -> list[str]:
        return [leaves_a_callback_that_exits(how), stays(how)]

    assert flow(how) == [how, how]
    assert "SystemExit: over" in caplog.text


@tool(effects="pure")
async def stays(text: str) -> str:
    await asyncio.sleep(0.02)
    return text


SIGNALLED = """
import asyncio, signal, sys
from orchestrator import tool, workflow

signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))

@tool(effects="pure")
async def waits(n: int) -> int:
    asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGTERM)
    await asyncio.sleep(30)
    return n

@workflow
def flow(n: int) -> int:
    return waits(n)

flow(1)
"""


def test_a_signals_handler_still_ends_the_process_from_within_a_callback(tmp_path: Path) -> None:
    script = tmp_path / "signalled.py"
    script.write_text(SIGNALLED)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 7, done.stderr


def test_the_plan_for_this_machine_is_for_what_is_there() -> None:
    places = {op.place for op in compile_workflow(many).plan.ops}
    assert places & {"thread", "process"}
    assert not any(place.startswith("ray") for place in places)


@pytest.mark.parametrize(("given", "found"), [("row", Row(name="x")), ("gap", Gap(why="y")), ("none", None), ("n", 3)])
def test_a_pure_tool_may_return_one_of_several_types(given: str, found: object) -> None:
    @tool(effects="pure")
    def find(what: str) -> Row | Gap | float | None:
        return {"row": Row(name="x"), "gap": Gap(why="y"), "n": 3}.get(what)  # type: ignore[return-value]

    @tool(effects="pure")
    def anything(what: str) -> Any:
        return find.fn(what)

    def flow(what: str) -> Any:
        return [find(what), anything(what)]

    with fake():
        assert workflow(flow)(given) == [found, found]


def test_a_pure_tool_that_returns_none_of_them_is_reported() -> None:
    @tool(effects="pure")
    def find(what: str) -> Row | None:
        return what  # type: ignore[return-value]

    def flow(what: str) -> Row | None:
        return find(what)

    with fake(), pytest.raises(RunError) as caught:
        workflow(flow)("x")
    assert caught.value.code == "ORCH-R002"


def test_a_vote_over_replies_of_any_type() -> None:
    def flow(q: str) -> Any:
        return vote(llm(q, returns=Any, samples=3))

    with fake(["1", "[2]", "[2]"]):
        assert workflow(flow)("x") == [2]


@workflow
def greeting(name: str, tone: str = "kind", times: int = 2) -> str:
    return f"{tone} {name} {times}"


async def test_a_runtime_fills_in_the_defaults_of_parameters() -> None:
    async with Runner() as runtime:
        result = await runtime.run(compile_workflow(greeting), {"name": "Ada", "times": "3"})
        assert result.value == "kind Ada 3"
        with pytest.raises(RunError) as caught:
            await runtime.run(compile_workflow(greeting), {"tone": "rude"})
    assert [each.message for each in caught.value.diagnostics] == ["wrong inputs: `name` is missing"]


async def test_a_conversation_goes_on_in_another_run() -> None:
    @workflow
    def start(q: str) -> Any:
        from orchestrator import chat

        return chat("Be brief.").say(q).chat

    @workflow
    def go_on(before: Chat, q: str) -> str:
        return before.say(q).reply

    cluster = Cluster(engines=(EngineSpec(name="main", kind="scripted", model="m"),))
    engine = ScriptedEngine(["hello", "bye"])
    async with Runner({"main": engine}) as runtime:
        first = await runtime.run(compile_workflow(start, cluster), {"q": "hi"})
        second = await runtime.run(compile_workflow(go_on, cluster), {"before": first.value, "q": "leave"})
    assert second.value == "bye"
    assert [each.content for each in engine.requests[-1].messages] == ["Be brief.", "hi", "hello", "leave"]
