"""The benchmark's side of an arm: one process that builds and runs workloads on request.

Each arm lives in a process of its own (its own venv where it is a peer) and idles between requests, so the benchmark
can take turns: A B C A B C. Requests and replies are one JSON object a line; ``benchmarks/arms/serve.py`` is the other
side and documents them.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, cast

ROOT = Path(__file__).resolve().parents[2]


class ArmError(RuntimeError):
    """The arm failed, answered nonsense or took too long; the message is the reason to print."""


class ArmProcess:
    """A running arm; use it as a context manager."""

    def __init__(self, python: Path, module: str, timeout_s: float = 60.0) -> None:
        self._log = tempfile.TemporaryFile(mode="w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed with the arm
        self._process = subprocess.Popen(
            [str(python), "-m", module],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": "", "PYTHONDONTWRITEBYTECODE": ""},
        )
        self._pending = b""
        try:
            self.hello = self._reply(timeout_s)
        except ArmError:
            self.close()
            raise

    def request(self, timeout_s: float, **fields: object) -> dict[str, Any]:
        """Send one request and wait for its reply. Raises ArmError; after a timeout the process is gone."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(fields).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise ArmError(self._death()) from error
        return self._reply(timeout_s)

    def _reply(self, timeout_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._pending:
            ready, _, _ = select.select([descriptor], [], [], timeout_s)
            if not ready:
                self._process.kill()
                raise ArmError(f"no answer within {timeout_s:.0f} s")
            data = os.read(descriptor, 65536)
            if not data:
                raise ArmError(self._death())
            self._pending += data
        line, self._pending = self._pending.split(b"\n", 1)
        reply = cast("dict[str, Any]", json.loads(line))
        if "error" in reply:
            raise ArmError(str(reply["error"]))
        return reply

    def _death(self) -> str:
        code = self._process.wait(timeout=10)
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().splitlines() if line.strip()]
        return f"exit {code}: {lines[-1][:300] if lines else 'no message'}"

    def close(self) -> None:
        """End the process: politely by closing its input, then by force."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=10)
        self._log.close()

    def __enter__(self) -> ArmProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
