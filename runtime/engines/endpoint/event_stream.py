"""The JSON values that an endpoint sends in answer to one request, as a stream of events or as one document.

What it really sends is seen in the first bytes, not in the content type: proxies get that wrong. Server-sent events
(https://html.spec.whatwg.org/multipage/server-sent-events.html) are read as browsers do, and more generously where
servers differ: a data line that is complete needs no blank line behind it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

DONE: Final = "[DONE]"
MOST_BYTES: Final = 64 << 20
"""Of a document, and of one event."""
_FIELDS: Final = (b"data:", b"event:", b"id:", b"retry:", b":")
_ENDS: Final = re.compile(rb"\r\n|\n|\r")
_NO_VALUE: Final = object()


class Done:
    """The endpoint said that the stream is complete."""


class NoEventsError(Exception):
    """The answer is neither events nor JSON; holds its text."""


class UnreadableError(Exception):
    """An event that is no JSON."""


async def values(pieces: AsyncIterator[bytes]) -> AsyncGenerator[Any, None]:
    """Each JSON value that arrives, and :class:`Done` at a ``[DONE]`` and behind a document.

    Raises :class:`NoEventsError` or :class:`UnreadableError`.
    """
    head = b""
    async for piece in pieces:
        head += piece
        if len(head.lstrip(b"\xef\xbb\xbf \t\r\n")) >= len(b"retry:") or len(head) > MOST_BYTES:
            break
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(_FIELDS):
        async for value in _events(start, pieces):
            yield value
    elif start:
        document = bytearray(start)
        async for piece in pieces:
            document += piece
            if len(document) > MOST_BYTES:
                break
        text = document.decode(errors="replace")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise NoEventsError(text) from None
        yield value
        yield Done()


async def _events(head: bytes, pieces: AsyncIterator[bytes]) -> AsyncGenerator[Any, None]:
    data = ""
    async for line in _lines(head, pieces):
        name, _, rest = line.partition(":")
        if name == "data":
            data += rest.removeprefix(" ") + "\n"
            if len(data) > MOST_BYTES:
                raise UnreadableError("an event is longer than 64 MiB")
            found = _value(data)
            if found is not _NO_VALUE:
                yield found
                data = ""
        elif not line and data.strip():
            break
        elif not line:
            data = ""
    if data.strip():
        raise UnreadableError(f"an event is no JSON: {data.strip()[:80]!r}")


async def _lines(head: bytes, pieces: AsyncIterator[bytes]) -> AsyncGenerator[str, None]:
    """Lines, whatever ends them; bytes that are not UTF-8 become U+FFFD."""
    begun, held = bytearray(), b""
    piece: bytes | None = head
    while piece is not None:
        piece = held + piece
        held = b"\r" if piece.endswith(b"\r") else b""  # a line feed may follow, which is of the same end
        *ended, rest = _ENDS.split(piece.removesuffix(held))
        for end in ended:
            yield (begun + end).decode(errors="replace")
            begun.clear()
        begun += rest
        if len(begun) > MOST_BYTES:
            raise UnreadableError("an event is longer than 64 MiB")
        piece = await anext(pieces, None)
    yield begun.decode(errors="replace")
    yield ""


def _value(text: str) -> Any:
    if text.strip() == DONE:
        return Done()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NO_VALUE
