"""A long conversation: 100 calls, each of which adds 5 KB of text that is nowhere else. Standard library only."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable

CALLS = 100
ASKED_BYTES, SAID_BYTES = 1024, 4096
"""What is new at each call: what is asked, and what is answered."""
SEED = 5


def _text(number: int, size: int) -> str:
    return random.Random(SEED * 1_000_003 + number).randbytes(size // 2).hex()


def asked(number: int) -> str:
    """What the call of that number asks."""
    return _text(2 * number, ASKED_BYTES)


def said(number: int) -> str:
    """What is answered to it."""
    return _text(2 * number + 1, SAID_BYTES)


def digest(texts: Iterable[str]) -> int:
    """The figure to check: of all texts, in order."""
    found = 0
    for text in texts:
        found = zlib.crc32(text.encode(), found)
    return found


def expected(calls: int) -> int:
    """That of the whole conversation."""
    return digest(text for number in range(calls) for text in (asked(number), said(number)))
