"""A call of several requests is at work while any of them is, and waits while none is."""

from __future__ import annotations

import asyncio

from orchestrator.dsl.models.messages import Message
from orchestrator.runtime.engines.base import GenerateRequest, Sampling, complete, when_sent
from orchestrator.runtime.engines.endpoint.in_flight import InFlight
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions
from tests.runtime.engines.answering import chunk, serving, usage


def test_the_first_begins_and_the_last_ends() -> None:
    told: list[str] = []
    with when_sent(lambda: told.append("sent"), lambda: told.append("held")):
        requests = InFlight()
        requests.sent()
        requests.sent()
        requests.over()
        assert told == ["sent"]
        requests.over()
        assert told == ["sent", "held"]
        requests.sent()
    assert told == ["sent", "held", "sent"]


async def test_between_samples_that_are_asked_for_one_by_one_a_call_waits() -> None:
    with serving(lambda _: [chunk("yes", "stop"), usage()]) as endpoint:
        options = OpenAIOptions(base_url=endpoint.url, key_env="NO_SUCH_KEY", kv_hints=False, max_concurrency=1)
        engine = OpenAIEngine("remote", "m", options)
        await engine.start()
        told: list[str] = []
        request = GenerateRequest("1", "m", (Message("user", "hi"),), Sampling(samples=3))
        with when_sent(lambda: told.append("sent"), lambda: told.append("held")):
            reply = await asyncio.wait_for(complete(engine, request), 60.0)
        await engine.close()
    assert reply.texts == ("yes",) * 3
    assert told == ["sent", "held"] * 3
