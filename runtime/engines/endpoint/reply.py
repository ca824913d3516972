"""A reply as it arrives, from the chunks or the whole completion that an endpoint sends.

Text is passed on in the order in which it came; what a reply ended with is known when the stream has ended, because
servers send text behind their finish reasons, and reasons that are none (``""``). What carries nothing is skipped.

>>> reply = Reply(1)
>>> list(reply.feed({"choices": [{"delta": {"content": "Hi"}, "finish_reason": ""}]}))
[(0, 'Hi', '')]
>>> list(reply.feed({"choices": [{"delta": None, "finish_reason": "length"}], "usage": None})), reply.reasons()
([], {0: 'length'})
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from orchestrator.dsl.logprobs import LEAST, MOST_ALTERNATIVES, TokenLogprob
from orchestrator.dsl.models.messages import ToolCall
from orchestrator.runtime.engines.base import FinishReason, Usage
from orchestrator.runtime.engines.endpoint.called import Calls
from orchestrator.runtime.engines.surrogates import Joiner, well_formed
from orchestrator.runtime.engines.token_count import LONGEST_TOKEN

_LENGTH: Final = frozenset({"length", "max_tokens", "max_output_tokens", "model_length", "token_limit"})
_FILTERED: Final = frozenset({"content_filter", "safety", "recitation", "blocklist", "prohibited_content", "sensitive"})
_TOOLS: Final = frozenset({"tool_calls", "function_call", "tool_use"})
_THOUGHTS: Final = ("reasoning_content", "reasoning")
MOST_CHARS: Final = 64 << 20
"""All samples may have so many, with what was thought, refused and called; no model writes as much."""
_LOGPROB_CHARS: Final = 100
"""What a token with its probability takes, about."""
_MOST_TOKENS: Final = 10**12
"""More than any request has: such a count is none."""
_BROKEN: Final = frozenset({"error", "abort", "aborted", "cancelled", "canceled", "network_error"})


Piece = tuple[int, str, str]
"""A piece is the number of its sample, its text, and its reasoning."""


class UnfinishedError(Exception):
    """The endpoint ended a reply before its end, or sent one that cannot be read."""


@dataclass(slots=True)
class _Sample:
    joiner: Joiner = field(default_factory=Joiner)
    reason: str = ""
    chars: int = 0
    """Its text has so many characters."""
    refusal: list[str] = field(default_factory=list)
    calls: Calls = field(default_factory=Calls)
    logprobs: list[TokenLogprob] | None = None
    usage: Usage | None = None
    """It is what this sample alone has used, where an endpoint counts so."""


class Reply:
    """One request's reply of so many samples, each of ``max_tokens`` at most if the endpoint keeps to that."""

    def __init__(self, samples: int, max_tokens: int | None = None) -> None:
        self.usage: Usage | None = None
        self.is_endless = False
        """Whether a sample that has not ended is longer than ``max_tokens`` can be: it may never end."""
        self._most_chars = None if max_tokens is None else max_tokens * LONGEST_TOKEN
        self._chars = 0
        self.is_done = False
        """Whether the endpoint said that the stream is complete."""
        self._samples: dict[int, _Sample] = {}
        self.samples = samples
        """Asked for."""
        self.offers_tools = False
        """Whether the request that it answers offers tools."""
        self._only: Any = None
        """What the endpoint numbers the only sample."""

    def feed(self, event: Any) -> Iterator[Piece]:
        """The pieces in a chunk, or in a whole completion.

        Raises :class:`UnfinishedError`.
        """
        if event is None:
            return
        if not isinstance(event, Mapping):
            raise UnfinishedError(f"it sent {str(event)[:80]!r} in place of a chunk")
        self._count(event.get("usage"))
        choices = event.get("choices")
        if choices is None:
            return
        if not isinstance(choices, list):
            raise UnfinishedError(f"its choices are {str(choices)[:80]!r}")
        if _number_alike(choices):
            raise UnfinishedError("it sent several whole replies with one index")
        for choice in choices:
            if choice is not None:
                yield from self._choice(choice, is_alone=len(choices) == 1)

    def rest(self) -> Iterator[Piece]:
        """What is left to pass on when the stream has ended: half characters, and the words of refusals and calls."""
        for number, sample in sorted(self._samples.items()):
            text = sample.joiner.end() + "".join(sample.refusal)
            if not text and not sample.chars and sample.calls and not self.offers_tools:
                text = str(sample.calls)
            if text:
                yield number, well_formed(text), ""

    def calls(self) -> dict[int, tuple[ToolCall, ...]]:
        """What each sample that has come wants to call."""
        return {number: each.calls.found() for number, each in self._samples.items()}

    def logprobs(self) -> dict[int, tuple[TokenLogprob, ...]]:
        """How likely each token was of the samples of which the endpoint said it."""
        return {n: tuple(each.logprobs) for n, each in self._samples.items() if each.logprobs is not None}

    def counted(self) -> Usage | None:
        """The usage, where the endpoint counted what it wrote."""
        usage = self.usage or self._by_sample()
        wrote = any(sample.chars or sample.calls for sample in self._samples.values())
        return None if usage is None or (wrote and not usage.output_tokens) else usage

    def _by_sample(self) -> Usage | None:
        """The sum over the samples, which share one prompt; None where one of them is not counted."""
        usages = [sample.usage for sample in self._samples.values() if sample.usage is not None]
        if not usages or len(usages) < len(self._samples):
            return None
        longest = max(usages, key=lambda each: each.input_tokens)
        return replace(longest, output_tokens=sum(each.output_tokens for each in usages))

    def reasons(self) -> dict[int, FinishReason]:
        """Why each sample ended that has come. Raises :class:`UnfinishedError` for one that did not end."""
        return {number: self._reason(number, sample) for number, sample in sorted(self._samples.items())}

    def _reason(self, number: int, sample: _Sample) -> FinishReason:
        found = sample.reason.lower()
        if not found and self.is_endless:
            return "length"
        if not found and not self.is_done:
            raise UnfinishedError(f"sample {number + 1} of {self.samples} has no end")
        if found in _BROKEN:
            raise UnfinishedError(f"it ended with `{sample.reason}`")
        if sample.refusal or found == "refusal":
            return "refusal"
        if found in _FILTERED:
            return "content_filter"
        if self.offers_tools and found in _LENGTH and sample.calls.are_cut:
            return "length"
        if sample.calls or (found in _TOOLS and not sample.chars):
            return "tool_calls"
        return "length" if found in _LENGTH else "stop"

    def _choice(self, choice: Any, *, is_alone: bool) -> Iterator[Piece]:
        if not isinstance(choice, Mapping):
            raise UnfinishedError(f"a choice is {str(choice)[:80]!r}")
        number = self._number(choice.get("index"), is_alone=is_alone)
        sample = self._samples.setdefault(number, _Sample())
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            sample.reason = reason
        if isinstance(counts := choice.get("usage"), Mapping):
            sample.usage = usage_in(counts) or sample.usage
        delta = choice.get("delta")
        if delta is None:  # the last chunk of some has the whole message beside an empty delta
            delta = choice.get("message") or {}
        if not isinstance(delta, Mapping):
            raise UnfinishedError(f"a delta is {str(delta)[:80]!r}")
        if refusal := _refusal(delta):
            sample.refusal.append(refusal)
        self._chars += len(refusal) + sample.calls.add(delta) + _add_logprobs(sample, choice.get("logprobs"))
        text = sample.joiner.feed(_text(delta.get("content", choice.get("text"))))
        sample.chars += len(text)
        self.is_endless |= self._most_chars is not None and sample.chars > self._most_chars and not sample.reason
        thoughts = (delta.get(name) for name in _THOUGHTS)  # some send it under both names
        thought = next((each for each in thoughts if isinstance(each, str) and each), "")
        self._chars += len(text) + len(thought)
        if self._chars > MOST_CHARS:
            raise UnfinishedError(f"it is longer than {MOST_CHARS >> 20} million characters")
        if text or thought:
            yield number, text, well_formed(thought)

    def _number(self, index: Any, *, is_alone: bool) -> int:
        if is_alone and index is None:
            return 0
        if is_alone and self.samples == 1 and self._only in (None, index):
            self._only = index
            return 0
        if isinstance(index, int) and 0 <= index < self.samples:
            return index
        raise UnfinishedError(f"it sent a choice with index {index!r}, and {self.samples} were asked for")

    def _count(self, counts: Any) -> None:
        if isinstance(counts, Mapping):
            self.usage = usage_in(counts) or self.usage


def usage_in(counts: Mapping[str, Any]) -> Usage | None:
    """The usage that an endpoint reports; None where it is not known in full.

    >>> usage_in({"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}})
    Usage(input_tokens=7, cached_tokens=4, output_tokens=2, estimated=False)
    >>> usage_in({"prompt_tokens": None, "completion_tokens": 2})

    Some leave reasoning out of what was written, and in the total, which is what they charge.

    >>> usage_in({"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 39}).output_tokens
    32
    """
    sent, written, total = (_count_in(counts, name) for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    if sent is None and written is not None and total is not None:
        sent = total - written
    if not sent or sent < 0 or written is None:  # no prompt is empty: zeros stand for what was not counted
        return None
    if total is not None:
        written = max(written, total - sent)
    details = counts.get("prompt_tokens_details")
    cached = _count_in(details, "cached_tokens") if isinstance(details, Mapping) else None
    for name in ("prompt_cache_hit_tokens", "cached_tokens"):
        cached = _count_in(counts, name) if cached is None else cached
    return Usage(sent, None if cached is None else min(cached, sent), written)


def _count_in(counts: Mapping[str, Any], name: str) -> int | None:
    found = counts.get(name)
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if not isinstance(found, int) or isinstance(found, bool) or not 0 <= found <= _MOST_TOKENS:
        return None
    return found


def _number_alike(choices: list[Any]) -> bool:
    """Whether choices that are whole replies, and not pieces of one, have the same index."""
    whole = [each.get("index") for each in choices if isinstance(each, Mapping) and each.get("message")]
    return any(whole.count(index) > 1 for index in whole)


def _text(content: Any) -> str:
    """The text of a delta: a string, or parts of which some are text."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(map(_text, content))
    if isinstance(content, Mapping):
        return _text(content.get("text")) if content.get("type") in (None, "text", "output_text") else ""
    raise UnfinishedError(f"its content is {str(content)[:80]!r}")


def _refusal(delta: Mapping[str, Any]) -> str:
    """What a delta says of a refusal, in a field of its own or as a part of the content."""
    content = delta.get("content")
    parts = [each for each in content if isinstance(each, Mapping)] if isinstance(content, list) else []
    said = (each.get("refusal") for each in (delta, *parts))
    return "".join(each for each in said if isinstance(each, str))


def _add_logprobs(sample: _Sample, given: Any) -> int:
    """Note how likely some tokens were; gives how many characters that takes, about."""
    content = given.get("content") if isinstance(given, Mapping) else None
    if not isinstance(content, list):
        return 0
    found = [one for each in content if (one := _logprob(each)) is not None]
    if sample.logprobs is None:
        sample.logprobs = []
    sample.logprobs += found
    return sum(_LOGPROB_CHARS * (1 + len(each.alternatives)) for each in found)


def _logprob(given: Any) -> TokenLogprob | None:
    """One token; None for what is none."""
    if not isinstance(given, Mapping) or not isinstance(given.get("logprob"), int | float):
        return None
    top = given.get("top_logprobs")
    alternatives = {
        well_formed(str(each.get("token"))): max(float(each["logprob"]), LEAST)
        for each in (top if isinstance(top, list) else [])[:MOST_ALTERNATIVES]
        if isinstance(each, Mapping) and isinstance(each.get("logprob"), int | float)
    }
    return TokenLogprob(well_formed(str(given.get("token"))), max(float(given["logprob"]), LEAST), alternatives)
