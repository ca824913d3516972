"""Reasoning that an endpoint shows and does not count is paid for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from orchestrator.errors import RunError
from orchestrator.runtime.engines.base import Chunk, GenerateRequest, Sampling, Usage
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.events import Spent
from orchestrator.runtime.observe import Subscription
from orchestrator.runtime.program.builder import RegionBuilder
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import Generate
from orchestrator.runtime.runner import Runner
from tests.runtime.engines.answering import chunk, serving


def asking(max_tokens: int | None = None) -> Program:
    body = RegionBuilder("", 1)
    (reply,) = body.suspend(
        "ask", Generate("default", None, sampling=Sampling(max_tokens=max_tokens)), body.args, types=[str]
    )
    return Program("test", "hash", ("x",), body.finish([reply]), str)


def runtime(url: str, feed: Subscription | None = None) -> Runner:
    options = OpenAIOptions(base_url=url, key_env="NO_SUCH_KEY", kv_hints=False)
    return Runner({"main": OpenAIEngine("remote", "m", options)}, observers=[feed] if feed else [])


@pytest.mark.parametrize(("max_tokens", "counted"), [(None, 14), (12, 12)])
@pytest.mark.parametrize("also", [{}, {"reasoning": "let me see"}])
async def test_a_call_without_usage(max_tokens: int | None, counted: int, also: dict[str, str]) -> None:
    events = [chunk(None, None, reasoning_content="let me see", **also), chunk("four", "stop")]
    with serving(events) as endpoint:
        async with runtime(endpoint.url) as running:
            result = await running.run_program(asking(max_tokens), ("2+2?",))
    assert result.value == "four"
    assert result.usage.output_tokens == counted
    assert result.usage.estimated


async def test_a_call_that_breaks_off_while_the_model_thinks() -> None:
    begun = b"data: " + THOUGHT + b"\n\n"
    feed = Subscription()
    with serving((200, {"content-type": "text/event-stream", "content-length": "100000"}, begun)) as endpoint:
        async with runtime(endpoint.url, feed) as running:
            with pytest.raises(RunError):
                await running.run_program(asking(), ("2+2?",))
    (spent,) = [each for each in feed.drain() if isinstance(each, Spent)]
    assert spent.usage == Usage(spent.usage.input_tokens, None, 2000, estimated=True)  # more than was reserved


async def test_a_call_that_is_cancelled_while_the_model_thinks() -> None:
    class Thinking(ScriptedEngine):
        async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
            yield Chunk(0, "", 0, thought="let me see")
            thinks.set()
            await asyncio.Event().wait()

    thinks, feed = asyncio.Event(), Subscription()
    async with Runner({"main": Thinking([])}, observers=[feed]) as running:
        run = asyncio.create_task(running.run_program(asking(), ("2+2?",)))
        await thinks.wait()
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    (spent,) = [each for each in feed.drain() if isinstance(each, Spent)]
    assert spent.usage.output_tokens > 0
    assert spent.usage.estimated


THOUGHT = b'{"choices": [{"index": 0, "delta": {"reasoning": "%s"}, "finish_reason": null}]}' % (b"let me see" * 200)
