"""Tools at an endpoint: offered as the standard says, called in pieces, answered by id; and where it takes none."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from orchestrator import Reply, ToolCall, llm, react, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import OrchError
from orchestrator.planner.cluster import Cluster
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions
from orchestrator.runtime.result import RunResult
from orchestrator.runtime.runner import Runner
from tests.runtime.engines.answering import JSON, Answer, Endpoint, chunk, said, serving, usage


@tool(effects="pure")
def add(left: int, right: int = 2) -> int:
    """Add two numbers.

    Both are whole.
    """
    return left + right


@workflow
def agent(question: str) -> str:
    return react(question, [add])


@workflow
def once(question: str) -> Reply:
    return llm(question, tools=[add])


async def ran(endpoint: Endpoint, flow: Any) -> RunResult:
    options = OpenAIOptions(base_url=endpoint.url, key_env="NO_SUCH_KEY", kv_hints=False)
    async with Runner({"remote": OpenAIEngine("remote", "m", options)}) as runtime:
        return await runtime.run(compile_workflow(flow, Cluster()), {"question": "hi"})


def piece(arguments: Any = "", **call: Any) -> dict[str, Any]:
    """A delta with a piece of a call."""
    name = call.pop("name", None)
    function = {"arguments": arguments, **({"name": name} if name else {})}
    return chunk(None, None, tool_calls=[{**call, "function": function}])


END = [chunk(None, "tool_calls"), usage()]
WHOLE = [piece('{"left": 40}', index=0, id="a", name="add"), *END]


async def test_a_turn_with_calls_and_its_answers_as_the_standard_says() -> None:
    answers = iter([WHOLE, [chunk("It is 42.", "stop"), usage()]])
    with serving(lambda _: next(answers)) as endpoint:
        result = await ran(endpoint, agent)
    assert (result.value, result.warnings) == ("It is 42.", ())
    first, second = endpoint.asked
    (offered,) = first["tools"]
    assert offered["type"] == "function"
    assert offered["function"]["name"] == "add"
    assert offered["function"]["description"] == "Add two numbers.\n\nBoth are whole."
    assert offered["function"]["parameters"]["required"] == ["left"]
    assert set(offered["function"]) == {"name", "description", "parameters"}
    assert first["tool_choice"] == "auto"
    assert "response_format" not in first
    called, answered = second["messages"][-2:]
    function = {"name": "add", "arguments": '{"left": 40}'}
    assert called["tool_calls"] == [{"id": "a", "type": "function", "function": function}]
    assert answered == {"role": "tool", "tool_call_id": "a", "content": "42"}


@pytest.mark.parametrize(
    "events",
    [
        [piece("", index=0, id="a", name="add"), piece('{"left"', index=0), piece(": 1}", index=0),
         piece('{"left": 2}', index=1, id="b", name="add")],
        [piece("", index=0, id="a", name="add"), piece("", index=1, id="b", name="add"),
         piece('{"left": 2', index=1), piece('{"left": 1}', index=0), piece("}", index=1)],
        [piece('{"left": 1}', index=0, id="a", name="add"), piece('{"left": 2}', index=0, id="b", name="add")],
        [piece('{"left"', id="a", name="add"), piece(": 1}"), piece('{"left": 2}', id="b", name="add")],
        [piece({"left": 1}, index=0, id="a", name="add"), piece({"left": 2}, index=1, id="b", name="add")],
        [piece('{"left"', index=0, id="a", name="add"), piece(": 1}", index=0, id="a", name="add"),
         piece('{"left": 2}', index=1, id="b", name="add")],
    ],
    ids=["in order", "interleaved", "all numbered 0", "not numbered", "objects", "named again"],
)  # fmt: skip
async def test_calls_in_pieces(events: list[Any]) -> None:
    with serving([*events, *END]) as endpoint:
        reply = (await ran(endpoint, once)).value
    assert reply == Reply(
        "", [ToolCall("add", '{"left": 1}', "a"), ToolCall("add", '{"left": 2}', "b")], is_final=False
    )


async def test_a_text_is_an_answer_and_may_stand_beside_calls() -> None:
    with serving([chunk("So: ", None), *WHOLE]) as endpoint:
        reply = (await ran(endpoint, once)).value
    assert (reply.text, [call.name for call in reply.calls], reply.is_final) == ("So: ", ["add"], False)
    with serving([chunk("42", "stop"), usage()]) as endpoint:
        assert (await ran(endpoint, once)).value == Reply("42")


async def test_a_call_without_an_id_gets_one() -> None:
    with serving([piece('{"left": 1}', index=0, name="add"), *END]) as endpoint:
        reply = (await ran(endpoint, once)).value
    assert [call.id for call in reply.calls] == ["call_1_0"]


CUT = [
    [piece('{"left": 4', index=0, id="a", name="add")],
    [piece("", index=0, id="a", name="add")],
    [piece('{"left": 4}', index=0, id="a", name="add"), piece('{"le', index=1, id="b", name="add")],
]


@pytest.mark.parametrize("events", CUT, ids=["in its arguments", "before its arguments", "after one that is whole"])
async def test_no_call_is_made_of_a_reply_that_was_cut_off_and_the_model_is_told(events: list[Any]) -> None:
    answers = iter([[*events, chunk(None, "length"), usage()], [chunk("42", "stop"), usage()]])
    with serving(lambda _: next(answers)) as endpoint:
        result = await ran(endpoint, agent)
    assert result.value == "42"
    assert [each.finish_reasons for each in result.ops if each.finish_reasons] == [("length",), ("stop",)]
    [warning] = result.warnings
    assert "was cut off by the engine's own limit" in warning
    said_by_model, told = endpoint.asked[1]["messages"][-2:]
    assert (said_by_model["role"], "tool_calls" in said_by_model) == ("assistant", False)
    assert said_by_model["content"].startswith("add(")
    assert told["role"] == "user"
    assert "call of add was cut off before its end" in told["content"]


async def test_a_call_that_is_whole_is_made_though_the_reply_was_cut_off_behind_it() -> None:
    with serving([piece('{"left": 40}', index=0, id="a", name="add"), chunk(None, "length"), usage()]) as endpoint:
        result = await ran(endpoint, once)
    assert [call.arguments for call in result.value.calls] == ['{"left": 40}']
    assert result.ops[0].finish_reasons == ("tool_calls",)


async def test_a_step_that_was_cut_off_is_said_to_be() -> None:
    step = json.dumps({"thought": "t", "action": {"tool": "add", "args": {"left": 40}}})
    answers = iter([[chunk(step[:-9], "length"), usage()], [chunk(FINISHED, "stop"), usage()]])
    with serving(lambda body: (400, JSON, said(REFUSALS[1])) if "tools" in body else next(answers)) as endpoint:
        result = await ran(endpoint, agent)
    assert result.value == "42"
    assert "Your step was cut off before its end" in endpoint.asked[-1]["messages"][-1]["content"]


FINISHED = json.dumps({"thought": "t", "action": {"tool": "finish", "answer": "42"}})
REFUSALS = [
    '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
    "registry.ollama.ai/library/gemma:2b does not support tools",
    "tools: Extra inputs are not permitted",
]


@pytest.mark.parametrize("words", REFUSALS)
async def test_where_tools_are_refused_the_model_is_asked_for_steps(
    words: str, caplog: pytest.LogCaptureFixture
) -> None:
    steps = iter([{"tool": "add", "args": {"left": 40}}, {"tool": "finish", "answer": "42"}])

    def answer(body: dict[str, Any]) -> Answer:
        if "tools" in body:
            return 400, JSON, said(words)
        return [chunk(json.dumps({"thought": "t", "action": next(steps)}), "stop"), usage()]

    with serving(answer) as endpoint, caplog.at_level(logging.WARNING):
        result = await ran(endpoint, agent)
    assert result.value == "42"
    assert [each for each in result.warnings if "calls no tools itself" in each] == list(result.warnings)
    assert len(result.warnings) == 1
    assert ["tools" in body for body in endpoint.asked] == [True, False, False]
    assert len([each for each in caplog.records if "calls no tools itself" in each.getMessage()]) == 1
    second, last = endpoint.asked[1:]
    assert second["response_format"]["type"] == "json_schema"
    assert "- add(left: int, right: int = 2) -> int: Add two numbers." in second["messages"][0]["content"]
    assert [message["role"] for message in last["messages"]] == ["system", "user", "assistant", "user"]
    assert json.loads(last["messages"][2]["content"])["action"]["tool"] == "add"
    assert last["messages"][3]["content"] == "42"


@pytest.mark.parametrize(
    ("choice", "asked"),
    [("required", "required"), ("add", {"type": "function", "function": {"name": "add"}})],
    ids=["required", "named"],
)
async def test_a_choice_of_tools_is_passed_on(choice: str, asked: Any) -> None:
    @workflow
    def flow(question: str) -> Reply:
        return llm(question, tools=[add], tool_choice=choice)

    def answer(body: dict[str, Any]) -> Answer:
        if "tools" in body:
            return 400, JSON, said(REFUSALS[0])
        schema = body["response_format"]["json_schema"]["schema"]
        assert len(schema["properties"]["action"]["anyOf"]) == 1  # it cannot finish
        return [chunk('{"thought": "", "action": {"tool": "add", "args": {"left": 1}}}', "stop"), usage()]

    with serving(WHOLE) as endpoint:
        assert (await ran(endpoint, flow)).value.calls[0].id == "a"
        assert endpoint.asked[0]["tool_choice"] == asked
    with serving(answer) as endpoint:
        assert (await ran(endpoint, flow)).value.calls[0].name == "add"


async def test_a_call_that_nobody_offered_is_refused_as_before() -> None:
    @workflow
    def flow(question: str) -> str:
        return llm(question)

    with serving(WHOLE) as endpoint, pytest.raises(OrchError) as caught:
        await ran(endpoint, flow)
    assert caught.value.code == "ORCH-E026"
    assert 'add({"left": 40})' in str(caught.value)


async def test_what_is_called_counts_as_output_where_nobody_counts() -> None:
    with serving([WHOLE[0], chunk(None, "tool_calls")]) as endpoint:
        result = await ran(endpoint, once)
    assert result.usage.estimated
    assert result.usage.output_tokens >= len("add") + len('{"left": 40}') - 2


async def test_of_more_calls_than_a_turn_may_have_the_run_says_that_some_are_left_out() -> None:
    calls = [piece('{"left": 1}', index=number, id=f"c{number}", name="add") for number in range(40)]
    with serving([*calls, *END]) as endpoint:
        result = await ran(endpoint, once)
    assert len(result.value.calls) == 32
    assert result.warnings == ("the reply to `llm_1` has 40 calls of tools, and the first 32 are taken",)
