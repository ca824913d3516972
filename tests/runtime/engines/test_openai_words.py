"""What an endpoint does not know is learned from its rejections, by all calls together, and said to every run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.dsl.models.messages import Message
from orchestrator.errors import EngineError
from orchestrator.runtime.engines.base import GenerateRequest, Sampling, complete, noting
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions
from tests.runtime.engines.answering import JSON, Answer, Endpoint, chunk, said, serving, usage

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": False}
MANY = 5


def knows_the_other_bound_only(body: dict[str, Any]) -> str | None:
    wrong = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    return wrong if "max_tokens" in body else None


def knows_no_schema(body: dict[str, Any]) -> str | None:
    kind = body.get("response_format", {}).get("type")
    return f"response_format of type {kind} is not supported" if kind == "json_schema" else None


def counts_no_stream(body: dict[str, Any]) -> str | None:
    return "unknown field stream_options" if "stream_options" in body else None


def gives_one_sample(body: dict[str, Any]) -> str | None:
    return "n: extra fields are not permitted" if "n" in body else None


def together(wrong: Callable[[dict[str, Any]], str | None]) -> Callable[[dict[str, Any]], Answer]:
    """An endpoint that answers the first requests when all of them are there."""
    here, lock, all_are_here = iter(range(MANY)), threading.Lock(), threading.Barrier(MANY)

    def answer(body: dict[str, Any]) -> Answer:
        with lock:
            is_first = next(here, None) is not None
        if is_first:
            all_are_here.wait(20)
        words = wrong(body)
        return (400, JSON, said(words)) if words is not None else [chunk('{"x": 1}', "stop"), usage()]

    return answer


def engine_at(endpoint: Endpoint) -> OpenAIEngine:
    return OpenAIEngine("remote", "m", OpenAIOptions(base_url=endpoint.url, key_env="NO_SUCH_KEY", kv_hints=False))


def request(**sampling: Any) -> GenerateRequest:
    return GenerateRequest("1", "default", (Message("user", "hi"),), Sampling(**sampling))


@pytest.mark.parametrize(
    "wrong", [knows_the_other_bound_only, knows_no_schema, counts_no_stream, gives_one_sample], ids=lambda f: f.__name__
)
async def test_calls_beside_each_other_learn_one_thing_at_a_time(wrong: Callable[[dict[str, Any]], str | None]) -> None:
    with serving(together(wrong)) as endpoint:
        engine = engine_at(endpoint)
        await engine.start()
        asked = request(max_tokens=50, schema=SCHEMA)
        replies = await asyncio.gather(*(complete(engine, asked) for _ in range(MANY)))
        await engine.close()
    assert [reply.texts for reply in replies] == [('{"x": 1}',)] * MANY
    answered = [body for body in endpoint.asked if wrong(body) is None]
    assert len(answered) == MANY
    for body in answered:
        if wrong is knows_no_schema:  # which is no reason to ask for less than it takes
            assert body["response_format"] == {"type": "json_object"}
            assert '"additionalProperties"' in body["messages"][-1]["content"]
        else:
            assert body["response_format"]["type"] == "json_schema"
            assert body["messages"][-1]["content"] == "hi"


@pytest.mark.parametrize(("wrong", "words"), [(knows_no_schema, "any JSON"), (counts_no_stream, "usage of a stream")])
async def test_every_run_is_told_what_its_calls_do_without(
    wrong: Callable[[dict[str, Any]], str | None], words: str
) -> None:
    async def notes(engine: OpenAIEngine) -> list[str]:
        told: list[str] = []
        with noting(told.append):
            await complete(engine, request(schema=SCHEMA))
        return told

    def answer(body: dict[str, Any]) -> Answer:
        found = wrong(body)
        return (400, JSON, said(found)) if found is not None else [chunk('{"x": 1}', "stop"), usage()]

    with serving(answer) as endpoint:
        engine = engine_at(endpoint)
        await engine.start()
        first, second = await notes(engine), await notes(engine)
        await engine.close()
    assert len(endpoint.asked) > 2
    assert first == second
    (note,) = first
    assert words in note


async def test_a_bound_that_is_wrong_in_one_call_changes_no_words_for_others() -> None:
    def answer(body: dict[str, Any]) -> Answer:
        name = "max_tokens" if "max_tokens" in body else "max_completion_tokens"
        if name != "max_tokens" or body[name] > 100:
            return 400, JSON, said(f"invalid parameter: {name}")
        return [chunk("yes", "stop"), usage()]

    with serving(answer) as endpoint:
        engine = engine_at(endpoint)
        await engine.start()
        for _ in range(3):
            with pytest.raises(EngineError):
                await complete(engine, request(max_tokens=500))
            before = len(endpoint.asked)
            assert (await complete(engine, request(max_tokens=50))).texts == ("yes",)
            assert len(endpoint.asked) == before + 1
        await engine.close()


async def test_nothing_is_asked_again_once_the_reply_has_begun() -> None:
    refusal = {"error": {"message": "response_format is not supported", "code": 400}}
    with serving([chunk('{"x"'), refusal]) as endpoint:
        engine = engine_at(endpoint)
        await engine.start()
        with pytest.raises(EngineError) as caught:
            await complete(engine, request(schema=SCHEMA))
        await engine.close()
    assert caught.value.code == "ORCH-E014"
    assert len(endpoint.asked) == 1
