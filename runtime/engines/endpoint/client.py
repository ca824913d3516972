"""The official client, connected to one endpoint: it gets no credentials into URLs, where everybody would log them."""

from __future__ import annotations

import errno
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from orchestrator.redaction import Redaction
from orchestrator.runtime.engines import errors
from orchestrator.runtime.engines.endpoint.bounded import bounding

if TYPE_CHECKING:
    from openai import AsyncOpenAI

KEEPALIVE_S: Final = 2.0
"""Servers close idle connections after 5 s; a request that meets the closing is lost."""
NO_SOCKET: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL})
"""What the system says where a process has too many sockets open, or all have, or no port is left."""
LOGGERS: Final = ("httpx", "httpx2", "openai._base_client")
"""They log the URLs of requests, with their queries, where somebody has logging show such things."""


def connected(url: str, key: str, timeout_s: float, without_secrets: Redaction) -> AsyncOpenAI:
    """A client for the running event loop. Raises ORCH-E016 for wrong proxies or certificates of the environment."""
    import openai

    http = http_library()
    parts = urlsplit(url)
    user = (unquote(parts.username or ""), unquote(parts.password or "")) if "@" in parts.netloc else None
    timeout = http.Timeout(timeout_s, pool=None)
    limits = http.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEEPALIVE_S)
    try:
        return openai.AsyncOpenAI(
            base_url=without_user(urlunsplit(parts._replace(query=""))),
            default_query=dict(parse_qsl(parts.query)),
            api_key=key,
            timeout=timeout,
            max_retries=0,
            http_client=openai.DefaultAsyncHttpxClient(
                timeout=timeout,
                limits=limits,
                auth=user,
                headers={"accept-encoding": "identity"},
                event_hooks={"response": [bounding(http)]},
            ),
        )
    except (ValueError, ImportError, OSError, http.InvalidURL, openai.OpenAIError) as error:
        why = f"no client can be made: {error}; check the proxies and SSL_CERT_FILE in the environment"
        raise errors.bad_options("openai", without_secrets(why)) from without_secrets.cause(error)


def without_user(url: str) -> str:
    """The URL without user and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def http_library() -> Any:
    """The client's: httpx, or httpx2 since openai 3."""
    import openai

    roots = (base.__module__.partition(".")[0] for base in openai.DefaultAsyncHttpxClient.__mro__)
    return import_module(next(root for root in roots if root.startswith("httpx")))


def has_no_peer(error: AttributeError | OSError) -> bool:
    """Whether the client asked a connection for its other end that was cut before anything was sent: it raises what
    comes of that. (uvloop gives the socket of such a connection as None.)"""
    if isinstance(error, OSError):
        return error.errno == errno.ENOTCONN
    return error.obj is None and error.name in ("getpeername", "getsockname", "family")


def root_cause(error: BaseException) -> BaseException:
    """Where a failure of the client began; of several addresses that were tried, at the last one."""
    while True:
        inner = error.exceptions[-1] if isinstance(error, BaseExceptionGroup) else error.__cause__ or error.__context__
        if inner is None:
            return error
        error = inner
