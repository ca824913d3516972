"""Any endpoint that speaks OpenAI's chat completions, through the official client.

The client opens connections and sends (:mod:`.endpoint.sender`); what comes back is read in that folder, because
servers differ in what they send. Calls wait in the endpoint's queue (:mod:`.endpoint.pace`), never in the
client's pool, and a refusal for being too many sends a call back into it. All other retries are the runtime's. Closing
the generator closes the HTTP response, which is how such servers learn that nobody listens any more.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from orchestrator.dsl.logprobs import TokenLogprob
from orchestrator.dsl.models.messages import ToolCall
from orchestrator.errors import EngineError
from orchestrator.redaction import redacted, shown
from orchestrator.runtime.engines import errors
from orchestrator.runtime.engines.base import (
    DEFAULT_MODEL,
    Chunk,
    EngineStats,
    FinishReason,
    GenerateRequest,
    Usage,
    note,
)
from orchestrator.runtime.engines.endpoint.address import checked_url
from orchestrator.runtime.engines.endpoint.dialect import Dialect
from orchestrator.runtime.engines.endpoint.in_flight import InFlight
from orchestrator.runtime.engines.endpoint.merge import merged
from orchestrator.runtime.engines.endpoint.pace import MOST, HeldError, Pace, Permit, gate, shared_pace
from orchestrator.runtime.engines.endpoint.per_loop import PerLoop
from orchestrator.runtime.engines.endpoint.refused import RefusedError
from orchestrator.runtime.engines.endpoint.reply import Piece, Reply
from orchestrator.runtime.engines.endpoint.sender import Sender
from orchestrator.runtime.engines.endpoint.statuses import Endpoint
from orchestrator.runtime.kv.wire import SESSION_HEADER, request_arguments

UNTOLD_ROUNDS: Final = 6
"""Refusals in a row, by an endpoint that answers nobody and names no time, after which a call gives up."""
MOST_REFUSALS: Final = 50
"""One call may be refused so often, each time after answers to others: the endpoint will not take this one."""
TURNS_FIRST: Final = 3
"""So often a call that was refused goes first; then others may, which it would hold up for ever if nothing helps it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class OpenAIOptions:
    """Options of the kind ``openai``; ``docs/endpoints.md`` explains them."""

    base_url: str = "https://api.openai.com/v1"
    key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; the key itself never stands in a file."""
    timeout_s: float = 120.0
    """How long the endpoint may send nothing, once it has the request."""
    extra_body: dict[str, Any] = field(default_factory=dict)
    """Further fields of the request, passed as they are."""
    max_concurrency: int = MOST
    """Requests at once, at most; how many it really takes is learned from its refusals."""
    patience_s: float = 300.0
    """The longest wait that the endpoint may name, and how long a call waits while it answers nobody."""
    kv_hints: bool | None = None
    """Whether the server is a vLLM with ``--scheduler-cls orchestrator.kv.Scheduler``, which is told about sessions and
    pauses; None: it is asked."""

    def __repr__(self) -> str:
        """How it is shown: without credentials."""
        given = ", ".join(f"{each.name}={redacted(getattr(self, each.name), each.name)!r}" for each in fields(self))
        return f"OpenAIOptions({given})"


class OpenAIEngine:
    """An :class:`~orchestrator.runtime.engines.base.Engine` behind HTTP."""

    simulated = False
    queues = True

    def __init__(self, name: str, model: str, options: OpenAIOptions | None = None) -> None:
        """Raises ORCH-E016 for options that make no sense."""
        self.name = name
        self.model = model
        self.options = options or OpenAIOptions()
        try:
            url = checked_url(self.options.base_url)
        except ValueError as error:
            raise errors.bad_options("openai", f"base_url: {error}") from None
        if self.options.max_concurrency < 1:
            raise errors.bad_options("openai", "max_concurrency: it must be at least 1")
        self._shown = shown(url)
        self.hinted = bool(self.options.kv_hints)
        """Whether the server is told about sessions and pauses."""
        endpoint = Endpoint(name, self._shown, self.options.key_env, model)
        self._sender = Sender(url, endpoint, self.options.timeout_s, self.options.extra_body)
        self._dialect = Dialect(url, self.options.extra_body)
        self._gates = PerLoop(partial(gate, self.options.max_concurrency))
        """They hold this engine's own ``max_concurrency``."""
        self._takes_grammars: bool | None = None
        """None: the server has not been asked."""
        self._started = self._closed = False
        self._running = self._requests = self._aborted = 0
        self._usage = Usage()

    async def start(self) -> None:
        """Make the client, and ask the server whether it takes hints. Raises ORCH-E016 or E027; a server that does not
        answer is first missed by the first request."""
        if self._started:
            return
        self._sender.open(os.environ)
        self._started = True
        if self.options.kv_hints is None and await self._sender.takes_hints():
            self.hinted = True
            _log.info("the server at %s keeps the KV of sessions: it is told about them", self._shown)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Stream the reply; closing the generator closes the HTTP response."""
        if not self._started or self._closed:
            raise errors.not_running(self.name, is_closed=self._closed)
        if request.sampling.constraint is not None and request.sampling.constraint[0] == "grammar":
            await self._require_grammars()
        self._requests += 1
        self._running += 1
        done = False
        try:
            async with aclosing(self._samples(request)) as chunks:
                async for chunk in chunks:
                    if chunk.ttft_s is not None:
                        self._usage += chunk.usage or Usage()
                        self._running -= 1
                        done = True
                    yield chunk
        finally:
            if not done:
                self._running -= 1
                self._aborted += 1

    async def stats(self) -> EngineStats:
        """Counts of this client; what else the endpoint does is not known."""
        return EngineStats(running=self._running, requests=self._requests, aborted=self._aborted, usage=self._usage)

    async def release(self, session: str) -> None:
        """Accepted and ignored: the protocol has no such message."""

    async def close(self) -> None:
        """Close the connections."""
        self._closed = True
        await self._sender.close()

    async def _require_grammars(self) -> None:
        """Raise ORCH-E029 unless the server is a vLLM: others ignore a grammar, and nobody would see that they did."""
        if self._takes_grammars is None:
            self._takes_grammars = await self._sender.is_vllm()
        if not self._takes_grammars:
            why = f"the server at {self._shown} does not show the metrics of a vLLM"
            fix = 'use regex= or returns=, or say how it takes them: extra_body={"structured_outputs": {"grammar": …}}'
            raise errors.not_taken(self.name, "`grammar=`", fix, why)

    async def _samples(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """All samples, by as many requests as the endpoint needs for them."""
        started = time.monotonic()
        copies = _copies(request)
        missing = list(range(0, request.sampling.samples, copies))
        ttft_s: float | None = None
        usages: list[Usage | None] = []
        ends: dict[int, FinishReason] = {}
        calls: dict[int, tuple[ToolCall, ...] | None] = {}
        scores: dict[int, tuple[TokenLogprob, ...]] = {}
        in_flight = InFlight()
        while missing:
            parts = [missing] if self._dialect.takes_n else [[sample] for sample in missing]
            replies = [Reply(len(part), request.sampling.max_tokens) for part in parts]
            asked = [
                self._ask(_seeded(request, part[0]), part, reply, in_flight)
                for part, reply in zip(parts, replies, strict=True)
            ]
            async with aclosing(merged(asked)) as pieces:
                async for sample, text, thought in pieces:
                    ttft_s = ttft_s if ttft_s is not None else time.monotonic() - started
                    for copy in range(copies):
                        yield Chunk(sample + copy, text, 0, thought="" if copy else thought)
            for part, reply in zip(parts, replies, strict=True):
                usages.append(reply.counted())
                ends |= {part[number]: reason for number, reason in reply.reasons().items()}
                scores |= {part[number]: tokens for number, tokens in reply.logprobs().items()}
                if reply.offers_tools:
                    calls |= {part[number]: wanted for number, wanted in reply.calls().items()}
            missing = [sample for sample in missing if sample not in ends]
            if missing:
                self._dialect.takes_n = False  # whoever ignores it will do so again
        known = [each for each in usages if each is not None]
        usage = sum(known, Usage()) if len(known) == len(usages) else None
        ttft_s = ttft_s if ttft_s is not None else time.monotonic() - started
        last = request.sampling.samples - 1
        for sample in range(last + 1):
            first = sample - sample % copies
            end = Chunk(sample, "", 0, ends[first], calls=calls.get(first), logprobs=scores.get(first))
            yield end if sample < last else end._replace(usage=usage, ttft_s=ttft_s)

    async def _ask(
        self, request: GenerateRequest, part: Sequence[int], reply: Reply, in_flight: InFlight
    ) -> AsyncGenerator[Piece, None]:
        """One request for some of the samples; a refusal for being too many sends it back into the queue."""
        pace = shared_pace(self._sender.url, self._sender.key, self._asked_model(request), self.options.max_concurrency)
        hint = request.kv
        tenant, program = (hint and hint.tenant) or "", (hint and hint.program) or request.request_id
        async with self._gates.here().place(tenant, program):
            key: float | None = None
            turns = refusals = 0
            since_s: float | None = None
            is_over = False
            while not is_over:
                permit = await self._permit(pace, tenant, program, key)
                turns += 1
                key = permit.key if turns < TURNS_FIRST else None
                try:
                    in_flight.sent()
                    async with aclosing(self._answer(request, reply)) as pieces:
                        async for number, text, thought in pieces:
                            permit.answered()
                            yield part[number], text, thought
                    permit.answered()
                    in_flight.over()
                    is_over = True
                except RefusedError as refusal:
                    permit.refused(refusal.retry_after_s, refusal.error.diagnostics[0].why or "")
                    if not refusal.is_ours and since_s != pace.refused_since_s:
                        refusals, since_s = refusals + 1, pace.refused_since_s
                    if request.may_move or refusals > MOST_REFUSALS or self._is_hopeless(refusal, pace):
                        raise self._final(refusal) from None
                    in_flight.over()
                    note(f"{refusal.what}; they waited and were sent again")
                finally:
                    permit.leave()

    async def _permit(self, pace: Pace, tenant: str, program: str, key: float | None) -> Permit:
        patience_s = self.options.patience_s
        try:
            return await pace.enter(tenant, program, key, patience_s=patience_s)
        except HeldError as held_:
            raise errors.waits_too_long(self._shown, held_.words, held_.for_s, patience_s) from None

    def _is_hopeless(self, refusal: RefusedError, pace: Pace) -> bool:
        """Whether a call that was refused had better fail than wait."""
        if refusal.is_ours and pace.in_flight > 1:  # each of the others gives a socket back when it ends
            return False
        told, since_s = refusal.retry_after_s, pace.refused_since_s
        if told is None and pace.refused_rounds >= UNTOLD_ROUNDS:
            return True
        lasted_s = 0.0 if since_s is None else pace.clock() - since_s
        return max(told or 0.0, lasted_s) > self.options.patience_s

    def _final(self, refusal: RefusedError) -> EngineError:
        told, most = refusal.retry_after_s, self.options.patience_s
        if told is None or told <= most:
            return refusal.error
        return errors.waits_too_long(self._shown, refusal.error.diagnostics[0].why or "", told, most)

    async def _answer(self, request: GenerateRequest, reply: Reply) -> AsyncGenerator[Piece, None]:
        """What the endpoint answers, in words that it knows.

        Others may have learned of such words while this request was under way.
        """
        rejected: list[dict[str, Any]] = []
        is_over = is_writing = False
        while not is_over:
            body = self._body_now(request, reply)
            reply.offers_tools = "tools" in body
            try:
                async with aclosing(self._sender.send(body, reply)) as pieces:
                    async for piece in pieces:
                        is_writing = True
                        yield piece
                is_over = True
            except EngineError as error:
                if error.code != "ORCH-E014" or is_writing:
                    raise
                rejected.append(body)
                if body == self._body_now(request, reply):
                    self._dialect.adapt(error.diagnostics[0].why or "", body, request)
                if self._body_now(request, reply) in rejected:
                    fix = self._dialect.advice(error.diagnostics[0].why or "", body)
                    raise errors.advised(error, fix) from error.__cause__
        for lack in self._dialect.lacking(request):
            note(f"the endpoint {self._shown} does not take everything: {lack}")

    def _asked_model(self, request: GenerateRequest) -> str:
        return self.model if request.model in (DEFAULT_MODEL, self.name) else request.model

    def _body(self, request: GenerateRequest, samples: int = 1) -> dict[str, Any]:
        body = self._dialect.body(request, self._asked_model(request), samples)
        return body | _hinted(request, body.get("extra_body", {})) if self.hinted else body

    def _body_now(self, request: GenerateRequest, reply: Reply) -> dict[str, Any]:
        return self._body(request, reply.samples if self._dialect.takes_n else 1)


def _hinted(request: GenerateRequest, extra_body: dict[str, Any]) -> dict[str, Any]:
    """The request's session and hint, as vLLM's server takes them."""
    arguments = request_arguments(request.session, request.kv)
    if not arguments:
        return {}
    xargs = {**extra_body.get("vllm_xargs", {}), **arguments}
    hinted: dict[str, Any] = {"extra_body": {**extra_body, "vllm_xargs": xargs}}
    if request.session is not None:
        hinted["extra_headers"] = {SESSION_HEADER: quote(request.session)}
    return hinted


def _seeded(request: GenerateRequest, sample: int) -> GenerateRequest:
    """The request for what begins with this sample: asked for one by one with one seed, all would be alike."""
    seed = request.sampling.seed
    if seed is None or not sample:
        return request
    return replace(request, sampling=replace(request.sampling, seed=seed + sample))


def _copies(request: GenerateRequest) -> int:
    """Greedy samples are all alike, and some servers refuse to make more than one: ask for one and copy it."""
    return request.sampling.samples if request.sampling.temperature == 0 else 1
