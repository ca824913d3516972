"""Keeps what libraries print away from stdout.

C code writes to file descriptor 1 whatever Python's ``sys.stdout`` is (HiGHS 1.16 prints a banner when its first solver
is made), and child processes inherit it. While it is diverted the descriptor is stderr; who has results to write does
so to the descriptor that :func:`divert` gives, which is where stdout was.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Final

STDOUT: Final = 1
STDERR: Final = 2
_C_STDOUT: Final = "__stdoutp" if sys.platform == "darwin" else "stdout"


class _Diversion:
    """Of the whole process, so it is counted: the first to come diverts, the last to go restores."""

    def __init__(self) -> None:
        self.lock, self.users, self.stdout = Lock(), 0, STDOUT


_diversion = _Diversion()


def divert() -> int:
    """Send what is written to descriptor 1, by any thread or child, to stderr; a descriptor of stdout proper.

    Where stdout or stderr is closed, writing to it is writing to nothing.
    """
    with _diversion.lock:
        if not _diversion.users:
            _flush()
            _open_where_closed()
            _diversion.stdout = os.dup(STDOUT)
            os.dup2(STDERR, STDOUT)
        _diversion.users += 1
        return _diversion.stdout


def restore() -> None:
    """Undo one :func:`divert`."""
    with _diversion.lock:
        _diversion.users -= 1
        if not _diversion.users:
            _flush()
            os.dup2(_diversion.stdout, STDOUT)
            os.close(_diversion.stdout)


@contextmanager
def diverted() -> Iterator[int]:
    """:func:`divert` meanwhile."""
    descriptor = divert()
    try:
        yield descriptor
    finally:
        restore()


def _open_where_closed() -> None:
    # The next file to be opened would be given a closed descriptor 1 or 2, and be written into.
    for descriptor in (STDOUT, STDERR):
        try:
            os.fstat(descriptor)
        except OSError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            if nothing != descriptor:
                os.dup2(nothing, descriptor)
                os.close(nothing)


def _flush() -> None:
    """What waits in a buffer, Python's or C's, goes where it was meant to go."""
    if sys.stdout is not None:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
    libc = ctypes.CDLL(None)
    libc.fflush(ctypes.c_void_p.in_dll(libc, _C_STDOUT))
