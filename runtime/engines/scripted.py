"""An engine for tests that answers what the test says. Labelled simulated, like the simulator.

>>> engine = ScriptedEngine(["SELECT 1", {"score": 3}, TimeoutError("flaky")])    # used in the order of requests
>>> engine = ScriptedEngine(lambda request: request.messages[-1].content.upper())
>>> engine = ScriptedEngine({"classify": "billing", "*": ["first", "second"]})           # by the op that asks
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import isawaitable
from itertools import repeat
from typing import Final, cast

from pydantic import BaseModel

from orchestrator.dsl.logprobs import TokenLogprob
from orchestrator.dsl.models.messages import Message, ToolCall
from orchestrator.dsl.models.messages import Reply as Said
from orchestrator.runtime.engines import errors
from orchestrator.runtime.engines.base import Chunk, EngineStats, GenerateRequest, Sampling, Usage
from orchestrator.runtime.engines.sim import cut, interleave, tokenize
from orchestrator.runtime.engines.token_count import texts_of
from orchestrator.runtime.engines.tool_steps import in_steps, is_step

One = str | BaseModel | Mapping[str, object] | int | float | bool | ToolCall | Said | None
Reply = One | list[One] | BaseException
"""A text, something JSON-able, a tool to call, a list with one reply per sample, or an exception to raise."""
Lines = Iterable[Reply] | Callable[[GenerateRequest], Reply | Awaitable[Reply]]
Script = Lines | Mapping[str, Lines | Reply]

NO_LIMIT = 1 << 30
OTHERS: Final = "*"
"""It stands in a script by name for the ops that the script does not name."""
_ONES: Final = (str, BaseModel, Mapping, int, float, BaseException, ToolCall, Said)
"""Classes of what is one reply, and no list of them."""


@dataclass(frozen=True, slots=True)
class ScriptedOptions:
    """Options of the kind ``scripted`` in a cluster file."""

    replies: list[str]


class ScriptedEngine:
    """Replies from a list, in the order of requests, or from a function of the request.

    A mapping gives either of them, or one reply for all its calls, for each op by its id (of one in an inlined
    workflow, ``sub/llm_1`` or ``llm_1``); ``"*"`` stands for all ops that it does not name.

    With ``samples=n`` each sample takes the next reply of the list, unless that reply is itself a list. ``requests``
    holds everything that was asked, for the test to look at. Where tools are offered, a ``ToolCall`` calls one and a
    text is the answer; a text that is a step as JSON is read as one. ``takes_tools=False`` is asked in steps alone.
    """

    simulated = True

    def __init__(
        self,
        script: Script,
        *,
        name: str = "scripted",
        model: str = "scripted",
        seconds_per_reply: float = 0.0,
        takes_tools: bool = True,
    ) -> None:
        self.name = name
        self.model = model
        self.requests: list[GenerateRequest] = []
        if isinstance(script, str):
            raise TypeError("the script is a list of replies or a function of the request, not one string")
        named = script if isinstance(script, Mapping) else {OTHERS: script}
        self._scripts = {op: _Script(lines) for op, lines in named.items()}
        self._takes_tools = takes_tools
        self._seconds = seconds_per_reply
        self._closed = False
        self._running = self._aborted = 0
        self._usage = Usage()

    async def start(self) -> None:
        """Nothing to load."""

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Stream the scripted reply, word by word; raises the scripted exception instead where there is one."""
        if self._closed:
            raise errors.not_running(self.name, is_closed=True)
        request = request if self._takes_tools else in_steps(request)
        self.requests.append(request)
        self._running += 1
        done = False
        try:
            given = await self._replies(request)
            texts = list(map(_text, given))
            calls = [_calls(one, request.sampling) for one in given]
            await asyncio.sleep(self._seconds)
            limit = request.sampling.max_tokens or NO_LIMIT
            replies = [cut(text, request.sampling.stop, limit) for text in texts]
            usage = Usage(self.count_prompt(request.messages), 0, sum(len(tokens) for tokens, _ in replies))
            for each, last in interleave(replies, flush_tokens=8):
                chunk = each
                if each.finish_reason is not None:
                    chunk = each._replace(calls=calls[each.sample])
                    if request.sampling.logprobs is not None:
                        chunk = chunk._replace(logprobs=_certain(replies[each.sample][0]))
                if last:
                    done = True
                    self._usage += usage
                    self._running -= 1
                    yield chunk._replace(usage=usage, ttft_s=self._seconds)
                else:
                    yield chunk
                    await asyncio.sleep(0)
        finally:
            if not done:
                self._running -= 1
                self._aborted += 1

    async def stats(self) -> EngineStats:
        """Exact counts."""
        return EngineStats(self._running, 0, None, None, len(self.requests), self._aborted, self._usage)

    def count_text(self, text: str) -> int:
        """Tokens as they are streamed."""
        return len(tokenize(text))

    def count_prompt(self, messages: Sequence[Message]) -> int:
        """Tokens as they are reported."""
        return sum(len(tokenize(text)) for message in messages for text in texts_of(message))

    async def release(self, session: str) -> None:
        """There is no cache to release."""

    async def close(self) -> None:
        """Refuse further requests."""
        self._closed = True

    async def _replies(self, request: GenerateRequest) -> list[One]:
        samples = request.sampling.samples
        script = self._script_for(request.op)
        first = await script.take(request, self.name)
        if isinstance(first, list):
            if len(first) != samples:
                raise errors.rejected(self.name, f"the script gives {len(first)} replies, the request wants {samples}")
            return first
        if script.is_function:
            return [first] * samples
        rest = [await script.take(request, self.name) for _ in range(samples - 1)]
        return [cast("One", one) for one in [first, *rest]]

    def _script_for(self, op: str) -> _Script:
        for name in (op, op.rpartition("/")[2], OTHERS):
            if name in self._scripts:
                return self._scripts[name]
        raise errors.nothing_scripted(self.name, op, self._scripts)


class _Script:
    """What an op is answered: from a list, by a function, or always the same."""

    def __init__(self, lines: Lines | Reply) -> None:
        self.is_function = callable(lines)
        self._lines = lines
        self._replies: Iterator[Reply] = iter(())
        if lines is None or isinstance(lines, _ONES):
            self._replies = repeat(cast("Reply", lines))
        elif not self.is_function:
            self._replies = iter(cast("Iterable[Reply]", lines))
        self._taken = 0

    async def take(self, request: GenerateRequest, engine: str) -> One | list[One]:
        """The next reply; raises the one that is an exception, and ORCH-E018 where there is none."""
        if self.is_function:
            made = cast("Callable[[GenerateRequest], Reply | Awaitable[Reply]]", self._lines)(request)
            reply = await made if isawaitable(made) else made
        else:
            try:
                reply = next(self._replies)
            except StopIteration:
                raise errors.script_exhausted(engine, self._taken) from None
            self._taken += 1
        if isinstance(reply, BaseException):
            raise reply
        return reply


def _certain(tokens: Sequence[str]) -> tuple[TokenLogprob, ...]:
    """A script is sure of each of its tokens."""
    return tuple(TokenLogprob(token, 0.0, {token: 0.0}) for token in tokens)


def _calls(reply: One, sampling: Sampling) -> tuple[ToolCall, ...] | None:
    """What a reply calls; None for a step as JSON, which is read as engines without tools are."""
    if not sampling.tools:
        return None
    if isinstance(reply, ToolCall):
        return (reply,)
    if isinstance(reply, Said):
        return tuple(reply.calls)
    return None if is_step(_text(reply)) else ()


def _text(reply: One) -> str:
    if isinstance(reply, str):
        return reply
    if isinstance(reply, (ToolCall, Said)):
        return reply.text if isinstance(reply, Said) else ""
    if isinstance(reply, BaseModel):
        return reply.model_dump_json()
    return json.dumps(reply)
