"""react: one compiled loop, a typed step per tool set, a switch over the tools."""

from __future__ import annotations

import json

import pytest

from orchestrator import Tool, react, tool, workflow
from tests.dsl.recording import Block, Op, record


@tool(effects="pure")
def search(query: str, top: int = 2) -> list[str]:
    """Search the web."""
    return [query] * top


@tool(effects="pure")
def add(left: int, right: int) -> int:
    return left + right


def calls_of(loop: Op) -> Block:
    """What happens to each call of a turn."""
    (each,) = [op for op in loop.regions[1].ops if op.kind == "map"]
    return each.regions[0]


@workflow
def assistant(question: str) -> str:
    return react(question, tools=[search, add], max_steps=6)


def test_it_is_one_bounded_loop_that_dispatches_by_position() -> None:
    graph = record(assistant)
    (loop,) = [op for op in graph.ops if op.kind == "loop"]
    assert loop.attrs["max"] == 6
    assert [result.type for result in loop.results] == ["Chat", "list[Message]", "str", "bool"]
    body = loop.regions[1]
    assert [op.kind for op in body.ops if op.kind in ("generate", "map")] == ["generate", "map"]
    assert [op.kind for op in calls_of(loop).ops if op.kind == "switch"] == ["switch"]
    called = {op.attrs["callee"] for op in graph.ops if op.kind == "tool"}
    assert {"search", "add", "builtin.narrow"} <= called


@pytest.mark.parametrize("count", [0, 1, 2, 7, 33])
def test_a_step_is_dispatched_at_once_however_many_tools_there_are(count: int) -> None:
    def one(number: int) -> Tool[..., str]:
        def fetch(url: str) -> str:
            return f"{number}{url}"

        return tool(fetch, name=f"fetch_{number}")

    tools = [one(number) for number in range(count)]

    @workflow
    def agent(question: str) -> str:
        return react(question, tools)

    (loop,) = [op for op in record(agent).ops if op.kind == "loop"]
    (switch,) = [op for op in calls_of(loop).ops if op.kind == "switch"]
    assert len(switch.regions) == count + 1
    attempts = [op.kind for region in switch.regions[:-1] for op in region.ops if op.regions]
    assert attempts == ["attempt"] * count


def test_arguments_reach_the_tools_with_their_types() -> None:
    graph = record(assistant)
    call = graph["search_1"]
    assert call.attrs["params"] == ["query", "top"]
    assert [operand.type for operand in call.operands] == ["str", "int"]


def test_replies_are_made_under_a_schema_of_the_legal_calls() -> None:
    schema = json.loads(record(assistant)["llm_1"].opts["steps"])
    tags = schema["properties"]["action"]["discriminator"]["mapping"]
    assert set(tags) == {"search", "add", "finish"}
    arguments = next(value for name, value in schema["$defs"].items() if name.startswith("search_arguments"))
    assert arguments["required"] == ["query"]
    assert arguments["additionalProperties"] is False


def test_two_agents_may_use_the_same_tools() -> None:
    def look(query: str) -> str:
        return query

    @workflow
    def two(question: str) -> str:
        return react(react(react(question, [search]), [look]), [look])

    assert sum(op.kind == "loop" for op in record(two).ops) == 3


def test_options_of_the_turns() -> None:
    @workflow
    def agent(question: str) -> str:
        return react(question, [search], temperature=0.5, max_tokens=9, retry=2, timeout="30s", model="m", name="agent")

    graph = record(agent)
    for turn in (op for op in graph.ops if op.kind == "generate"):
        assert (turn.opts["temperature"], turn.opts["max_tokens"], turn.opts["timeout_s"]) == (0.5, 9, 30.0)
        assert turn.opts["retry"]["attempts"] == 2
    assert graph["agent"].kind == "loop"
    assert graph["chat_1"].opts == {"model": "m"}


def test_the_model_is_told_the_signatures() -> None:
    tools = json.loads(record(assistant)["llm_1"].opts["tools"])
    assert [each["signature"] for each in tools] == [
        "search(query: str, top: int = 2) -> list[str]: Search the web.",
        "add(left: int, right: int) -> int",
    ]
    assert tools[0]["parameters"]["required"] == ["query"]
    assert tools[0]["parameters"]["properties"]["top"]["type"] == "integer"

    @workflow
    def listed(question: str) -> str:
        return react(question, [search], system="You have:\n{tools}")

    (system,) = [op for op in record(listed).ops if op.id == "prompt_1"]
    assert system.attrs["parts"][0].splitlines()[1] == f"- {tools[0]['signature']}"
