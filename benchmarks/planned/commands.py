"""`orch`, as a user calls it, in a folder of its own that keeps what it learns apart from the user's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness.process import ROOT


class CommandError(RuntimeError):
    """The command failed; the message is what it said."""


@dataclass(frozen=True)
class Orch:
    """The commands in one folder, on one Ray cluster."""

    folder: Path
    address: str
    timeout_s: float = 600.0
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self, *words: object) -> str:
        """What a command prints. Raises :class:`CommandError`."""
        done = subprocess.run(
            self._command(words),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=self.timeout_s,
            check=False,
            env=self._environment(),
        )
        if done.returncode:
            raise CommandError(f"orch {' '.join(map(str, words))}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def plan(self, flow: str, cluster: Path, out: Path, *options: object) -> dict[str, Any]:
        """Plan a workflow of :mod:`benchmarks.planned.flows`, and read the plan."""
        self("plan", target(flow), "--cluster", cluster, "--out", out, *options)
        found: dict[str, Any] = json.loads(out.read_text())
        return found

    def start(self, flow: str, plan: Path, times: int, at_once: int, store: Path) -> subprocess.Popen[str]:
        """Begin to run a plan so many times, and go on."""
        words = ("run", target(flow), "--plan", plan, "--inputs", self._inputs(times), "--concurrency", at_once,
                 "--store", store, "--ray-address", self.address)  # fmt: skip
        quiet = subprocess.DEVNULL
        return subprocess.Popen(
            self._command(words), cwd=self.folder, stdout=quiet, stderr=quiet, text=True, env=self._environment()
        )

    def run(self, flow: str, plan: Path, record: Path, times: int) -> dict[str, Any]:
        """Run a plan so many times, one after the other, and read the record."""
        inputs = self._inputs(times)
        self("run", target(flow), "--plan", plan, "--inputs", inputs, "--concurrency", 1, "--record", record,
             "--ray-address", self.address)  # fmt: skip
        found: dict[str, Any] = json.loads(record.read_text())
        return found

    def learn(self, record: Path) -> None:
        """Let later plans know what was measured."""
        self("explain", "--analyze", record)

    def _command(self, words: Sequence[object]) -> list[str]:
        return [sys.executable, "-m", "orchestrator.cli.main", *map(str, words)]

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "ORCH_CALIBRATION": str(self.folder / "calibration.jsonl"),
            "ORCH_LEARNED": str(self.folder / "learned.db"),
            **self.environment,
        }

    def _inputs(self, times: int) -> Path:
        path = self.folder / f"inputs-{times}.jsonl"
        path.write_text("{}\n" * times)
        return path


def target(flow: str) -> str:
    """What names a workflow on the command line."""
    return f"{ROOT / 'benchmarks' / 'planned' / 'flows.py'}:{flow}"
