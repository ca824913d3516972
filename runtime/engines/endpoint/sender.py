"""What sends the requests of an engine to its endpoint, and what they end in: the pieces of a reply, or a coded error.

Here the key, and whatever else is secret in the engine's options, is known; nothing leaves with it but requests.
"""

from __future__ import annotations

import logging
import time
import urllib.request
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from orchestrator.errors import EngineError
from orchestrator.redaction import Redaction, secrets_in, secrets_of, secrets_of_proxies, shown
from orchestrator.runtime.engines import errors
from orchestrator.runtime.engines.endpoint import event_stream, probe, reading
from orchestrator.runtime.engines.endpoint.address import LOCAL_KEY, api_key
from orchestrator.runtime.engines.endpoint.client import (
    LOGGERS,
    NO_SOCKET,
    connected,
    has_no_peer,
    http_library,
    root_cause,
    without_user,
)
from orchestrator.runtime.engines.endpoint.per_loop import PerLoop
from orchestrator.runtime.engines.endpoint.refused import RefusedError
from orchestrator.runtime.engines.endpoint.reply import Piece, Reply, UnfinishedError
from orchestrator.runtime.engines.endpoint.retry_after import retry_after_s
from orchestrator.runtime.engines.endpoint.statuses import Endpoint, failure, status_of, words

if TYPE_CHECKING:
    from openai import APIConnectionError, APIStatusError, AsyncOpenAI


class Sender:
    """Sends to ``url``; ``endpoint`` is what errors call it, and ``extra_body`` may hold secrets."""

    def __init__(self, url: str, endpoint: Endpoint, timeout_s: float, extra_body: Mapping[str, Any]) -> None:
        self.url = url
        self.key = ""
        self._endpoint = endpoint
        self._shown = endpoint.url
        self._timeout_s = timeout_s
        self._extra_body = extra_body
        self._redacted = self._redaction()
        self._clients = PerLoop(self._connected)

    def open(self, environment: Mapping[str, str]) -> None:
        """Find the key, and make a client. Raises ORCH-E016 or E027."""
        self.key = api_key(self._endpoint.key_env, environment)
        self._redacted = self._redaction()
        self._clients.here()
        for name in LOGGERS:
            logging.getLogger(name).addFilter(self._redacted.record)

    async def takes_hints(self) -> bool:
        """Whether the server has our scheduler; it is asked."""
        return await probe.takes_hints(self._clients.here(), without_user(self.url))

    async def is_vllm(self) -> bool:
        """Whether the server is a vLLM; it is asked."""
        return await probe.is_vllm(self._clients.here(), without_user(self.url))

    async def models(self) -> list[str]:
        """The models that the server says it serves; it is asked."""
        return await probe.models(self._clients.here())

    async def close(self) -> None:
        """Close the connections."""
        for name in LOGGERS:
            logging.getLogger(name).removeFilter(self._redacted.record)
        client = self._clients.clear()
        if client is not None:
            await client.close()

    async def send(self, body: dict[str, Any], reply: Reply) -> AsyncGenerator[Piece, None]:
        """One HTTP request. Raises coded errors, and :class:`RefusedError` before the first piece."""
        import openai

        http = http_library()
        try:
            async with (
                self._clients.here().chat.completions.with_streaming_response.create(**body) as response,
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
        except (AttributeError, OSError) as error:
            if not has_no_peer(error):
                raise
            why = "the connection was cut as soon as it was made"
            raise errors.endpoint_unreachable(self._shown, why) from error

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
        proxy = proxies.get(urlsplit(self.url).scheme) or proxies.get("all")
        through = f" (through the proxy {shown(proxy)})" if proxy else ""
        why = self._redacted(f"{str(innermost) or type(innermost).__name__}{through}")
        had_it = (http.ReadError, http.RemoteProtocolError, http.DecodingError)
        if isinstance(cause, had_it):  # and may have worked on it
            return errors.stream_broken(self._shown, why)
        return errors.endpoint_unreachable(self._shown, why)

    def _timed_out(self) -> EngineError:
        return errors.timed_out(f"the endpoint {self._shown}", self._timeout_s)

    def _redaction(self) -> Redaction:
        key = () if self.key == LOCAL_KEY else (self.key,)
        return Redaction([*key, *secrets_of(self.url), *secrets_of_proxies(), *secrets_in(self._extra_body)])

    def _connected(self) -> AsyncOpenAI:
        return connected(self.url, self.key, self._timeout_s, self._redacted)
