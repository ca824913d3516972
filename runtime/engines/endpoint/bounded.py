"""Bodies of responses are read up to a bound, whatever a broken or hostile server sends.

The client reads a whole body before it says that a status is an error, and before it follows a redirect. What is no
reply is cut off here, by its length and by the time it takes; replies are bounded by those who read them
(:mod:`.event_stream`, :mod:`.reply`). A server is asked not to compress: a few bytes could be gigabytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final

MOST_ERROR_BYTES: Final = 64 << 10
"""A body that says what is wrong is read as far as this."""
MOST_PAGE_BYTES: Final = 4 << 20
"""A page that was asked for, such as metrics, may have so many bytes."""
MOST_S: Final = 10.0
"""How long the body of an error may take; what comes later is not read."""
_EXPANDS: Final = 1024
"""How many times longer decompressing one of :data:`_READ` makes a body, at most."""
_READ: Final = frozenset({"gzip", "x-gzip", "deflate"})
"""Compressions that are read although nobody asked for them, but not one within another."""
_BOUNDLESS: Final = frozenset({"br", "zstd"})
"""Those that make a body any number of times longer. Names of no compression, such as `utf-8`, change nothing."""


def bounding(http: Any) -> Callable[[Any], Awaitable[None]]:
    """A response hook for clients of ``http``, the client's library."""

    class Bounded(http.AsyncByteStream):  # type: ignore[misc]
        """The bytes of ``stream``, until there are ``most`` of them or ``within_s`` is over; those of a compressed body
        in small pieces, each of which may become a large one."""

        def __init__(self, stream: Any, most: int | None, within_s: float | None, *, is_coded: bool) -> None:
            self._stream = stream
            self._most = most
            self._within_s = within_s
            self._is_coded = is_coded

        async def __aiter__(self) -> AsyncIterator[bytes]:
            left, step = self._most, _EXPANDS if self._is_coded else None
            until_s = None if self._within_s is None else asyncio.get_running_loop().time() + self._within_s
            async with aclosing(aiter(self._stream)) as pieces:
                while left is None or left > 0:
                    try:
                        async with asyncio.timeout_at(until_s):
                            piece: bytes = await anext(pieces, b"")
                    except TimeoutError:
                        return
                    if not piece:
                        return
                    piece = piece[:left]
                    left = None if left is None else left - len(piece)
                    for at in range(0, len(piece), step or len(piece)):
                        yield piece[at : at + (step or len(piece))]

        async def aclose(self) -> None:
            await self._stream.aclose()

    async def bound(response: Any) -> None:
        coding = response.headers.get("content-encoding", "").lower()
        if _is_boundless(coding):
            raise http.DecodingError(f"it answers in the content coding `{coding[:40]}`, which nobody asked for")
        is_coded = bool(_compressions(coding))
        is_reply = response.is_success and response.request.method == "POST"
        if is_reply and not is_coded:
            return
        most = (MOST_PAGE_BYTES if response.is_success else MOST_ERROR_BYTES) // (16 if is_coded else 1)
        within_s = None if response.is_success else MOST_S
        response.stream = Bounded(response.stream, None if is_reply else most, within_s, is_coded=is_coded)

    return bound


def _compressions(coding: str) -> list[str]:
    return [each for each in map(str.strip, coding.split(",")) if each in _READ | _BOUNDLESS]


def _is_boundless(coding: str) -> bool:
    found = _compressions(coding)
    return len(found) > 1 or not _BOUNDLESS.isdisjoint(found)
