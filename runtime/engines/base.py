"""The engine protocol: everything the runtime knows about whatever answers a prompt.

An engine turns one :class:`GenerateRequest` into a stream of :class:`Chunk` objects. The rules every implementation
keeps, and ``tests/runtime/engines/test_contract.py`` checks on each of them:

- the texts of a sample's chunks, concatenated, are the sample's full reply;
- every sample ends with exactly one chunk that carries a ``finish_reason``; the very last chunk of the request ends a
  sample, and also carries the request's :class:`Usage` where the engine tells it;
- closing the iterator early (``aclose``) aborts the request inside the engine and frees its memory;
- ``start`` and ``close`` are idempotent; failures are coded :class:`~orchestrator.errors.EngineError` s;
- hints (:class:`~orchestrator.runtime.kv.hints.KvHint`) change speed, never results.

>>> async def ask(engine: Engine) -> str:
...     reply = await complete(engine, GenerateRequest("r1", engine.model, (Message("user", "2+2?"),)))
...     return reply.texts[0]
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from orchestrator.dsl.logprobs import TokenLogprob
from orchestrator.dsl.models.messages import Message, ToolCall
from orchestrator.holding import Holding
from orchestrator.runtime.kv.hints import KvHint

FinishReason = Literal["stop", "length", "refusal", "content_filter", "tool_calls"]
"""``stop``: the model ended, a stop string matched, or the structure is complete. ``length``: ``max_tokens`` or the
context window cut the reply. ``refusal``: the text says why there is no answer. ``content_filter``: the endpoint
withheld the rest. ``tool_calls``: the model wants to call what the text names, and was offered nothing."""

DEFAULT_MODEL = "default"
"""A request's model name that means "whatever the engine serves"."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to sample; ``None`` leaves the choice to the engine's own default."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    samples: int = 1
    schema: Mapping[str, object] | None = None
    """A JSON schema the reply must satisfy (structured decoding)."""
    constraint: tuple[str, object] | None = None
    """What else the reply must be: ``("choice", texts)``, ``("regex", pattern)`` or ``("grammar", ebnf)``."""
    passed: Mapping[str, object] = field(default_factory=dict)
    """Further options by the names that OpenAI and vLLM give them (:data:`orchestrator.dsl.sampling.PASSED`)."""
    extra_body: Mapping[str, object] = field(default_factory=dict)
    """Fields of the request's body, for endpoints; they come last."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """Tools that the model may call (:class:`orchestrator.dsl.models.offered.Offered`)."""
    tool_choice: str = "auto"
    """``auto``, ``none``, ``required``, or the name of a tool."""
    logprobs: int | None = None
    """Tell how likely each token was, with so many alternatives."""
    steps: Mapping[str, object] | None = None
    """The JSON schema of a step, for an engine that calls no tools (:mod:`.tool_steps`)."""


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """One call of a model: a conversation and how to continue it."""

    request_id: str
    model: str
    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=Sampling)
    session: str | None = None
    """Conversation whose KV prefix this request extends."""
    kv: KvHint | None = None
    may_move: bool = False
    """Another engine would take it: one that cannot now shall refuse rather than wait."""
    op: str = ""
    """Id of the op that asks; empty where nobody says."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a request, over all its samples; the shared prompt counts once."""

    input_tokens: int = 0
    cached_tokens: int | None = None
    """Part of ``input_tokens`` that was found in the prefix cache; None where no engine has said. A sum is over the
    requests of which it is known."""
    output_tokens: int = 0
    estimated: bool = False
    """Whether some of it was counted here, at most, because no engine has said."""

    def __add__(self, other: Usage) -> Usage:
        mine, others = self.cached_tokens, other.cached_tokens
        return Usage(
            self.input_tokens + other.input_tokens,
            others if mine is None else mine if others is None else mine + others,
            self.output_tokens + other.output_tokens,
            self.estimated or other.estimated,
        )


class Chunk(NamedTuple):
    """A piece of one sample's reply. A named tuple, because there are many."""

    sample: int
    text: str
    tokens: int
    """Output tokens in this piece; 0 where the engine only reports totals."""
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    """Set on the very last chunk of the request, unless the engine does not count."""
    ttft_s: float | None = None
    """Seconds from submission to the first token, set on the very last chunk."""
    thought: str = ""
    """Reasoning, which is no part of the reply, and paid for like it."""
    calls: tuple[ToolCall, ...] | None = None
    """What the model wants to call is told with the finish reason of a request with tools; None if the text is a step.

    Beside the reason ``length`` something of them is missing, and none can be made.
    """
    logprobs: tuple[TokenLogprob, ...] | None = None
    """They stand with the finish reason, where they were asked for, and are those of all tokens of the sample."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A snapshot of an engine. Totals count since ``start``; ``None`` means the engine cannot tell."""

    running: int
    """Requests the engine is working on now."""
    waiting: int | None = None
    """Requests queued inside the engine."""
    kv_used_fraction: float | None = None
    kv_capacity_tokens: int | None = None
    requests: int = 0
    aborted: int = 0
    usage: Usage = field(default_factory=Usage)

    @classmethod
    def of_all(cls, found: Sequence[EngineStats]) -> EngineStats:
        """Of engines that share the work: sums of what is known, and the largest used share of a cache."""
        waiting = [stats.waiting for stats in found if stats.waiting is not None]
        used = [stats.kv_used_fraction for stats in found if stats.kv_used_fraction is not None]
        room = [stats.kv_capacity_tokens for stats in found if stats.kv_capacity_tokens is not None]
        return cls(
            running=sum(stats.running for stats in found),
            waiting=sum(waiting) if waiting else None,
            kv_used_fraction=max(used, default=None),
            kv_capacity_tokens=sum(room) if room else None,
            requests=sum(stats.requests for stats in found),
            aborted=sum(stats.aborted for stats in found),
            usage=sum((stats.usage for stats in found), Usage()),
        )


@runtime_checkable
class Engine(Protocol):
    """Something that continues conversations.

    One that lets requests wait before it sends them has ``queues = True`` and calls :func:`sent` itself.
    """

    @property
    def name(self) -> str:
        """The name plans refer to (``engine:<name>``)."""

    @property
    def model(self) -> str:
        """The model it serves: a path, a hub id, or an endpoint's model name."""

    @property
    def simulated(self) -> bool:
        """True when replies are made up. Anything printed from such an engine must say so."""

    async def start(self) -> None:
        """Load the model; returns when the first request can be served."""

    def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Stream the reply; closing the iterator aborts the request."""

    async def stats(self) -> EngineStats:
        """Current load and totals."""

    async def release(self, session: str) -> None:
        """Hint: the session's KV cache will not be used again."""

    async def close(self) -> None:
        """Stop and free everything; in-flight requests fail."""


@runtime_checkable
class KvControl(Protocol):
    """What an engine may offer besides: hints that are not part of a turn. Both are advisory and change no reply."""

    async def prefetch(self, request: GenerateRequest) -> Usage:
        """Compute the prefix that a later turn begins with: ``request`` without its reply. Returns what that took.

        ``request.kv.prefetch`` is set and ``sampling.max_tokens`` is 1. Cancelling it aborts the request.
        """

    async def extend(self, session: str, hint: KvHint) -> None:
        """More is known of the session's pause than when its turn began.

        ``hint.pause_s`` forecasts the rest of it, from now on; ``hint.pin_ttl_s`` of 0: forget the session's KV.
        """


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole reply, gathered from its chunks."""

    texts: tuple[str, ...]
    finish_reasons: tuple[FinishReason, ...]
    usage: Usage | None
    ttft_s: float | None


class _Told(NamedTuple):
    """Who is told what becomes of a request on its way to an engine."""

    sent: Callable[[], None]
    held: Callable[[], None]
    lost: Callable[[], None]


_sending: ContextVar[_Told | None] = ContextVar("orchestrator_sending", default=None)


def when_sent(
    tell: Callable[[], None], held_back: Callable[[], None] = lambda: None, lost: Callable[[], None] = lambda: None
) -> AbstractContextManager[None]:
    """Have ``tell`` called when a request made in here leaves the queues in front of its engine.

    Once per time that it is sent: a request that is sent to another replica tells again. What came before was waiting
    for others, which is not the request's time. ``held_back`` is called when it has to wait again, ``lost`` before it
    is sent again although whoever had it may work on it still.
    """
    return Holding(_sending, _Told(tell, held_back, lost))


def sent() -> None:
    """The request leaves the queue now; called by whoever held it there."""
    told = _sending.get()
    if told is not None:
        told.sent()


def held() -> None:
    """Nobody works on the request until it is sent again, or all of it was answered; called by whoever holds it."""
    told = _sending.get()
    if told is not None:
        told.held()


def lost() -> None:
    """Whoever had the request fell silent, and may work on it and bill it, while another one gets it.

    Raises ORCH-R010 where the budgets do not bear both.
    """
    told = _sending.get()
    if told is not None:
        told.lost()


_note: ContextVar[Callable[[str], None] | None] = ContextVar("orchestrator_note", default=None)


def noting(tell: Callable[[str], None]) -> AbstractContextManager[None]:
    """Have ``tell`` called with what an engine has to say about requests made in here and is no failure."""
    return Holding(_note, tell)


def note(text: str) -> None:
    """Tell the run that made the request something its user should know, such as what an endpoint does without."""
    tell = _note.get()
    if tell is not None:
        tell(text)


async def complete(engine: Engine, request: GenerateRequest) -> Completion:
    """Run ``request`` to its end and gather the samples."""
    texts: list[list[str]] = [[] for _ in range(request.sampling.samples)]
    reasons: list[FinishReason] = ["stop"] * request.sampling.samples
    usage, ttft_s = None, None
    async with aclosing(engine.generate(request)) as chunks:
        async for chunk in chunks:
            texts[chunk.sample].append(chunk.text)
            if chunk.finish_reason is not None:
                reasons[chunk.sample] = chunk.finish_reason
            usage, ttft_s = chunk.usage or usage, chunk.ttft_s or ttft_s
    return Completion(tuple("".join(parts) for parts in texts), tuple(reasons), usage, ttft_s)
