"""What the tests of react share: tools, a model's steps, and what it is told after them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from pydantic import BaseModel

from orchestrator import ToolCall, react, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.runner import Runner
from orchestrator.testing import fake


class Place(BaseModel):
    city: str
    zone: int = 1


class Unstorable:
    pass


CLUSTER = Cluster(engines=(EngineSpec(name="main", kind="scripted", model="m"),))


def call(name: str, **args: Any) -> str:
    return json.dumps({"thought": "t", "action": {"tool": name, "args": args}})


DONE = json.dumps({"thought": "t", "action": {"tool": "finish", "answer": "done"}})


def native(step: str) -> ToolCall | str:
    """What an engine that calls tools says in the place of a step."""
    action = json.loads(step)["action"]
    return action["answer"] if "answer" in action else ToolCall(action["tool"], json.dumps(action["args"]))


def told(tools: list[Any], *replies: str, deps: Any = None) -> list[str]:
    """What the model is told after each of its replies, whether it calls tools itself or writes steps."""

    def agent(question: str) -> str:
        return react(question, tools, deps=deps)

    with fake([native(reply) for reply in (*replies, DONE)]) as engine:
        assert workflow(agent)("q") == "done"
    return [message.content for message in engine.requests[-1].messages if message.role == "tool"]


def told_of_steps(tools: list[Any], *replies: str) -> list[str]:
    """What a model is told that is asked for steps."""

    @workflow
    def agent(question: str) -> str:
        return react(question, tools)

    engine = ScriptedEngine([*replies, DONE], takes_tools=False)

    async def run() -> Any:
        async with Runner({"main": engine}) as runtime:
            return (await runtime.run(compile_workflow(agent, CLUSTER), {"question": "q"})).value

    assert asyncio.run(run()) == "done"
    assert not any(message.calls or message.role == "tool" for message in engine.requests[-1].messages)
    return [message.content for message in engine.requests[-1].messages if message.role == "user"][1:]


@tool(effects="idempotent")
def page(url: str) -> str:
    """Read a page."""
    raise LookupError(f"no page {url}")


@tool(effects="pure")
def add(left: int, right: int = 2) -> int:
    return left + right


@tool(effects="idempotent")
async def weather(place: Place, days: int | None = None, *, cc: list[str] | None = None) -> dict[str, float]:
    assert isinstance(place, Place)
    return {place.city: float(place.zone), "days": float(days or 0), "cc": float(len(cc or ()))}
