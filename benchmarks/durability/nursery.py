"""A process that has imported and compiled everything, and forks what is to be killed: a start takes milliseconds.

    python -m benchmarks.durability.nursery

A line of JSON on its standard input says what one child is to be (:class:`~benchmarks.durability.parts.Part`), the
answer is its process id. All end with it.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from benchmarks.durability import parts
from benchmarks.durability.parts import Part
from benchmarks.harness.process import ROOT

_DIE_WITH_PARENT: Final = 1
"""``PR_SET_PDEATHSIG``."""


class Nursery:
    """The process, from the side of whoever asks it; use it as a context manager."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        self._answer()

    def start(self, part: Part) -> int:
        """Start a part of a play; its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(part)) + "\n")
        self._process.stdin.flush()
        return int(self._answer())

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the parent of what is killed has ended: exit {self._process.wait()}")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


def main() -> None:
    """Fork on request, until standard input ends."""
    programs = parts.compiled()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    print(json.dumps(os.getpid()), flush=True)
    for line in sys.stdin:
        part = parts.Part(**json.loads(line))
        child = os.fork()
        if not child:
            _become(Path(part.folder))
            parts.play(part, programs)
            os._exit(0)
        print(json.dumps(child), flush=True)


def _become(folder: Path) -> None:
    """Have nothing in common with the parent but what is in memory, and end with it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    said = os.open(folder / "stderr", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
    for fd, of in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(fd, of)


if __name__ == "__main__":
    main()
