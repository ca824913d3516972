"""What the runtime knows about one replica, in the form the planner's policies take.

An engine behind a protocol tells no queue and no block table, so the load is kept from what passes through: the calls
in flight and the speeds they show. ``prefill_s_per_token`` follows the smallest times to first token per uncached token
(a larger one contains waiting). ``decode_s`` is the mean time per output token; a step is taken to last twice as long
with ``DOUBLING`` sequences as with none, since a small batch shares the reading of the weights.

Sums over the calls are kept as these come and go, since each placement asks for them: in a burst, every one of n
placements would otherwise look at n calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import inf

from orchestrator.planner.policies.view import RequestView
from orchestrator.runtime.engines.base import Usage

LEAST_PREFILL_TOKENS = 64
"""Shorter prefills say nothing about the speed."""
DOUBLING = 32.0
SHARED = 0.5
"""It is the share of a program's longest prompt on a replica that a new session of it is taken to begin with."""
MOST_SHOWN = 64
"""Calls in flight, and calls that wait, that a policy is shown one by one; sums and counts are of all."""


@dataclass(slots=True, eq=False)
class Call:
    """One model call, as a policy's request."""

    sequence: int
    session: str
    owner: str
    """Its program's name."""
    program: int
    prompt_tokens: int
    predicted_output_tokens: float
    ready_s: float
    started_s: float
    remaining_s: float = 0.0
    step: str = ""
    predicted_s: float = 0.0
    deadline_s: float = inf
    home: int | None = None
    unit_tokens: int = 1
    prefix_ids: Sequence[int] = ()
    generated: int = 0
    prefilled: bool = False
    unread_tokens: int = 0
    """Prompt tokens that its replica has still to prefill."""


@dataclass(slots=True, eq=False)
class ReplicaLoad:
    """A :class:`~orchestrator.planner.policies.view.ReplicaView` kept by the runtime. Seconds, tokens."""

    index: int
    max_batch: int = 256
    block_tokens: int = 16
    kv_tokens: int | None = None
    """What its KV cache holds; ``None``: it does not say."""
    prefill_s_per_token: float = 1e-4
    decode_s: float = 0.02
    output_tokens: float = 128.0
    """Mean length of a reply."""
    turn_s: float = 2.0
    """Mean duration of a turn."""
    kv_bytes_per_token: float = 0.0
    link_bytes_per_s: float = 1.0
    batch: float = 1.0
    """Mean calls in flight."""
    calls: dict[Call, None] = field(default_factory=dict)
    queue: dict[Call, None] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)
    """Tokens each session left here."""
    prefixes: dict[str, int] = field(default_factory=dict)
    """It has the longest prompt of each program here."""
    done: int = 0
    """Calls that it answered."""
    failures: int = 0
    """Calls that failed since it last sent a piece of a reply."""
    learned: bool = False
    """Whether ``prefill_s_per_token`` comes from a measurement."""
    prompt_backlog_tokens: int = 0
    """Prompt tokens to prefill before a new one's; of each call, what was not cached when it came."""
    _context_tokens: int = 0
    _queued_tokens: int = 0
    _prompt_tokens: int = 0
    _predicted_tokens: float = 0.0

    @property
    def total_blocks(self) -> int:
        """KV blocks; as many as anyone could want where the engine does not say."""
        return (self.kv_tokens or 1 << 40) // self.block_tokens

    @property
    def running_count(self) -> int:
        """Calls sent to the engine."""
        return len(self.calls)

    @property
    def waiting_count(self) -> int:
        """Calls that wait for a slot."""
        return len(self.queue)

    @property
    def waiting_blocks(self) -> int:
        """Blocks that the prompts waiting for a slot need."""
        return self._queued_tokens // self.block_tokens

    @property
    def backlog_s(self) -> float:
        """Seconds of everything here, each call alone."""
        return self.alone_s(self._prompt_tokens, self._predicted_tokens)

    def alone_s(self, prompt_tokens: float, output_tokens: float, cached_tokens: float = 0.0) -> float:
        """Seconds of a call with nothing beside it."""
        return (prompt_tokens - cached_tokens) * self.prefill_s_per_token + output_tokens * self.step_s(0, 1, 0)

    def step_s(self, prefill_tokens: float, decodes: float, context_tokens: float) -> float:
        """Seconds of a step: prompt tokens, and one token of each of ``decodes`` sequences."""
        decoding_s = self.decode_s * (DOUBLING + decodes) / (DOUBLING + self.batch) if decodes else 0.0
        return prefill_tokens * self.prefill_s_per_token + decoding_s

    def free_blocks(self, now: float) -> int:
        """Blocks that no call in flight holds."""
        return self.total_blocks - self.context_tokens(now) // self.block_tokens

    def cached_tokens(self, request: RequestView, now: float) -> int:
        """Tokens of the prompt that are here, if nothing was evicted."""
        return self._cached(request) if isinstance(request, Call) else 0

    def context_tokens(self, now: float) -> int:
        """Tokens in the KV of the calls in flight."""
        return self._context_tokens

    def waiting(self) -> Iterable[tuple[float, RequestView]]:
        """What waits for a slot, the first ``MOST_SHOWN``."""
        return ((call.ready_s, call) for call in islice(self.queue, MOST_SHOWN))

    def running(self, now: float) -> Iterable[tuple[RequestView, int, int]]:
        """Calls in flight, the first ``MOST_SHOWN``: prompt tokens to prefill, tokens generated."""
        shown = islice(self.calls, MOST_SHOWN)
        return ((call, 0 if call.prefilled else call.prompt_tokens, call.generated) for call in shown)

    def queued(self, call: Call) -> None:
        """The call waits for a slot here."""
        self._add(call)
        self.queue[call] = None
        self._queued_tokens += call.prompt_tokens

    def begun(self, call: Call) -> None:
        """The call went to the engine."""
        self.left(call)
        self._add(call)
        self.calls[call] = None
        self._context_tokens += call.prompt_tokens + call.generated
        self.batch += 0.05 * (len(self.calls) - self.batch)

    def received(self, call: Call, tokens: int) -> None:
        """A piece of the reply has come."""
        self.failures = 0
        call.prefilled = True
        call.generated += tokens
        if call in self.calls:
            self._context_tokens += tokens
            self._read(call)

    def left(self, call: Call) -> None:
        """The call is over, or went elsewhere."""
        if call in self.queue:
            del self.queue[call]
            self._queued_tokens -= call.prompt_tokens
        elif call in self.calls:
            del self.calls[call]
            self._context_tokens -= call.prompt_tokens + call.generated
        else:
            return
        self._read(call)
        self._prompt_tokens -= call.prompt_tokens
        self._predicted_tokens -= call.predicted_output_tokens

    def learn(self, usage: Usage | None, ttft_s: float | None, seconds: float) -> None:
        """A call of ``seconds`` in the engine is done."""
        self.done += 1
        share = max(1 / self.done, 0.05)
        self.turn_s += share * (seconds - self.turn_s)
        if usage is None:
            return
        new = usage.input_tokens - (usage.cached_tokens or 0)
        if ttft_s is not None and new >= LEAST_PREFILL_TOKENS:
            seen = ttft_s / new
            faster = seen < self.prefill_s_per_token
            self.prefill_s_per_token += (0.5 if faster else 0.02) * (seen - self.prefill_s_per_token)
            if not self.learned:
                self.learned, self.prefill_s_per_token = True, seen
        if usage.output_tokens > 1:
            self.output_tokens += share * (usage.output_tokens - self.output_tokens)
            self.decode_s += share * ((seconds - (ttft_s or 0.0)) / usage.output_tokens - self.decode_s)

    def remember(self, call: Call, usage: Usage) -> None:
        """The session's KV is here now."""
        self.sessions[call.session] = usage.input_tokens + usage.output_tokens
        self.prefixes[call.owner] = max(usage.input_tokens, self.prefixes.get(call.owner, 0))

    def forget(self, session: str) -> None:
        """The session's KV is not here any more, or of no use."""
        self.sessions.pop(session, None)

    def _add(self, call: Call) -> None:
        call.unread_tokens = 0 if call.prefilled else call.prompt_tokens - self._cached(call)
        self.prompt_backlog_tokens += call.unread_tokens
        self._prompt_tokens += call.prompt_tokens
        self._predicted_tokens += call.predicted_output_tokens

    def _read(self, call: Call) -> None:
        self.prompt_backlog_tokens -= call.unread_tokens
        call.unread_tokens = 0

    def _cached(self, call: Call) -> int:
        own = self.sessions.get(call.session)
        if own is None:
            own = int(SHARED * self.prefixes.get(call.owner, 0))
        return min(own, max(call.prompt_tokens - 1, 0))
