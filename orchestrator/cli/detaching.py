"""``orch run --detach``: a run is kept, and whichever worker of its store is free executes it."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orchestrator.cli.keeping import store_words
from orchestrator.cli.runs.opening import with_store
from orchestrator.cli.screen import say
from orchestrator.cli.streams import deliver, deliver_json
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.cli.app import Job
    from orchestrator.cli.job import How
    from orchestrator.compiler import Compiled
    from orchestrator.runtime.journal.stores.base import Store

_AT_ONCE: Final = 256
"""So many runs are added beside each other."""
MOST_SAID: Final = 3
"""Of so many runs the command is said that follows them."""


def require_detachable(how: How, record: Path | None) -> None:
    """Raise ``UsageError`` ORCH-U002 for options that say what is done while a run goes on, and for no store."""
    if how.keeping is None or how.keeping.store == "memory:":
        fix = "leave out --ephemeral, or name a store that is no process's own"
        raise UsageError("ORCH-U002", "--detach leaves the run to workers, who find it in a store", fix=fix)
    given = {"--answer": how.answers, "--record": record, "--stream": how.stream}
    contradicting = [name for name, value in given.items() if value]
    if contradicting:
        message = f"{contradicting[0]} has no meaning with --detach, which does not wait for the run"
        raise UsageError("ORCH-U002", message, fix="leave one of them out")


def leave_to_workers(compiled: Compiled, job: Job, how: How, target: str, *, as_json: bool, many: bool) -> int:
    """Add a run for each case, and print their ids. Raises what :func:`submit` raises: runs in front of it are kept."""
    from orchestrator.runtime.coordinator.submitting import submit
    from orchestrator.runtime.journal.artifacts.opening import artifacts_of

    keeping = how.keeping
    assert keeping is not None

    async def add(store: Store) -> list[str]:
        inputs, artifacts = [each.inputs for each in job.cases], artifacts_of(store.url)
        cases = list(zip(inputs, keeping.keys(inputs), strict=True))
        added: list[str] = []
        for first in range(0, len(cases), _AT_ONCE):  # they share commits
            adding = (
                submit(store, compiled, each, run_id=keeping.run_id, key=key, budget=how.limits, artifacts=artifacts)
                for each, key in cases[first : first + _AT_ONCE]
            )
            for outcome in await asyncio.gather(*adding, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
                added.append(outcome)
        return added

    for note in job.notes:
        say(note)
    added = with_store(keeping.store, add, may_make=True)
    if as_json:
        runs = [{"run_id": each} for each in added]
        deliver_json({"ok": True, **({"runs": runs} if many else runs[0])})
        return 0
    for run_id in added:
        deliver(run_id)
    say(f"kept for a worker: {shlex.join(['orch', 'worker', target, *store_words(keeping.named)])}")
    for run_id in added[:MOST_SAID]:
        say(f"follow it: {keeping.tell('watch', run_id)}")
    return 0
