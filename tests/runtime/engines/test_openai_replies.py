"""Replies as servers really send them, and the words in which they want to be asked."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from orchestrator.dsl.models.messages import Message
from orchestrator.errors import EngineError
from orchestrator.runtime.engines.base import Completion, GenerateRequest, Sampling, Usage, complete, noting
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions
from orchestrator.runtime.engines.sim import SimEngine, SimOptions
from tests.runtime.engines.answering import COUNTS, JSON, Answer, chunk, completion, said, serving, usage
from tests.runtime.engines.chat_server import chat_server

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": False}


async def ask(url: str, count: int = 1, notes: list[str] | None = None, **sampling: Any) -> Completion:
    """The last of several replies of one engine."""
    engine = OpenAIEngine("remote", "m", OpenAIOptions(base_url=url, key_env="NO_SUCH_KEY", kv_hints=False))
    await engine.start()
    request = GenerateRequest("1", "default", (Message("user", "hi"),), Sampling(**sampling))
    try:
        with noting((notes if notes is not None else []).append):
            for _ in range(count):
                reply = await complete(engine, request)
    finally:
        await engine.close()
    assert (await engine.stats()).running == 0
    return reply


NULL = chunk()
WITHOUT_DELTA = {**chunk(), "choices": [{"index": 0, "delta": None, "finish_reason": None}]}
WITHOUT_INDEX = {**chunk(), "choices": [{"delta": {"content": "one two"}, "finish_reason": "stop"}]}
PARTS = [{"type": "text", "text": "one "}, {"type": "image"}, "two"]


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([chunk("one ", ""), chunk("two", ""), chunk("", "stop")], id="empty reasons"),
        pytest.param([chunk("one ", "stop"), chunk("two")], id="text behind the reason"),
        pytest.param([chunk("one ", "stop"), chunk("two", "stop")], id="two reasons"),
        pytest.param([chunk("one two")], id="no reason, but the end"),
        pytest.param([chunk("one two", "eos")], id="another reason"),
        pytest.param([{**NULL, "choices": None}, chunk("one two", "stop")], id="choices null"),
        pytest.param([WITHOUT_DELTA, {**NULL, "choices": [None]}, chunk("one two", "stop")], id="delta null"),
        pytest.param([b"null", {}, chunk("one two", "stop"), b"null"], id="nothing at all"),
        pytest.param([WITHOUT_INDEX], id="no index"),
        pytest.param([chunk("one ", None, 1), chunk("two", "stop", 1)], id="counted from one"),
        pytest.param([chunk(PARTS, "stop")], id="parts"),
        pytest.param([chunk(None, role="assistant"), chunk("one two", "stop")], id="role first"),
    ],
)
async def test_the_text_of(events: list[Any]) -> None:
    with serving([*events, usage()]) as endpoint:
        reply = await ask(endpoint.url)
    assert (reply.texts, reply.finish_reasons, reply.usage) == (("one two",), ("stop",), Usage(12, None, 5))


@pytest.mark.parametrize("headers", [JSON, {"content-type": "text/event-stream"}, {}])
async def test_a_reply_that_is_not_streamed_is_read(headers: dict[str, str]) -> None:
    with serving((200, headers, completion("hello"))) as endpoint:
        reply = await ask(endpoint.url)
    assert (reply.texts, reply.usage) == (("hello",), Usage(12, None, 5))


@pytest.mark.parametrize(
    ("counts", "known"),
    [
        (None, None),
        ({}, None),
        (dict.fromkeys(COUNTS), None),
        (dict.fromkeys(COUNTS, 0), None),
        ({"completion_tokens": 5}, None),
        ({"prompt_tokens": 12, "completion_tokens": 0}, None),
        ({"prompt_tokens": "12", "completion_tokens": 5}, None),
        ({"prompt_tokens": 12.0, "completion_tokens": 5.0}, Usage(12, None, 5)),
        ({"prompt_tokens": float("nan"), "completion_tokens": 5}, None),
        ({"prompt_tokens": -3, "completion_tokens": 5}, None),
        ({"prompt_tokens": True, "completion_tokens": 5}, None),
        ({"prompt_tokens": 10**30, "completion_tokens": 5}, None),
        ({"completion_tokens": 5, "total_tokens": 17}, Usage(12, None, 5)),
        ({**COUNTS, "total_tokens": 217}, Usage(12, None, 205)),  # reasoning, in the total only
        ({**COUNTS, "total_tokens": 9}, Usage(12, None, 5)),
        ({**COUNTS, "prompt_tokens_details": None}, Usage(12, None, 5)),
        ({**COUNTS, "prompt_tokens_details": {"cached_tokens": None}}, Usage(12, None, 5)),
        ({**COUNTS, "prompt_tokens_details": {"cached_tokens": 0}}, Usage(12, 0, 5)),
        ({**COUNTS, "prompt_tokens_details": {"cached_tokens": 8}}, Usage(12, 8, 5)),
        ({**COUNTS, "prompt_cache_hit_tokens": 8}, Usage(12, 8, 5)),
    ],
)
async def test_what_is_not_counted_is_not_known(counts: Any, known: Usage | None) -> None:
    with serving([chunk("hello", "stop"), usage(counts)]) as endpoint:
        assert (await ask(endpoint.url)).usage == known


async def test_halves_of_a_character_are_joined_over_chunks() -> None:
    def half(escape: str) -> bytes:
        return json.dumps(chunk("X")).replace("X", escape).encode()

    with serving([half("a\\ud83d"), half("\\ude00b\\udc00"), half("c\\ud83d"), chunk("", "stop")]) as endpoint:
        assert (await ask(endpoint.url)).texts == ("a\U0001f600b\ufffdc\ufffd",)


async def test_halves_in_a_refusal_can_be_printed() -> None:
    event = json.dumps(chunk(None, "stop", refusal="X")).replace("X", "No\\ud83d").encode()
    with serving([event, usage()]) as endpoint:
        assert (await ask(endpoint.url)).texts == ("No\ufffd",)


CALL = {"index": 0, "id": "a", "type": "function", "function": {"name": "look_up", "arguments": '{"q": '}}
MORE = {"index": 0, "function": {"arguments": "1}"}}


@pytest.mark.parametrize(
    ("events", "reason", "text"),
    [
        ([chunk("The ans", "length")], "length", "The ans"),
        ([chunk("The ans", "max_tokens")], "length", "The ans"),
        ([chunk(None, None, reasoning_content="hm"), chunk(None, "length")], "length", ""),
        ([chunk("The secret is "), chunk("", "content_filter")], "content_filter", "The secret is "),
        ([chunk("", "SAFETY")], "content_filter", ""),
        ([chunk(None, None, refusal="I can"), chunk(None, "stop", refusal="not.")], "refusal", "I cannot."),
        ([chunk([{"type": "refusal", "refusal": "Not that."}], "stop")], "refusal", "Not that."),
        (
            [chunk(None, None, tool_calls=[CALL]), chunk(None, "tool_calls", tool_calls=[MORE])],
            "tool_calls",
            'look_up({"q": 1})',
        ),
        ([chunk(None, "function_call", function_call={"name": "f", "arguments": "{}"})], "tool_calls", "f({})"),
        ([chunk("It is 4.", "tool_calls")], "stop", "It is 4."),
    ],
)
async def test_why_a_reply_ended(events: list[Any], reason: str, text: str) -> None:
    with serving([*events, usage()]) as endpoint:
        reply = await ask(endpoint.url)
    assert (reply.finish_reasons, reply.texts) == ((reason,), (text,))


def ignores_n(body: dict[str, Any]) -> Answer:
    return [chunk(f"seed {body.get('seed')}", "stop"), usage()]


def refuses_n(body: dict[str, Any]) -> Answer:
    return (400, JSON, said("n must be 1")) if body["n"] > 1 else ignores_n(body)


def does_not_know_n(body: dict[str, Any]) -> Answer:
    return (422, JSON, said("body.n: Extra inputs are not permitted")) if "n" in body else ignores_n(body)


@pytest.mark.parametrize(("answer", "first"), [(ignores_n, 3), (refuses_n, 4), (does_not_know_n, 5)])
async def test_missing_samples_are_asked_for_one_by_one(answer: Any, first: int) -> None:
    with serving(answer) as endpoint:
        reply = await ask(endpoint.url, samples=3, temperature=0.7)
        assert len(endpoint.asked) <= first
        assert reply.texts == ("seed None",) * 3
        assert reply.usage == Usage(36, None, 15)
        endpoint.asked.clear()
        await ask(endpoint.url, 2, samples=3, temperature=0.7)
        again = endpoint.asked[-3:]
        assert [body.get("n", 1) for body in again] == [1, 1, 1]  # it is known


async def test_samples_that_are_asked_for_one_by_one_have_seeds_of_their_own() -> None:
    with serving(ignores_n) as endpoint:
        assert (await ask(endpoint.url, samples=3, temperature=0.7, seed=40)).texts == ("seed 40", "seed 41", "seed 42")


async def test_samples_that_come_are_not_asked_for_again() -> None:
    def two_of_three(body: dict[str, Any]) -> Answer:
        asked = min(body["n"], 2)
        return [*(chunk(f"{len(endpoint.asked)}.{i}", "stop", i) for i in range(asked)), usage()]

    with serving(two_of_three) as endpoint:
        reply = await ask(endpoint.url, samples=3, temperature=0.7)
    assert reply.texts == ("1.0", "1.1", "2.0")


async def test_greedy_samples_are_asked_for_once_and_copied() -> None:
    with serving([chunk("yes"), chunk("", "stop"), usage()]) as endpoint:
        reply = await ask(endpoint.url, temperature=0.0, samples=3)
    assert endpoint.asked[0]["n"] == 1
    assert reply.texts == ("yes", "yes", "yes")
    assert reply.finish_reasons == ("stop",) * 3


@pytest.mark.parametrize("known", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("status", [400, 422])
async def test_a_bound_is_sent_in_the_words_that_the_endpoint_knows(known: str, status: int) -> None:
    unknown = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}[known]

    def picky(body: dict[str, Any]) -> Answer:
        if unknown in body:
            words = f"Unsupported parameter: '{unknown}' is not supported with this model. Use '{known}' instead."
            return status, JSON, said(words)
        return [chunk("hello", "stop"), usage()]

    with serving(picky) as endpoint:
        await ask(endpoint.url, 3, max_tokens=50)
    assert len(endpoint.asked) == 3 + (known != "max_tokens")  # it is learned once
    assert endpoint.asked[-1][known] == 50


async def test_what_is_wrong_in_all_words_is_an_error() -> None:
    def never(body: dict[str, Any]) -> Answer:
        name = "max_tokens" if "max_tokens" in body else "max_completion_tokens"
        return 400, JSON, said(f"invalid parameter: {name} is 50, and must be 60")

    with serving(never) as endpoint:
        with pytest.raises(EngineError) as caught:
            await ask(endpoint.url, max_tokens=50)
        assert caught.value.code == "ORCH-E014"
        assert [name for body in endpoint.asked for name in body if "max" in name] == [
            "max_tokens",
            "max_completion_tokens",
        ]


async def test_a_value_that_is_wrong_is_no_unknown_field() -> None:
    """An endpoint may ignore the other name, and then nothing would bound its replies."""
    with serving((400, JSON, said("max_tokens must be at least 100"))) as endpoint:
        with pytest.raises(EngineError):
            await ask(endpoint.url, max_tokens=50)
        assert len(endpoint.asked) == 1


async def test_only_openai_is_asked_in_its_newer_words() -> None:
    request = GenerateRequest("1", "default", (Message("user", "hi"),), Sampling(max_tokens=5))
    for url, name in [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://me.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("https://api.mistral.ai/v1", "max_tokens"),
    ]:
        assert OpenAIEngine("e", "m", OpenAIOptions(base_url=url))._body(request)[name] == 5


@pytest.mark.parametrize("takes", ["json_schema", "json_object", None])
async def test_a_schema_that_is_not_enforced_stands_in_the_prompt(takes: str | None) -> None:
    def picky(body: dict[str, Any]) -> Answer:
        kind = body.get("response_format", {}).get("type")
        strict = body.get("response_format", {}).get("json_schema", {}).get("strict", False)
        if strict or kind not in (takes, None) or (takes == "json_object" and kind == "json_schema"):
            return 400, JSON, said(f"response_format of type {kind} is not supported by this model")
        return [chunk('{"x": 1}', "stop"), usage()]

    notes: list[str] = []
    with serving(picky) as endpoint:
        reply = await ask(endpoint.url, 2, notes, schema=SCHEMA)
    assert reply.texts == ('{"x": 1}',)
    prompts = [body["messages"][-1]["content"] for body in endpoint.asked]
    assert ('"additionalProperties"' in prompts[-1]) is (takes != "json_schema")
    assert prompts[-1] == prompts[-2]  # the second time it is known
    assert any("the schema stands in the prompt" in each for each in notes) is (takes != "json_schema")


async def test_a_schema_is_enforced_by_an_endpoint_that_takes_closed_objects_only() -> None:
    def like_openai(body: dict[str, Any]) -> Answer:
        format_ = body["response_format"]["json_schema"]
        if format_.get("strict") and set(format_["schema"].get("required", [])) != {"x", "y"}:
            return 400, JSON, said("Invalid schema for response_format 'reply': 'required' must have every key")
        return [chunk('{"x": 1, "y": 2}', "stop"), usage()]

    schema = {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer", "default": 3}}}
    notes: list[str] = []
    with serving(like_openai) as endpoint:
        await ask(endpoint.url, 2, notes, schema={**schema, "required": ["x"]})
    asked = [body["response_format"]["json_schema"] for body in endpoint.asked]
    assert [each["schema"].get("required") for each in asked] == [["x"], ["x", "y"], ["x", "y"]]
    assert all(each["strict"] for each in asked)
    assert not notes


async def test_openai_is_asked_for_what_it_takes_at_once() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "integer", "default": 3}}}
    request = GenerateRequest("1", "default", (Message("user", "hi"),), Sampling(schema=schema))
    target = OpenAIEngine("e", "m", OpenAIOptions(base_url="https://api.openai.com/v1"))
    assert target._body(request)["response_format"]["json_schema"]["schema"]["additionalProperties"] is False


async def test_a_list_is_never_asked_for_as_an_object() -> None:
    def picky(body: dict[str, Any]) -> Answer:
        if body.get("response_format", {}).get("type") == "json_schema":
            return 400, JSON, said("schema must be a JSON Schema of 'type: \"object\"', got 'type: \"array\"'")
        return [chunk('{"list": [1]}' if "response_format" in body else "[1]", "stop"), usage()]

    with serving(picky) as endpoint:
        reply = await ask(endpoint.url, 1, [], schema={"type": "array", "items": {"type": "integer"}})
    assert reply.texts == ("[1]",)
    assert "JSON schema" in endpoint.asked[-1]["messages"][-1]["content"]


async def test_usage_that_may_not_be_asked_for_is_not_known() -> None:
    def picky(body: dict[str, Any]) -> Answer:
        if "stream_options" in body:
            return 400, JSON, said("Unrecognized request argument supplied: stream_options")
        return [chunk("hello", "stop")]

    notes: list[str] = []
    with serving(picky) as endpoint:
        reply = await ask(endpoint.url, 1, notes)
    assert reply.usage is None
    assert len(notes) == 1


async def test_the_query_of_a_url_is_sent() -> None:
    with serving([chunk("hello", "stop"), usage()]) as endpoint:
        await ask(endpoint.url + "?api-version=2024-10-21")
    assert endpoint.paths == ["/v1/chat/completions?api-version=2024-10-21"]


async def test_a_reply_that_nobody_reads_on_is_ended_at_the_server() -> None:
    server = SimEngine(model="m", options=SimOptions(decode_tokens_per_s=50.0, reply_tokens=100_000, flush_tokens=1))
    with chat_server(server) as url:
        engine = OpenAIEngine("remote", "m", OpenAIOptions(base_url=url, key_env="NO_SUCH_KEY", kv_hints=False))
        await engine.start()
        stream = engine.generate(GenerateRequest("1", "default", (Message("user", "hi"),)))
        await anext(stream)
        await stream.aclose()
        async with asyncio.timeout(30):
            while not (await server.stats()).aborted:
                await asyncio.sleep(0.05)
        await engine.close()


async def test_samples_that_are_asked_for_one_by_one_run_beside_each_other() -> None:
    """The second and the third request are both at the server before either is answered."""
    together = threading.Barrier(2)

    def answer(body: dict[str, Any]) -> Answer:
        if len(endpoint.asked) > 1:
            together.wait(20)
        return ignores_n(body)

    with serving(answer) as endpoint:
        assert (await ask(endpoint.url, samples=3, temperature=0.7)).texts == ("seed None",) * 3


async def test_the_failure_of_one_of_them_ends_the_others() -> None:
    def answer(body: dict[str, Any]) -> Answer:
        return (500, JSON, said("oops")) if len(endpoint.asked) > 1 else ignores_n(body)

    with serving(answer) as endpoint, pytest.raises(EngineError) as caught:
        await ask(endpoint.url, samples=4, temperature=0.7)
    assert caught.value.code == "ORCH-E021"


async def test_a_reply_that_goes_on_beyond_max_tokens_is_cut_off() -> None:
    notes: list[str] = []
    with serving([chunk("word " * 100)] * 50) as endpoint:
        reply = await ask(endpoint.url, notes=notes, max_tokens=10)
    assert reply.finish_reasons == ("length",)
    assert 10 * 128 < len(reply.texts[0]) < 50 * 500
    assert notes == [f"the endpoint {endpoint.url} wrote on beyond max_tokens, and its reply was cut off"]


async def test_a_long_reply_that_has_ended_is_whole() -> None:
    with serving([chunk("word " * 1_000, "stop"), usage()]) as endpoint:
        reply = await ask(endpoint.url, max_tokens=10)
    assert (reply.finish_reasons, len(reply.texts[0])) == (("stop",), 5_000)


def counted(text: str, index: int, written: int) -> dict[str, Any]:
    event = chunk(text, "stop", index)
    event["choices"][0]["usage"] = {"prompt_tokens": 12, "completion_tokens": written, "total_tokens": 12 + written}
    return event


async def test_samples_that_are_counted_one_by_one_are_added_up() -> None:
    with serving([counted("one", 0, 5), counted("two", 1, 7)]) as endpoint:
        reply = await ask(endpoint.url, samples=2, temperature=1.0)
    assert reply.usage == Usage(12, None, 12)
    with serving([counted("one", 0, 5), chunk("two", "stop", 1)]) as endpoint:
        assert (await ask(endpoint.url, samples=2, temperature=1.0)).usage is None
    with serving([counted("one", 0, 5), counted("two", 1, 7), usage()]) as endpoint:
        assert (await ask(endpoint.url, samples=2, temperature=1.0)).usage == Usage(12, None, 5)
