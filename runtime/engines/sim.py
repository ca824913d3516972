"""The simulator's engine: made-up replies at a modelled speed. For tests and dry runs; always labelled simulated.

The timing is a two-line roofline. Prefill is compute-bound, so prompts take turns at ``prefill_tokens_per_s``; decode
is bandwidth-bound, so up to ``max_running`` requests share each step and each proceeds at ``decode_tokens_per_s``.
Tokens found in the prefix cache cost no prefill. ``time_scale`` stretches the clock (0: as fast as Python goes).

Replies depend only on the engine's seed and the request, never on the order of requests or on timing. With a schema the
reply is valid JSON for it; without one it is text that begins with ``[simulated]``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from orchestrator.dsl.models.messages import Message
from orchestrator.runtime.engines import errors
from orchestrator.runtime.engines.base import DEFAULT_MODEL, Chunk, EngineStats, FinishReason, GenerateRequest, Usage
from orchestrator.runtime.engines.prefix_cache import PrefixCache
from orchestrator.runtime.engines.schema_instance import WORDS, instance
from orchestrator.runtime.engines.tool_steps import in_steps
from orchestrator.runtime.turns import Turns

_TOKEN = re.compile(r"\s?\w{1,5}|\s|[^\w\s]")


@dataclass(frozen=True, slots=True)
class SimOptions:
    """The modelled device and the shape of the replies. Defaults are of the order of an 8B model on one H100."""

    prefill_tokens_per_s: float = 20_000.0
    decode_tokens_per_s: float = 80.0
    max_running: int = 64
    kv_capacity_tokens: int = 400_000
    context_tokens: int = 131_072
    reply_tokens: int = 48
    """Length of a free-text reply, before ``max_tokens``."""
    time_scale: float = 1.0
    seed: int = 0
    flush_tokens: int = 16
    """Tokens per chunk."""


class SimEngine:
    """An :class:`~orchestrator.runtime.engines.base.Engine` without a model."""

    simulated = True

    def __init__(self, name: str = "sim", model: str = "simulated", options: SimOptions | None = None) -> None:
        self.name = name
        self.model = model
        self.options = options or SimOptions()
        self._cache = PrefixCache(self.options.kv_capacity_tokens)
        self._slots, self._prefills = Turns(), Turns()
        self._closed = False
        self._running = self._waiting = self._requests = self._aborted = 0
        self._usage = Usage()

    async def start(self) -> None:
        """Nothing to load."""

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Make up a reply; see the module docstring for its content and its timing."""
        if request.sampling.logprobs is not None:
            raise errors.not_taken(self.name, "`logprobs=`", "leave it out where the reply is to be simulated")
        request = in_steps(request)
        prompt = self._admit(request)
        started = time.monotonic()
        self._requests += 1
        state = "waiting"
        self._waiting += 1
        try:
            await self._slots.enter(self.options.max_running)
            self._waiting -= 1
            self._running += 1
            state = "running"
            cached = await self._prefill_prompt(prompt)
            replies = [self._reply(request, sample, prompt) for sample in range(request.sampling.samples)]
            usage = Usage(len(prompt), cached, sum(len(tokens) for tokens, _ in replies))
            ttft_s: float | None = None
            step_s = self.options.flush_tokens / self.options.decode_tokens_per_s / len(replies)
            for chunk, last in interleave(replies, self.options.flush_tokens):
                await self._sleep(step_s * chunk.tokens / self.options.flush_tokens)
                ttft_s = ttft_s if ttft_s is not None else time.monotonic() - started
                if not last:
                    yield chunk
                    continue
                self._usage += usage
                self._cache.insert([*prompt, *replies[0][0]])
                state = "done"
                self._leave()
                yield Chunk(chunk.sample, chunk.text, chunk.tokens, chunk.finish_reason, usage, ttft_s)
        finally:
            if state != "done":
                self._aborted += 1
            if state == "waiting":
                self._waiting -= 1
            elif state == "running":
                self._leave()

    async def stats(self) -> EngineStats:
        """Exact counts of the simulated engine."""
        return EngineStats(
            running=self._running,
            waiting=self._waiting,
            kv_used_fraction=self._cache.used_fraction,
            kv_capacity_tokens=self.options.kv_capacity_tokens,
            requests=self._requests,
            aborted=self._aborted,
            usage=self._usage,
        )

    def count_text(self, text: str) -> int:
        """Tokens as they are streamed."""
        return len(tokenize(text))

    def count_prompt(self, messages: Sequence[Message]) -> int:
        """Tokens as they are reported."""
        return len(_prompt(messages))

    async def release(self, session: str) -> None:
        """Accepted and ignored: the modelled cache is shared by all sessions."""

    async def close(self) -> None:
        """Refuse further requests."""
        self._closed = True

    def _leave(self) -> None:
        self._running -= 1
        self._slots.leave()

    def _admit(self, request: GenerateRequest) -> list[str]:
        if self._closed:
            raise errors.not_running(self.name, is_closed=True)
        if request.model not in (DEFAULT_MODEL, self.model, self.name):
            raise errors.unknown_model(request.model, [self.model])
        prompt = _prompt(request.messages)
        if len(prompt) >= self.options.context_tokens:
            why = f"{len(prompt)} tokens, and the window is {self.options.context_tokens}"
            raise errors.prompt_too_long(self.model, why)
        return prompt

    async def _prefill_prompt(self, prompt: list[str]) -> int:
        async with self._prefills.turn(1):
            cached = self._cache.lookup(prompt)
            await self._sleep((len(prompt) - cached) / self.options.prefill_tokens_per_s)
            self._cache.insert(prompt)
        return cached

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds * self.options.time_scale)

    def _reply(self, request: GenerateRequest, sample: int, prompt: Sequence[str]) -> tuple[list[str], FinishReason]:
        """The tokens of one sample and why it ends; greedy requests give the same reply for every sample."""
        sampling = request.sampling
        varies = 0 if sampling.temperature == 0 else 1 + sample
        key = json.dumps([self.options.seed, sampling.seed, varies, list(prompt)])
        rng = random.Random(hashlib.sha256(key.encode()).digest())
        if sampling.constraint is not None and sampling.constraint[0] == "choice":
            text = rng.choice(cast("Sequence[str]", sampling.constraint[1]))
        elif sampling.constraint is not None:
            fix = "bound the reply by returns= or choice= where it is to be simulated"
            raise errors.not_taken(self.name, f"`{sampling.constraint[0]}=`", fix)
        elif sampling.schema is not None:
            try:
                text = json.dumps(instance(sampling.schema, rng), ensure_ascii=False)
            except ValueError as error:
                raise errors.rejected(self.name, f"the simulator cannot satisfy the schema: {error}") from error
        else:
            text = "[simulated]" + "".join(f" {rng.choice(WORDS)}" for _ in range(self.options.reply_tokens))
        room = self.options.context_tokens - len(prompt)
        return cut(text, sampling.stop, min(room, sampling.max_tokens or room))


def _prompt(messages: Sequence[Message]) -> list[str]:
    return tokenize("".join(f"<{message.role}>{message.content}" for message in messages) + "<assistant>")


def tokenize(text: str) -> list[str]:
    """Pieces of roughly four characters whose concatenation is ``text``."""
    return _TOKEN.findall(text)


def cut(text: str, stop: Sequence[str], limit: int) -> tuple[list[str], FinishReason]:
    """``text`` as tokens, ended before the first stop string or after ``limit`` tokens, whichever comes first."""
    ends = [text.index(s) for s in stop if s and s in text]
    tokens = tokenize(text[: min(ends)] if ends else text)
    return (tokens[:limit], "length") if len(tokens) > limit else (tokens, "stop")


def interleave(
    replies: Sequence[tuple[Sequence[str], FinishReason]], flush_tokens: int
) -> Iterator[tuple[Chunk, bool]]:
    """Chunks of all samples in the order a batch would produce them, each with "is this the request's last one"."""
    rounds = [max(1, -(-len(tokens) // flush_tokens)) for tokens, _ in replies]
    remaining = sum(rounds)
    for step in range(max(rounds)):
        for sample, (tokens, reason) in enumerate(replies):
            if step >= rounds[sample]:
                continue
            remaining -= 1
            piece = tokens[step * flush_tokens : (step + 1) * flush_tokens]
            ended = reason if step == rounds[sample] - 1 else None
            yield Chunk(sample, "".join(piece), len(piece), ended), remaining == 0
