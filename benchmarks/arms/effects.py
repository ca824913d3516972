"""What the steps of a crash test did to the world: an append-only file outside of every store.

A line is one write to a file opened for appending, so it is there, whole, however its writer dies. `at` is the
machine's monotonic clock in seconds, the same one in every process. Standard library only.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

KILL: Final = "kill"
NOTES: Final = (KILL, "ready")
"""Kinds of lines that are no effects: that a process was killed, and that one is about to open its store."""


class Effect(NamedTuple):
    """That an attempt of an op began, or that it has come back."""

    op: str
    kind: str
    """``once``, ``keyed``, ``idempotent``, ``reads``, ``model``, or one of `NOTES`."""
    ended: bool
    seen: tuple[str, ...]
    """The ops whose results were among its inputs."""
    pid: int
    """Of whoever did it; of a model call, who asked for it."""
    at: float
    tokens: int = 0
    """Of a model call: what it takes at most, and when it has ended what it took."""


class Effects:
    """The file, from the side of the process that will be killed."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)

    def record(
        self,
        op: str,
        kind: str,
        *,
        ended: bool = False,
        seen: Sequence[str] = (),
        pid: int | None = None,
        tokens: int = 0,
    ) -> None:
        """Add a line; ``pid`` is of the process for which it is done, if that is another one."""
        line = json.dumps([op, kind, ended, list(seen), pid or os.getpid(), time.monotonic(), tokens])
        os.write(self._fd, line.encode() + b"\n")

    def close(self) -> None:
        """Let the file be."""
        os.close(self._fd)


def read(path: Path) -> Iterator[Effect]:
    """What is in the file, in order; nothing where there is none."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        op, kind, ended, seen, *rest = json.loads(line)
        yield Effect(op, kind, ended, tuple(seen), *rest)
