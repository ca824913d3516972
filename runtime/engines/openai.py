"""Any endpoint that speaks OpenAI's chat completions, through the official client.

Retries are the runtime's, so the client makes none. Closing the generator closes the HTTP response, which is how such
servers learn that nobody listens any more.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from orchestrator.errors import EngineError
from orchestrator.runtime.engines import errors
from orchestrator.runtime.engines.base import DEFAULT_MODEL, Chunk, EngineStats, FinishReason, GenerateRequest, Usage
from orchestrator.runtime.kv.wire import SESSION_HEADER, request_arguments

if TYPE_CHECKING:
    from openai import APIError, AsyncOpenAI

LOCAL_KEY = "none"
"""Sent where no key is set: servers on one's own machine ask for none, and the client insists on one."""


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """Options of the kind ``openai``."""

    base_url: str = "https://api.openai.com/v1"
    key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; the key itself never stands in a file."""
    timeout_s: float = 120.0
    extra_body: dict[str, Any] = field(default_factory=dict)
    """Further fields of the request, passed as they are."""
    kv_hints: bool = False
    """The server is a vLLM with ``--scheduler-cls orchestrator.kv.Scheduler``: tell it about sessions and pauses."""


class _BrokenStreamError(Exception):
    """The endpoint closed a reply before its end."""


class OpenAIEngine:
    """An :class:`~orchestrator.runtime.engines.base.Engine` behind HTTP."""

    simulated = False

    def __init__(self, name: str, model: str, options: OpenAIOptions | None = None) -> None:
        self.name = name
        self.model = model
        self.options = options or OpenAIOptions()
        self._client: AsyncOpenAI | None = None
        self._closed = False
        self._running = self._requests = self._aborted = 0
        self._usage = Usage()

    async def start(self) -> None:
        """Make the client; the endpoint is first contacted by the first request."""
        if self._client is None:
            from openai import AsyncOpenAI

            key = os.environ.get(self.options.key_env, LOCAL_KEY)
            self._client = AsyncOpenAI(
                base_url=self.options.base_url, api_key=key, timeout=self.options.timeout_s, max_retries=0
            )

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Stream the reply; closing the generator closes the HTTP response."""
        if self._client is None or self._closed:
            raise errors.not_running(self.name, "is closed" if self._closed else "has not been started")
        from openai import APIError

        broken: tuple[type[Exception], ...] = (*_transport_errors(), JSONDecodeError, _BrokenStreamError)
        self._requests += 1
        self._running += 1
        answering = done = False
        copies = _copies(request)
        try:
            stream = await self._client.chat.completions.create(**self._body(request))
            answering = True
            async with stream:
                async for chunk in _chunks(stream, request.sampling.samples // copies, copies):
                    if chunk.usage is not None:
                        self._usage += chunk.usage
                        self._running -= 1
                        done = True
                    yield chunk
        except APIError as error:
            raise self._coded(error, request.model, answering=answering) from error
        except broken as error:  # the client leaves these as they are
            raise errors.stream_broken(self.options.base_url, str(error) or type(error).__name__) from error
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
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _body(self, request: GenerateRequest) -> dict[str, Any]:
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self.model if request.model in (DEFAULT_MODEL, self.name) else request.model,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            "n": sampling.samples // _copies(request),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_completion_tokens": sampling.max_tokens,
            "stop": list(sampling.stop) or None,
            "seed": sampling.seed,
            "extra_body": self.options.extra_body or None,
        }
        if self.options.kv_hints:
            body |= _hinted(request, self.options.extra_body)
        if sampling.schema is not None:
            schema = {"name": "reply", "schema": dict(sampling.schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return {name: value for name, value in body.items() if value is not None}

    def _coded(self, error: APIError, model: str, *, answering: bool) -> EngineError:
        import openai

        url, why = self.options.base_url, error.message
        coded = errors.rejected(self.name, why)
        match error:
            case openai.APITimeoutError():
                coded = errors.timed_out(f"the endpoint {url}", self.options.timeout_s)
            case openai.APIConnectionError() if answering:
                coded = errors.stream_broken(url, str(error.__cause__ or why))
            case openai.APIConnectionError():
                coded = errors.endpoint_unreachable(url, str(error.__cause__ or why))
            case openai.AuthenticationError() | openai.PermissionDeniedError():
                coded = errors.unauthorised(url, self.options.key_env, why)
            case openai.RateLimitError() | openai.InternalServerError():
                coded = errors.overloaded(url, why, error.response.headers.get("retry-after"))
            case openai.NotFoundError():
                coded = errors.unknown_model(model, [])
            case openai.BadRequestError() if "context length" in why or "context window" in why:
                coded = errors.prompt_too_long(model, why)
        return coded


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


def _transport_errors() -> tuple[type[Exception], ...]:
    """What the client's HTTP library raises: httpx, or httpx2 since openai 3."""
    found: list[type[Exception]] = []
    for name in ("httpx", "httpx2"):
        with suppress(ImportError):
            found.append(import_module(name).HTTPError)
    return tuple(found)


def _copies(request: GenerateRequest) -> int:
    """Greedy samples are all alike, and some servers refuse to make more than one: ask for one and copy it."""
    return request.sampling.samples if request.sampling.temperature == 0 else 1


async def _chunks(stream: Any, samples: int, copies: int) -> AsyncGenerator[Chunk, None]:
    """The deltas. The usage arrives after the last choice, so the last finished sample's ending waits for it."""
    started = time.monotonic()
    ttft_s: float | None = None
    ended = 0
    last = Chunk(0, "", 0, "stop")
    usage = Usage()
    async for event in stream:
        if event.usage is not None:
            details = event.usage.prompt_tokens_details
            cached = (details.cached_tokens or 0) if details else 0
            usage = Usage(event.usage.prompt_tokens, cached, event.usage.completion_tokens)
        for choice in event.choices:
            ttft_s = ttft_s if ttft_s is not None else time.monotonic() - started
            text, reason = choice.delta.content or "", _reason(choice.finish_reason)
            ended += reason is not None
            chunk = Chunk(choice.index, text, 0, reason)
            if reason is not None and ended == samples:
                last = chunk
            elif text or reason is not None:
                for copy in range(copies):
                    yield Chunk(chunk.sample + copy, text, 0, reason)
    if ended < samples:
        raise _BrokenStreamError(f"the reply ended after {ended} of {samples} samples")
    for copy in range(copies - 1):
        yield Chunk(last.sample + copy, last.text, 0, last.finish_reason)
    yield Chunk(last.sample + copies - 1, last.text, 0, last.finish_reason, usage, ttft_s)


def _reason(found: str | None) -> FinishReason | None:
    if found is None:
        return None
    return "length" if found == "length" else "stop"
