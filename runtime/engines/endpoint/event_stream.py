"""The JSON values that an endpoint sends in answer to one request, as a stream of events or as one document.

What it really sends is seen in the first bytes, not in the content type: proxies get that wrong. Server-sent events
(https://html.spec.whatwg.org/multipage/server-sent-events.html) are read as browsers do, and more generously where
servers differ: a data line that is complete by itself needs no blank line behind it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final

DONE: Final = "[DONE]"
MOST_BYTES: Final = 64 << 20
"""A document, and one event, may have so many bytes."""
MOST_OTHER_BYTES: Final = 64 << 10
"""So much is kept of what is neither: people read how it begins."""
_FIELDS: Final = (b"data:", b"event:", b"id:", b"retry:", b":")
_BLANK: Final = b"\xef\xbb\xbf \t\r\n"
_OBJECT: Final = re.compile(r'\{\s*"')
"""How a JSON object begins: what goes on as none was cut on its way; several in one text are another protocol."""
_ENDS: Final = re.compile(rb"\r\n|\n|\r")
_NO_VALUE: Final = object()


class Done:
    """The endpoint said that the stream is complete."""


class NoEventsError(Exception):
    """The answer is neither events nor JSON; holds its text."""


class UnreadableError(Exception):
    """An event, or a document, that begins as JSON and is none."""


async def values(pieces: AsyncIterator[bytes]) -> AsyncGenerator[Any, None]:
    """Each JSON value that arrives, and :class:`Done` at a ``[DONE]`` and behind a document.

    Raises :class:`NoEventsError` or :class:`UnreadableError`.
    """
    head = b""
    async for piece in pieces:
        head = (head + piece).lstrip(_BLANK)
        if len(head) >= len(b"retry:"):
            break
    if head.startswith(_FIELDS):
        async for value in _events(head, pieces):
            yield value
    elif head:
        whole = bytearray(head)
        most = MOST_BYTES if head.startswith((b"{", b"[")) else MOST_OTHER_BYTES
        async for piece in pieces:
            whole += piece
            if len(whole) > most:
                break
        text = whole.decode(errors="replace")
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            if _OBJECT.match(text) and not str(error).startswith("Extra data"):
                raise UnreadableError(f"it is no whole JSON; it ends with {text[-80:]!r}") from None
            raise NoEventsError(text) from None
        yield document
        yield Done()


async def _events(head: bytes, pieces: AsyncIterator[bytes]) -> AsyncGenerator[Any, None]:
    data: list[str] = []
    size = 0
    async for line in _lines(head, pieces):
        name, _, rest = line.partition(":")
        if name == "data":
            data.append(rest.removeprefix(" "))
            size += len(line) + 1
            if size > MOST_BYTES:
                raise _too_long()
        if line and (name != "data" or len(data) > 1):
            continue  # an event of several lines ends with a blank one: to try each would take quadratic time
        found = _value("\n".join(data))
        if found is not _NO_VALUE:
            yield found
        elif line:
            continue
        elif any(map(str.strip, data)):
            break
        data.clear()
        size = 0
    text = "\n".join(data).strip()
    if text:
        found = _value(text)
        if found is _NO_VALUE:
            raise UnreadableError(f"an event is no JSON: {text[:80]!r}")
        yield found


async def _lines(head: bytes, pieces: AsyncIterator[bytes]) -> AsyncGenerator[str, None]:
    """Lines, whatever ends them; bytes that are not UTF-8 become U+FFFD. No byte is looked at twice."""
    begun, is_after_return = bytearray(), False
    piece: bytes | None = head
    while piece is not None:
        if piece and is_after_return:
            piece = piece.removeprefix(b"\n")  # which is of the same end
            is_after_return = False
        is_after_return |= piece.endswith(b"\r")
        *lines, rest = _ENDS.split(piece)
        for line in lines:
            begun += line
            yield begun.decode(errors="replace")
            begun.clear()
        begun += rest
        if len(begun) > MOST_BYTES:
            raise _too_long()
        piece = await anext(pieces, None)
    yield begun.decode(errors="replace")


def _too_long() -> UnreadableError:
    return UnreadableError(f"an event is longer than {MOST_BYTES >> 20} MiB")


def _value(text: str) -> Any:
    if text.strip() == DONE:
        return Done()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NO_VALUE
