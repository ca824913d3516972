"""An arm that is there to be killed: it begins a program with a durable record of each step, or goes on with one.

    python -m benchmarks.arms.durable_dbos FOLDER PROGRAM SIZE

It says ``{"ready": …}`` before it opens its database (everything is imported and compiled by then) and
``{"value": …}`` at its end.
What it does to the world is in ``FOLDER/effects``. ``chain`` is a chain of steps, ``history`` a long conversation that
is not killed, but weighed. Without arguments the arm serves the timed cases. Standard library only.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.arms.effects import Effects
from benchmarks.arms.serve import serve
from benchmarks.arms.workloads import Factory


@dataclass(frozen=True)
class Victim:
    """Where a run to be killed keeps what it keeps."""

    folder: Path
    effects: Effects

    def step(self, number: int) -> None:
        """Record that a step of the chain begins; it has the result of the one before."""
        seen = [f"step{number - 1}"] if number else []
        self.effects.record(f"step{number}", "idempotent", seen=seen)


Program: TypeAlias = Callable[[Victim, int], Callable[[], Any]]
"""It makes ready what runs it: what an arm would do before it opens its database."""


def serve_or_die(
    arm: str, versions: Mapping[str, str], cases: Mapping[str, Factory], programs: Mapping[str, Program]
) -> None:
    """The arm's main program; a program of that size runs to its end, or what is left of it does."""
    if len(sys.argv) == 1:
        serve(arm, versions, cases)
        return
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    folder, program, size = Path(sys.argv[1]), programs[sys.argv[2]], int(sys.argv[3])
    run = program(Victim(folder, Effects(folder / "effects")), size)
    print(json.dumps({"ready": time.monotonic()}), file=channel, flush=True)
    print(json.dumps({"value": run()}), file=channel, flush=True)
