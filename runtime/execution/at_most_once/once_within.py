"""Tools that must run at most once, in workflows that tools call.

Every attempt of the tool around it is a run of its own, which knows nothing of those before. So a workflow with such a
tool is refused where the tool that calls it has a retry, or anything around that has, and where an earlier part of a
resumed run may have called it. One that takes an idempotency key may be repeated, as its key is the same in every
attempt: it is made of where the call stands in the outermost run, of what the workflow is called with, and of how many
such calls the same attempt has made before, in the order in which they come to such a tool.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import time
from typing import Final

from orchestrator.errors import RunError
from orchestrator.runtime import failures
from orchestrator.runtime.execution.attempt import retried
from orchestrator.runtime.execution.execution import Within
from orchestrator.runtime.journal.events import OpStarted, occurrence
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.tools.caller import Caller

FIX: Final = (
    "leave that retry out, and retry what may be repeated; or give the tool a key= (an idempotency key), or the "
    "effects that it has; or call the workflow from a tool that must run at most once"
)


def within(by: Caller, program: Program, inputs: Sequence[object]) -> Within:
    """Where a run of ``program``, which ``by`` calls now, stands."""
    above, op = by.execution.within, retried()
    called = f"{occurrence(by.frame, by.op.id)}.{program.name}"
    around = None if op is None else op.id
    if above is None:
        path = f"{by.op.id}.{program.name}"
        root, frame, was_begun = by.execution, by.frame, _was_begun(by)
    else:
        path, around = f"{above.op}/{called}", around or above.retried
        root, frame, was_begun = above.root, above.frame, above.was_begun
    return Within(by.execution, root, frame, path, around, was_begun, called, inputs, by.runs.number)


async def admit(by: Caller, program: Program, place: Within) -> None:
    """Raises ORCH-R045 where a tool of ``program`` that must run at most once would run again; notes that it begins."""
    op = next((op for op in program.once_tools if not op.is_keyed), None)
    if op is None:
        return
    if place.retried is not None:
        raise refused(program.name, op.id, f"`{place.retried}` around it has a retry")
    if by.op.is_once and not by.op.is_keyed:  # whether it is resumed is known of itself
        return
    path = occurrence(place.frame, place.op)
    if place.root.resumed is not None and path in place.root.once.ran:
        raise refused(program.name, op.id, f"the run was resumed, and `{by.op.id}` had called it before")
    place.root.emit(OpStarted(place.frame, place.op, 1, time()), seen=place.root.listeners)
    await place.root.durable()


def may_run_again(by: Caller) -> bool:
    """Whether a call of a tool, or anything around it, has a retry, or may have run before its run was resumed."""
    above = by.execution.within
    if above is None:
        return retried() is not None or _was_begun(by)
    return retried() is not None or above.retried is not None or above.was_begun


def _was_begun(by: Caller) -> bool:
    """Whether a tool of the outermost run was started before that was resumed."""
    return by.execution.resumed is not None and occurrence(by.frame, by.op.id) in by.execution.once.ran


def refused(workflow: str, tool: str, why: str, fix: str = FIX) -> RunError:
    """ORCH-R045 for a workflow whose tool might run again."""
    return failures.not_here(workflow, f"its tool `{tool}` must run at most once, and {why}", fix)
