"""What a workflow as it is now would do with its runs that are not over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestrator.errors import OrchError
from orchestrator.planner.figures import dollars

if TYPE_CHECKING:
    from orchestrator.dsl.workflow import Workflow
    from orchestrator.runtime.journal.stores.base import Status
    from orchestrator.runtime.rehearsal import Rehearsal

MOST_RUNS: Final = 1000
"""So many are looked at, the latest first."""
_SHOWN: Final = 5
_LIVE: Final[tuple[Status, ...]] = ("ready", "running", "waiting", "suspended", "paused", "failed")
"""Failed runs may be resumed, too."""


@dataclass(frozen=True, slots=True)
class LiveRun:
    """A run in flight, and what becomes of it."""

    run_id: str
    status: str
    verdict: str
    """``same``, ``goes on``, ``needs a decision`` or ``must stay``."""
    again: list[str]
    """Paths of ops that are executed again, or that are new."""
    undecided: list[str]
    left: int
    """So many results can be lost at most,"""
    left_usd: float
    """which have cost so much."""
    why: str | None

    def __str__(self) -> str:
        said = [f"{self.run_id} ({self.status}): {self.verdict}"]
        if self.again and self.verdict != "same":
            said.append(f"executes {_named(self.again)}")
        if self.undecided:
            said.append(f"somebody has to decide about {_named(self.undecided)}")
        if self.left:
            said.append(f"loses {self.left} result{'s' * (self.left != 1)} ({dollars(self.left_usd)}) at most")
        return "; ".join(said + ([self.why] if self.why else []))


def live_runs(workflow: Workflow[..., object], url: str) -> list[LiveRun]:
    """The runs of a workflow in a store that are not over. Raises ``JournalError`` where there is none, or it cannot be
    opened."""
    return asyncio.run(_live_runs(workflow, url))


async def _live_runs(workflow: Workflow[..., object], url: str) -> list[LiveRun]:
    from orchestrator.compiler import compile as compile_workflow
    from orchestrator.runtime.journal.artifacts.opening import artifacts_of
    from orchestrator.runtime.journal.stores.opened import open_store
    from orchestrator.runtime.rehearsal import rehearse

    program = compile_workflow(workflow).program
    store = await open_store(url, may_make=False)
    found: list[LiveRun] = []
    artifacts = artifacts_of(store.url)
    try:
        heads = await store.heads(
            status=("ready", "running", "waiting", "suspended", "paused", "failed"),
            workflow=program.name,
            limit=MOST_RUNS,
        )
        for head in heads:
            found.append(live_run(head.status, await rehearse(program, store, head.run_id, artifacts)))  # noqa: PERF401 - it awaits
    finally:
        await store.close()
    return found


def live_run(status: str, found: Rehearsal) -> LiveRun:
    """What a rehearsal has found of a run with this status."""
    verdict = "goes on"
    if found.problem is not None:
        verdict = "must stay"
    elif found.undecided:
        verdict = "needs a decision"
    elif found.is_same:
        verdict = "same"
    why = found.problem.message if isinstance(found.problem, OrchError) else None
    again, left = list(found.again), len(found.left)
    return LiveRun(found.run_id, status, verdict, again, found.undecided, left, found.left_usd, why)


def _named(paths: Sequence[str]) -> str:
    more = len(paths) - _SHOWN
    return ", ".join(f"`{path}`" for path in paths[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
