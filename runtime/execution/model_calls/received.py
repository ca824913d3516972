"""What has arrived of a reply, and what it amounts to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from orchestrator.cached import cached_property
from orchestrator.dsl.logprobs import Logprobs
from orchestrator.dsl.models.messages import ToolCall
from orchestrator.errors import EngineError
from orchestrator.runtime.engines.base import Engine, FinishReason, GenerateRequest, Usage
from orchestrator.runtime.engines.errors import SILENT, not_taken, withheld
from orchestrator.runtime.engines.token_count import LONGEST_TOKEN, TokenCounter, completed
from orchestrator.runtime.execution.model_calls.correction import Correction, parsed, unfinished
from orchestrator.runtime.execution.model_calls.reply import MOST_CALLS, numbered, said_by
from orchestrator.runtime.execution.model_calls.reservation import Reservation
from orchestrator.runtime.failures import ReplyError
from orchestrator.runtime.program.specs import Generate

Display = Callable[[int, str], None]
"""Takes the number of a sample and a piece of its reply."""


class Received:
    """The reply to one attempt at a call, whose correction says which samples are asked for."""

    def __init__(self, spec: Generate, correction: Correction) -> None:
        self.tokens = 0
        self.usage: Usage | None = None
        self.asked = [sample for sample in range(spec.sampling.samples) if sample not in correction.kept]
        """The samples that are asked for, by the numbers that the op knows them by."""
        self._spec = spec
        self._kept = correction.kept
        self._has_ended = False
        """Whether the engine has answered to the end, be it with nothing."""
        self._reasons: dict[int, FinishReason] = {}
        self._parts: list[list[str]] = [[] for _ in self.asked]
        self._thoughts: list[list[str]] = [[] for _ in self.asked]
        self._scores: dict[int, Logprobs] = {}
        self._calls: dict[int, tuple[ToolCall, ...]] = {}
        """What an engine that calls tools says each sample wants to call; of one that does not, nothing."""

    @cached_property
    def texts(self) -> dict[int, str]:
        """The text of each sample, those of an earlier attempt that fit included; asked for when all has arrived."""
        arrived = dict(zip(self.asked, map("".join, self._parts), strict=True))
        return dict(sorted({**self._kept, **arrived}.items())) if self._kept else arrived

    @property
    def has_begun(self) -> bool:
        """Whether anything has arrived."""
        return self._has_ended or bool(self._calls) or any(any(parts) for parts in (*self._parts, *self._thoughts))

    @property
    def finish(self) -> tuple[FinishReason, ...]:
        """Why each sample ended."""
        return tuple([self._reasons.get(sample, "stop") for sample in range(self._spec.sampling.samples)])

    async def stream(self, engine: Engine, request: GenerateRequest, display: Display | None) -> None:
        """Receive everything; raises :class:`ReplyError` if the engine stops in the middle."""
        parts, thoughts = self._parts, self._thoughts
        async with aclosing(engine.generate(request)) as chunks:
            async for chunk in chunks:
                parts[chunk.sample].append(chunk.text)
                if chunk.thought:
                    thoughts[chunk.sample].append(chunk.thought)
                if chunk.calls is not None:
                    self._calls[chunk.sample] = chunk.calls
                if chunk.logprobs is not None:
                    self._scores[chunk.sample] = Logprobs.of(chunk.logprobs)
                if chunk.finish_reason is not None:
                    self._reasons[self.asked[chunk.sample]] = chunk.finish_reason
                self.tokens += chunk.tokens
                if chunk.usage is not None:
                    self.usage = chunk.usage
                if display is not None and chunk.text:
                    display(self.asked[chunk.sample], chunk.text)
        self._has_ended = True
        if len(self._reasons) < len(self.asked):
            raise ReplyError(f"the engine `{engine.name}` ended its reply without finishing it")

    def replies(self, engine: Engine, max_tokens: int | None, messages: int) -> list[Any]:
        """The reply of each sample, to so many messages, as what the call declares.

        Raises ORCH-E024 to E026 for a reply that was withheld, :class:`UnfitReplyError` for one of another type.
        """
        texts = self.texts
        for sample, reason in self._reasons.items():
            if reason not in ("stop", "length") and not (reason == "tool_calls" and self._spec.offers_tools):
                raise withheld(engine.name, reason, texts[sample])
        self.scores(engine)
        if self._spec.offers_tools:
            limit = self._limit(max_tokens)
            said = [
                said_by(texts[sample], self._calls.get(number), limit if self._reasons[sample] == "length" else None)
                for number, sample in enumerate(self.asked)
            ]
            return [numbered(reply, messages) for reply in said]
        return parsed(self._spec, texts, self._reasons, self._limit(max_tokens))

    def scores(self, engine: Engine) -> list[Logprobs]:
        """How likely each sample was, where that is asked for; raises ORCH-E029 where the engine does not say."""
        if self._spec.sampling.logprobs is None:
            return []
        for number, sample in enumerate(self.asked):
            if number not in self._scores:
                if self.texts[sample] or self._calls.get(number):
                    fix = "leave logprobs= out, or ask an engine that gives them"
                    raise not_taken(engine.name, "`logprobs=`", fix, "its reply has none")
                self._scores[number] = Logprobs([], 0.0)
        return [self._scores[number] for number in range(len(self.asked))]

    def warnings(self, op: str, max_tokens: int | None) -> list[str]:
        """What the run says about replies that are not whole answers."""
        called = {self.asked[number]: calls[0].name for number, calls in self._calls.items() if calls}
        found = unfinished(op, {**self.texts, **called}, self._reasons, self._limit(max_tokens))
        most = max(map(len, self._calls.values()), default=0)
        if most > MOST_CALLS:
            found.append(f"the reply to `{op}` has {most} calls of tools, and the first {MOST_CALLS} are taken")
        allowed = None if max_tokens is None else max_tokens * len(self.asked)
        written = 0 if self.usage is None else self.usage.output_tokens
        if allowed is not None and written > allowed + len(self.asked):  # some count the end of a reply as well
            found.append(
                f"the reply to `{op}` has {written:,} tokens, and {allowed:,} were allowed: "
                "no budget holds what does not keep to max_tokens"
            )
        return found

    def used(self, reservation: Reservation, counter: TokenCounter) -> Usage:
        """What the engine told, and what it left out as it is counted here."""
        return completed(self.usage, reservation.prompt_tokens, self._output(reservation.max_tokens, counter))

    def usage_of_failure(
        self, error: BaseException, reservation: Reservation, counter: TokenCounter, *, was_sent: bool
    ) -> Usage:
        """What a call that gives no result has used; nothing, if it was refused or given up while it waited."""
        if self._has_ended or self.usage is not None:
            return self.used(reservation, counter)
        if was_sent and isinstance(error, EngineError) and error.code in SILENT:
            arrived = self._output(reservation.max_tokens, counter)
            return replace(reservation.most, output_tokens=max(arrived, reservation.most.output_tokens))
        if self.has_begun:
            return self.used(reservation, counter)
        if was_sent and isinstance(error, asyncio.CancelledError):
            return Usage(reservation.prompt_tokens, None, 0, estimated=True)
        return Usage()

    def _output(self, most: int | None, counter: TokenCounter) -> int:
        """Tokens of the reply: as the engine counts them while it streams, or as they are counted here."""
        if self.tokens:
            return self.tokens
        called = [
            [text for call in self._calls.get(n, ()) for text in (call.name, call.arguments)]
            for n in range(len(self.asked))
        ]
        written = zip(self._thoughts, self._parts, called, strict=True)
        return sum(_count("".join([*thoughts, *parts, *calls]), most, counter) for thoughts, parts, calls in written)

    def _limit(self, max_tokens: int | None) -> str:
        """What cuts a reply off, for people."""
        if max_tokens is None:
            return "the engine's own limit"
        return (
            f"max_tokens={max_tokens}"
            if self._spec.sampling.max_tokens
            else f"the {max_tokens} tokens that its budget left"
        )


def _count(text: str, most: int | None, counter: TokenCounter) -> int:
    """Tokens of a sample, at most; ``most`` bounds it unless the sample shows that it does not."""
    count = counter.count_text(text)
    return count if most is None or len(text) > most * LONGEST_TOKEN else min(count, most)
