"""Lines typed at the terminal, without keeping the process from ending.

Each piece of input is read in a thread of its own that nobody waits for, so Ctrl-C and the end of a run take effect at
once, and not when Enter is pressed. What arrives when nobody asks any more is there for the next who asks.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from threading import Thread
from typing import Final

_PIECE: Final = 4096
"""Bytes; a terminal gives a line at a time."""


class Keyboard:
    """The lines of a file descriptor, by default those of stdin."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = sys.stdin.fileno() if descriptor is None else descriptor
        self._typed = b""
        self._reading: asyncio.Future[bytes] | None = None

    async def line(self) -> str | None:
        """The next line without its end; None where the input has ended."""
        while b"\n" not in self._typed:
            if self._reading is None:
                self._reading = asyncio.get_running_loop().create_future()
                Thread(target=self._read, args=(self._reading,), name="orch-keyboard", daemon=True).start()
            piece = await asyncio.shield(self._reading)
            self._reading = None
            if not piece:
                last, self._typed = self._typed, b""
                return _text(last) if last else None
            self._typed += piece
        line, _, self._typed = self._typed.partition(b"\n")
        return _text(line)

    def _read(self, into: asyncio.Future[bytes]) -> None:
        try:
            piece = os.read(self._descriptor, _PIECE)
        except OSError:  # the terminal is gone
            piece = b""
        with suppress(RuntimeError):  # the loop is closed: the run is over
            into.get_loop().call_soon_threadsafe(_arrived, into, piece)


def _arrived(into: asyncio.Future[bytes], piece: bytes) -> None:
    if not into.done():
        into.set_result(piece)


def _text(line: bytes) -> str:
    return line.decode(sys.stdin.encoding or "utf-8", "replace").rstrip("\r")
