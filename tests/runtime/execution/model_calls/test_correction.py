"""Replies that are not what was asked for: what is repeated, what is shown to the model, what the run says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from orchestrator import Retry, chat, map_, workflow
from orchestrator.errors import RunError
from orchestrator.runtime.engines.base import Chunk, GenerateRequest, Sampling, Usage
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.events import Spent
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.program.builder import RegionBuilder
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import Generate, Policy
from orchestrator.runtime.runner import Runner, RunResult
from orchestrator.testing import fake
from tests.runtime.journal.text import Codec


def count(*, attempts: int = 1, returns: Any = int, at_least: int | None = None, **sampling: Any) -> Program:
    body = RegionBuilder("", [str])
    policy = Policy(attempts=attempts, backoff_s=0.0)
    generate = Generate("default", None, returns=returns, sampling=Sampling(**sampling), at_least=at_least)
    types = [returns if generate.sampling.samples == 1 else list[returns], Any]
    (reply, _) = body.suspend("count", generate, body.args, types=types, policy=policy)
    return Program("demo", "hash", ("text",), body.finish([reply]), types[0])


async def run(program: Program, engine: ScriptedEngine) -> RunResult:
    async with Runner({"main": engine}) as runtime:
        return await runtime.run_program(program, ("How many?",))


async def test_a_reply_that_does_not_fit_is_shown_to_the_model() -> None:
    engine = ScriptedEngine(["seven", "7"])
    result = await run(count(attempts=2), engine)
    assert result.value == 7
    first, second = (request.messages for request in engine.requests)
    assert second[: len(first)] == first  # the prompt's KV is shared
    assert (second[1].role, second[1].content) == ("assistant", "seven")
    assert "Invalid JSON" in second[2].content
    usage = sum((each.usage for each in result.events if getattr(each, "usage", None)), Usage())
    assert result.usage == usage  # both attempts are paid for
    assert usage.input_tokens > 2 * 3


async def test_only_the_latest_reply_is_shown() -> None:
    engine = ScriptedEngine(["one", "two", "3"])
    await run(count(attempts=3), engine)
    assert [turn.content for turn in engine.requests[2].messages if turn.role == "assistant"] == ["two"]


async def test_samples_that_fit_are_kept_and_the_others_asked_for_again() -> None:
    engine = ScriptedEngine([["1", "two", "3"], ["2"]])
    result = await run(count(attempts=2, samples=3), engine)
    assert result.value == [1, 2, 3]
    assert [request.sampling.samples for request in engine.requests] == [3, 1]


async def test_another_failure_in_between_forgets_nothing() -> None:
    engine = ScriptedEngine([["1", "two"], TimeoutError("slow"), ["2"]])
    result = await run(count(attempts=3, samples=2), engine)
    assert result.value == [1, 2]
    assert [request.sampling.samples for request in engine.requests] == [2, 1, 1]


async def test_samples_that_never_fit_are_left_out_where_the_others_are_enough() -> None:
    engine = ScriptedEngine([["1", "two", "3"], ["still two"]])
    result = await run(count(attempts=2, samples=3, at_least=2), engine)
    assert result.value == [1, 3]
    assert [request.sampling.samples for request in engine.requests] == [3, 1]
    (warning,) = result.warnings
    assert warning.startswith("1 of 3 samples are left out, as the reply to `count` does not fit")
    spent = sum((each.usage for each in result.events if isinstance(each, Spent)), Usage())
    assert result.usage == spent


async def test_and_where_the_last_attempt_fails_otherwise() -> None:
    result = await run(
        count(attempts=2, samples=3, at_least=1), ScriptedEngine([["1", "two", "3"], ValueError("gone")])
    )
    assert result.value == [1, 3]
    assert "gone" in result.warnings[0]


async def test_a_retry_is_no_advice_where_there_was_one() -> None:
    for attempts, advised in ((1, True), (2, False)):
        with pytest.raises(RunError) as caught:
            await run(count(attempts=attempts), ScriptedEngine(["seven"] * attempts))
        assert ("retry=" in str(caught.value.diagnostics[0].fix)) is advised


@pytest.mark.parametrize("replies", [["1", "two", "three"], ["one", "two", "three"]])
async def test_too_few_that_fit_are_none(replies: list[str]) -> None:
    with pytest.raises(RunError) as caught:
        await run(count(samples=3, at_least=2), ScriptedEngine([replies]))
    assert caught.value.code == "ORCH-R003"


def test_conversations_of_samples_that_are_left_out_are_left_out_too() -> None:
    @workflow
    def talk(q: str) -> list[str]:
        turns = chat().say(f"How many {q}?", returns=int, samples=3, at_least=1)
        return map_(lambda number, fork: fork.say(f"Why {number}?").reply, turns.replies, turns.chats)

    with fake(["4", "many", "6", "because", "so"]) as engine:
        assert talk("legs") == ["because", "so"]
    assert [turn.content for turn in engine.requests[-1].messages] == ["How many legs?", "6", "Why 6?"]


class AnswersOnce(ScriptedEngine):
    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        if self.requests:
            self.requests.append(request)
            await asyncio.Event().wait()
        async for chunk in super().generate(request):
            yield chunk


@pytest.mark.parametrize("samples", [1, 3])
async def test_a_resumed_run_shows_the_bad_reply_too_and_keeps_the_good_ones(samples: int) -> None:
    program = count(attempts=3, samples=samples)
    replies = ["seven"] if samples == 1 else ["1", "seven", "3"]
    engine = AnswersOnce([replies])
    codec = Codec(program)
    journal = MemoryJournal()
    async with Runner({"main": engine}, journal=journal) as runtime:
        running = asyncio.create_task(runtime.run_program(program, ("How many?",), run_id="r"))
        while len(engine.requests) < 2:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
    elsewhere = MemoryJournal()
    for event in await journal.load("r"):
        elsewhere.append("r", codec.loads(codec.dumps(event)))
    engine = ScriptedEngine([["7"]])
    async with Runner({"main": engine}, journal=elsewhere) as runtime:
        result = await runtime.resume_program(program, "r")
    assert result.value == (7 if samples == 1 else [1, 7, 3])
    (request,) = engine.requests
    assert [turn.content for turn in request.messages if turn.role == "assistant"] == ["seven"]
    assert "does not fit" in request.messages[-1].content
    assert request.sampling.samples == 1


def test_a_conversation_goes_on_with_the_good_reply_only() -> None:
    @workflow
    def talk(q: str) -> str:
        number = chat().say(f"How many {q}?", returns=int, retry=Retry(attempts=2, backoff_s=0))
        return number.chat.say(f"Why {number.reply}?").reply

    with fake(["many", "4", "because"]) as engine:
        assert talk("legs") == "because"
    assert [turn.content for turn in engine.requests[2].messages] == ["How many legs?", "4", "Why 4?"]


async def test_structure_that_was_cut_says_so() -> None:
    with pytest.raises(RunError) as caught:
        await run(count(returns=list[int], max_tokens=4), ScriptedEngine(["[1, 2, 3, 4, 5]"]))
    first = caught.value.diagnostics[0]
    assert first.code == "ORCH-R003"
    assert "max_tokens=4 cut it off" in str(first.why)
    assert "max_tokens" in str(first.fix)


async def test_structure_that_is_complete_at_the_limit_is_whole() -> None:
    assert (await run(count(max_tokens=1), ScriptedEngine(["7"]))).value == 7


async def test_free_text_that_was_cut_is_kept_and_named() -> None:
    result = await run(count(returns=str, max_tokens=2), ScriptedEngine(["one two three"]))
    assert "one two three".startswith(result.value)
    assert result.warnings == ("the reply to `count` was cut off by max_tokens=2",)
    assert result.ops[0].finish_reasons == ("length",)


async def test_an_empty_reply_is_named() -> None:
    result = await run(count(returns=str), ScriptedEngine([""]))
    assert result.warnings == ("the reply to `count` is empty",)


class Ending(ScriptedEngine):
    """Ends its replies for another reason."""

    def __init__(self, reason: Any, text: str) -> None:
        super().__init__([text])
        self.reason = reason

    async def generate(self, request: GenerateRequest) -> Any:
        async for chunk in super().generate(request):
            ends = self.reason if chunk.finish_reason else None
            yield Chunk(chunk.sample, chunk.text, chunk.tokens, ends, chunk.usage, chunk.ttft_s)


@pytest.mark.parametrize(
    ("reason", "code"),
    [("refusal", "ORCH-E024"), ("content_filter", "ORCH-E025"), ("tool_calls", "ORCH-E026")],
)
@pytest.mark.parametrize("returns", [str, int])
async def test_what_was_withheld_is_an_error_with_the_endpoints_words(reason: str, code: str, returns: Any) -> None:
    engine = Ending(reason, "I would rather not.")
    with pytest.raises(RunError) as caught:
        await run(count(returns=returns, attempts=3), engine)
    assert caught.value.code == code
    assert "I would rather not." in str(caught.value)
    assert len(engine.requests) == 1  # it would not help to ask again


async def test_a_prompt_with_half_a_character_is_sent() -> None:
    engine = ScriptedEngine(["7"])
    async with Runner({"main": engine}) as runtime:
        await runtime.run_program(count(), ("a\ud83d b\udc80 \ud83d\ude00",))
    assert engine.requests[0].messages[0].content == "a\ufffd b\ufffd \U0001f600"


async def test_a_long_bad_reply_is_shown_in_part() -> None:
    said = iter(["x" * 100_000, "7"])
    engine = ScriptedEngine(lambda _: next(said))
    assert (await run(count(attempts=2), engine)).value == 7
    assert len(engine.requests[1].messages[1].content) < 10_000
