"""react: one compiled loop, a typed step per tool set, a branch per tool."""

from __future__ import annotations

import json

from orchestrator import react, tool, workflow
from orchestrator.agents.react import signature, step_model
from tests.dsl.recording import record


@tool(effects="pure")
def search(query: str, top: int) -> list[str]:
    """Search the web."""
    return [query] * top


@tool(effects="pure")
def add(left: int, right: int) -> int:
    return left + right


@workflow
def assistant(question: str) -> str:
    return react(question, tools=[search, add], max_steps=6)


def test_it_is_one_bounded_loop_with_a_branch_per_tool() -> None:
    graph = record(assistant)
    (loop,) = [op for op in graph.ops if op.kind == "loop"]
    assert loop.attrs["max"] == 6
    assert [result.type for result in loop.results] == ["Chat", "str", "bool"]
    body = loop.regions[1]
    assert [op.kind for op in body.ops if op.kind in ("generate", "branch")] == ["generate", "branch"]
    called = {op.attrs["callee"] for op in graph.ops if op.kind == "tool"}
    assert {"search", "add", "builtin.narrow"} <= called


def test_arguments_reach_the_tools_with_their_types() -> None:
    graph = record(assistant)
    call = graph["search_1"]
    assert call.attrs["params"] == ["query", "top"]
    assert [operand.type for operand in call.operands] == ["str", "int"]


def test_replies_are_decoded_under_a_schema_of_the_legal_calls() -> None:
    schema = json.loads(record(assistant)["llm_1"].opts["schema"])
    tags = schema["properties"]["action"]["discriminator"]["mapping"]
    assert set(tags) == {"search", "add", "finish"}


def test_a_step_validates_only_calls_that_type_check() -> None:
    step = step_model((search, add))
    parsed = step.model.model_validate({"thought": "", "action": {"tool": "add", "args": {"left": 1, "right": 2}}})
    assert parsed.action.args.right == 2  # type: ignore[attr-defined]
    assert step is step_model((search, add))


def test_two_agents_may_use_the_same_tools() -> None:
    @workflow
    def two(question: str) -> str:
        return react(react(question, [search]), [search])

    assert sum(op.kind == "loop" for op in record(two).ops) == 2


def test_the_model_is_told_the_signatures() -> None:
    assert signature(search).startswith("search(query: ")
    assert signature(search).endswith(": Search the web.")
    (system,) = [op for op in record(assistant).ops if op.id == "prompt_1"]
    assert "- add(" in system.attrs["parts"][0]
