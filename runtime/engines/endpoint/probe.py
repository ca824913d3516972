"""Asking a server once whether it is a vLLM, and one with our scheduler, which takes sessions and hints; and which
models it serves.

Its ``/metrics`` tells: our scheduler adds the families of :mod:`orchestrator.runtime.kv.metrics`. A server without
them, without the page or without an answer gets none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from orchestrator.runtime.kv.metrics import PREFIX

if TYPE_CHECKING:
    from openai import AsyncOpenAI

TIMEOUT_S: Final = 2.0
VLLM_PREFIX: Final = "vllm:"
"""The names of the metrics of any vLLM begin with it."""
NEVER: Final = ("api.openai.com",)
"""Hosts that are not asked."""


async def takes_hints(client: AsyncOpenAI, url: str) -> bool:
    """Whether the server behind the base URL ``url`` has our scheduler."""
    return PREFIX in await _metrics(client, url)


async def is_vllm(client: AsyncOpenAI, url: str) -> bool:
    """Whether the server behind the base URL ``url`` is a vLLM."""
    return VLLM_PREFIX in await _metrics(client, url)


async def models(client: AsyncOpenAI) -> list[str]:
    """The models that the server says it serves; none where it does not say."""
    from openai import APIError

    try:
        async with asyncio.timeout(TIMEOUT_S):
            return [each.id for each in (await client.models.list()).data]
    except (
        APIError,
        ValueError,
        TimeoutError,
        AttributeError,
        TypeError,
    ):  # the last two: it answered something else
        return []


async def _metrics(client: AsyncOpenAI, url: str) -> str:
    """What the server shows; nothing where it does not, or is not asked."""
    if urlsplit(url).hostname in NEVER:
        return ""
    from openai import APIError

    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await client.get(metrics_url(url), cast_to=str)
    except (APIError, ValueError, TimeoutError):
        return ""


def metrics_url(url: str) -> str:
    """Where a server with this base URL shows its metrics.

    >>> metrics_url("http://gpu-7:8000/v1")
    'http://gpu-7:8000/metrics'
    """
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.removesuffix("/v1") + "/metrics", parts.query, ""))
