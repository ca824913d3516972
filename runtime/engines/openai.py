"""Any endpoint that speaks OpenAI's chat completions, through the official client.

The client opens connections and sends; what comes back is read here (:mod:`orchestrator.runtime.engines.endpoint`),
because servers differ in what they send. Calls wait in the endpoint's queue (:mod:`.endpoint.pace`), never in the
client's pool, and a refusal for being too many sends a call back into it. All other retries are the runtime's. Closing
the generator closes the HTTP response, which is how such servers learn that nobody listens any more."""

from __future__ import annotations

import asyncio
import logging
import os
import time
import urllib.request
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlsplit

from orchestrator.errors import EngineError
from orchestrator.redaction import Redaction, redacted, secrets_in, secrets_of, secrets_of_proxies, shown
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
from orchestrator.runtime.engines.endpoint import event_stream, probe, reading
from orchestrator.runtime.engines.endpoint.address import LOCAL_KEY, api_key, checked_url
from orchestrator.runtime.engines.endpoint.client import (
    LOGGERS,
    NO_SOCKET,
    connected,
    http_library,
    root_cause,
    without_user,
)
from orchestrator.runtime.engines.endpoint.dialect import Dialect
from orchestrator.runtime.engines.endpoint.in_flight import InFlight
from orchestrator.runtime.engines.endpoint.merge import merged
from orchestrator.runtime.engines.endpoint.pace import MOST, HeldError, Pace, Permit, gate, shared_pace
from orchestrator.runtime.engines.endpoint.refused import RefusedError
from orchestrator.runtime.engines.endpoint.reply import Piece, Reply, UnfinishedError
from orchestrator.runtime.engines.endpoint.retry_after import retry_after_s
from orchestrator.runtime.engines.endpoint.statuses import Endpoint, failure, status_of, words
from orchestrator.runtime.kv.wire import SESSION_HEADER, request_arguments

if TYPE_CHECKING:
    from openai import APIConnectionError, APIStatusError, AsyncOpenAI

UNTOLD_ROUNDS: Final = 6
"""Refusals in a row, by an endpoint that answers nobody and names no time, after which a call gives up."""
MOST_REFUSALS: Final = 50
"""Of one call, each with an answer to others before it: the endpoint will not take this one."""
TURNS_FIRST: Final = 3
"""So often a call that was refused goes first; then others may, which it would hold up for ever if nothing helps it."""
T = TypeVar("T")

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
        """Without credentials."""
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
            self._url = checked_url(self.options.base_url)
        except ValueError as error:
            raise errors.bad_options("openai", f"base_url: {error}") from None
        if self.options.max_concurrency < 1:
            raise errors.bad_options("openai", "max_concurrency: it must be at least 1")
        self._shown = shown(self._url)
        self.hinted = bool(self.options.kv_hints)
        """Whether the server is told about sessions and pauses."""
        self._endpoint = Endpoint(name, self._shown, self.options.key_env, model)
        self._dialect = Dialect(self._url, self.options.extra_body)
        self._key = ""
        self._redacted = self._redaction()
        self._clients: dict[asyncio.AbstractEventLoop, AsyncOpenAI] = {}
        """One for each event loop, as connections belong to the one that they were opened in."""
        self._gates: dict[asyncio.AbstractEventLoop, Pace] = {}
        self._started = self._closed = False
        self._running = self._requests = self._aborted = 0
        self._usage = Usage()

    async def start(self) -> None:
        """Make the client, and ask the server whether it takes hints. Raises ORCH-E016 or E027; a server that does not
        answer is first missed by the first request."""
        if self._started:
            return
        self._key = api_key(self.options.key_env, os.environ)
        self._redacted = self._redaction()
        client = self._client()
        self._started = True
        for name in LOGGERS:
            logging.getLogger(name).addFilter(self._redacted.record)
        if self.options.kv_hints is None and await probe.takes_hints(client, without_user(self._url)):
            self.hinted = True
            _log.info("the server at %s keeps the KV of sessions: it is told about them", self._shown)

    def _redaction(self) -> Redaction:
        key = () if self._key == LOCAL_KEY else (self._key,)
        body = secrets_in(self.options.extra_body)
        return Redaction([*key, *secrets_of(self._url), *secrets_of_proxies(), *body])

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Stream the reply; closing the generator closes the HTTP response."""
        if not self._started or self._closed:
            raise errors.not_running(self.name, is_closed=self._closed)
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
        for name in LOGGERS:
            logging.getLogger(name).removeFilter(self._redacted.record)
        client = self._clients.pop(asyncio.get_running_loop(), None)
        self._clients.clear()  # those of event loops that are over
        if client is not None:
            await client.close()

    async def _samples(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """All samples, by as many requests as the endpoint needs for them."""
        started = time.monotonic()
        copies = _copies(request)
        missing = list(range(0, request.sampling.samples, copies))
        ttft_s: float | None = None
        usages: list[Usage | None] = []
        ends: dict[int, FinishReason] = {}
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
            missing = [sample for sample in missing if sample not in ends]
            if missing:
                self._dialect.takes_n = False  # whoever ignores it will do so again
        known = [each for each in usages if each is not None]
        usage = sum(known, Usage()) if len(known) == len(usages) else None
        ttft_s = ttft_s if ttft_s is not None else time.monotonic() - started
        last = request.sampling.samples - 1
        for sample in range(last):
            yield Chunk(sample, "", 0, ends[sample - sample % copies])
        yield Chunk(last, "", 0, ends[last - last % copies], usage, ttft_s)

    async def _ask(
        self, request: GenerateRequest, part: Sequence[int], reply: Reply, in_flight: InFlight
    ) -> AsyncGenerator[Piece, None]:
        """One request for some of the samples; a refusal for being too many sends it back into the queue."""
        pace = shared_pace(self._url, self._key, self._asked_model(request), self.options.max_concurrency)
        hint = request.kv
        tenant, program = (hint and hint.tenant) or "", (hint and hint.program) or request.request_id
        async with self._gate().place(tenant, program):
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
            try:
                async with aclosing(self._exchange(body, reply)) as pieces:
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

    async def _exchange(self, body: dict[str, Any], reply: Reply) -> AsyncGenerator[Piece, None]:
        """One HTTP request. Raises coded errors, and :class:`RefusedError` before the first piece."""
        import openai

        http = http_library()
        try:
            async with (
                self._client().chat.completions.with_streaming_response.create(**body) as response,
                aclosing(reading.pieces(response.iter_bytes(), reply, self._shown, self._said)) as read,
            ):
                async for piece in read:
                    yield piece
        except openai.APIStatusError as error:
            raise self._refused(error) from None
        except openai.APIConnectionError as error:
            raise self._unreachable(error) from self._redacted.cause(error)
        except http.TimeoutException as error:
            raise self._timed_out() from error
        except event_stream.NoEventsError as error:
            raise errors.no_chat_api(self._shown, self._redacted(f"it answered: {words(str(error))}")) from None
        except (http.HTTPError, http.StreamError, UnfinishedError, event_stream.UnreadableError) as error:
            why = self._redacted(str(error) or type(error).__name__)
            raise errors.stream_broken(self._shown, why) from self._redacted.cause(error)

    def _refused(self, error: APIStatusError) -> Exception:
        """The coded error for a status other than 200."""
        after_s = retry_after_s(error.response.headers, time.time())
        body = error.body if error.body is not None else error.message
        coded = self._redacted.coded(failure(self._endpoint, error.status_code, body, retry_after_s=after_s))
        return self._too_many(coded, after_s) if coded.code == "ORCH-E017" else coded

    def _said(self, said: object, is_writing: bool) -> Exception:
        """The coded error for an error object that came with status 200."""
        status = status_of(said)
        if status is None:
            return errors.stream_broken(self._shown, self._redacted(words(said) or "it sent an error without words"))
        coded = self._redacted.coded(failure(self._endpoint, status, said))
        return self._too_many(coded, None) if coded.code == "ORCH-E017" and not is_writing else coded

    def _too_many(self, coded: EngineError, after_s: float | None) -> RefusedError:
        return RefusedError(coded, after_s, f"the endpoint {self._shown} refused calls for being too many")

    def _unreachable(self, error: APIConnectionError) -> Exception:
        import openai

        http, cause = http_library(), error.__cause__
        if isinstance(error, openai.APITimeoutError) and not isinstance(cause, http.ConnectTimeout):
            return self._timed_out()
        innermost = root_cause(error)
        if isinstance(innermost, OSError) and innermost.errno in NO_SOCKET:
            what = f"this process has no socket left for calls of the endpoint {self._shown} (see `ulimit -n`)"
            return RefusedError(errors.no_socket(self._shown, str(innermost)), None, what, is_ours=True)
        proxies = urllib.request.getproxies()
        proxy = proxies.get(urlsplit(self._url).scheme) or proxies.get("all")
        through = f" (through the proxy {shown(proxy)})" if proxy else ""
        why = self._redacted(f"{str(innermost) or type(innermost).__name__}{through}")
        had_it = (http.ReadError, http.RemoteProtocolError, http.DecodingError)
        if isinstance(cause, had_it):  # and may have worked on it
            return errors.stream_broken(self._shown, why)
        return errors.endpoint_unreachable(self._shown, why)

    def _timed_out(self) -> EngineError:
        return errors.timed_out(f"the endpoint {self._shown}", self.options.timeout_s)

    def _asked_model(self, request: GenerateRequest) -> str:
        return self.model if request.model in (DEFAULT_MODEL, self.name) else request.model

    def _body(self, request: GenerateRequest, samples: int = 1) -> dict[str, Any]:
        body = self._dialect.body(request, self._asked_model(request), samples)
        return body | _hinted(request, self.options.extra_body) if self.hinted else body

    def _body_now(self, request: GenerateRequest, reply: Reply) -> dict[str, Any]:
        return self._body(request, reply.samples if self._dialect.takes_n else 1)

    def _client(self) -> AsyncOpenAI:
        """The client of the running event loop."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            self._clients = _of_open_loops(self._clients)
            client = self._clients[loop] = connected(self._url, self._key, self.options.timeout_s, self._redacted)
        return client

    def _gate(self) -> Pace:
        """What holds this engine's own `max_concurrency` in the running event loop."""
        loop = asyncio.get_running_loop()
        if loop not in self._gates:
            self._gates = _of_open_loops(self._gates)
            self._gates[loop] = gate(self.options.max_concurrency)
        return self._gates[loop]


def _of_open_loops(made: dict[asyncio.AbstractEventLoop, T]) -> dict[asyncio.AbstractEventLoop, T]:
    return {loop: each for loop, each in made.items() if not loop.is_closed()}


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
