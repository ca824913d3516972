"""The pieces of a reply in the bytes that an endpoint sends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from typing import Final

from orchestrator.runtime.engines.base import note
from orchestrator.runtime.engines.endpoint import event_stream
from orchestrator.runtime.engines.endpoint.client import http_library
from orchestrator.runtime.engines.endpoint.reply import Piece, Reply, UnfinishedError
from orchestrator.runtime.engines.endpoint.statuses import error_in, words

END_S: Final = 0.05
"""How long the end of a response may take that is complete; a connection is of use again only behind it."""


async def pieces(
    sent: AsyncIterator[bytes], reply: Reply, url: str, failed: Callable[[object, bool], Exception]
) -> AsyncGenerator[Piece, None]:
    """Feed ``reply`` with what comes, and pass its pieces on; ``url`` is the endpoint's, as it is shown.

    Raises :class:`UnfinishedError`, and ``failed`` of an error object and of whether something stood before it.
    """
    is_writing = False
    last: object = None
    async with aclosing(event_stream.values(sent)) as values:
        async for value in values:
            if isinstance(value, event_stream.Done):
                reply.is_done = True
                await _read_end(sent)
                break
            if (said := error_in(value)) is not None:
                raise failed(said, is_writing)
            last = value
            for piece in reply.feed(value):
                is_writing = True
                yield piece
            if reply.is_endless:
                note(f"the endpoint {url} wrote on beyond max_tokens, and its reply was cut off")
                break
    for piece in reply.rest():
        yield piece
    if not reply.reasons():
        raise UnfinishedError(f"it ended without a reply{_sent_instead(last)}")


def _sent_instead(value: object) -> str:
    """The endpoint's words in what it sent last, or that itself: some say what is wrong in fields of their own."""
    if not value:
        return ""
    return f"; it sent {words(value) or words(json.dumps(value, ensure_ascii=False))}"


async def _read_end(sent: AsyncIterator[bytes]) -> None:
    """Read what stands behind the end of a reply: mostly nothing but the end of the response."""
    http = http_library()
    with suppress(TimeoutError, http.HTTPError, http.StreamError):
        async with asyncio.timeout(END_S):
            async for _ in sent:
                pass
