"""Looking at the bank: what has become of a payment whose process died."""

from __future__ import annotations

from pathlib import Path

from benchmarks.durability import programs
from orchestrator.compiler import Compiled
from orchestrator.errors import UnsettledError
from orchestrator.runtime.runner import Runner


async def settle(runner: Runner, compiled: Compiled, run_id: str, error: UnsettledError, effects: Path) -> None:
    """Say what has become of it, as a person would."""
    path = str(error).split("`")[1]
    given = programs.done_at(path, effects)
    if given is None:
        await runner.settle(compiled, run_id, path, did_not_happen=True)
    else:
        await runner.settle(compiled, run_id, path, result=given)
