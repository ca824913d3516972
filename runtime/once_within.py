"""Tools that must run at most once, in workflows that tools call.

Every attempt of the tool around it is a run of its own, which knows nothing of those before. So a workflow with such a
tool is refused where the tool that calls it has a retry, or anything around that has, and where an earlier part of a
resumed run may have called it. One that takes an idempotency key may be repeated, as its key is the same in every
attempt: it is made of where the call stands in the outermost run, of what the workflow is called with, and of how many
such calls the same attempt has made before.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from time import time
from typing import TYPE_CHECKING, NamedTuple

from pydantic_core import to_json

from orchestrator.errors import RunError
from orchestrator.runtime import failures
from orchestrator.runtime.attempt import retried
from orchestrator.runtime.events import OpStarted, occurrence
from orchestrator.runtime.program import Op, Program, ToolCall
from orchestrator.runtime.tools.caller import Caller

if TYPE_CHECKING:
    from orchestrator.runtime.executor import Execution


class Within(NamedTuple):
    """Where an inner run stands."""

    root: Execution
    """The outermost run."""
    frame: str
    op: str
    """In the root's journal: the tool there, and the workflows and tools down to this run."""
    name: str
    """The same one for this call in every attempt, and for no other."""
    retried: str | None
    """An op around it that has a retry."""


def within(by: Caller, program: Program, inputs: Sequence[object]) -> Within:
    """Where a run of ``program``, which ``by`` calls now, stands."""
    above = by.execution.within
    here = f"{by.frame}{by.op.id}"
    called = f"{here}.{program.name}"
    digest = sha256(to_json(list(inputs), fallback=repr, inf_nan_mode="constants")).digest()
    number = by.runs.begun.get((program.name, digest), 0) + 1
    by.runs.begun[program.name, digest] = number
    op = retried()
    if above is None:
        root, frame, path, name, around = by.execution, by.frame, called[len(by.frame) :], by.execution.run_id, None
    else:
        root, frame, path, name, around = above.root, above.frame, f"{above.op}/{called}", above.name, above.retried
    return Within(root, frame, path, f"{name}\n{called}.{digest.hex()}.{number}", around if op is None else op.id)


async def admit(by: Caller, program: Program, place: Within) -> None:
    """Raises ORCH-R045 where a tool of ``program`` that must run at most once would run again; notes that it begins."""
    op = first_once(program, keyed=False)
    if op is None:
        return
    if place.retried is not None:
        raise refused(program.name, op.id, f"`{place.retried}` around it has a retry")
    if _is_once(by.op) and not _is_keyed(by.op):  # whether it is resumed is known of itself
        return
    path = occurrence(place.frame, place.op)
    if place.root.resumed is not None and path in place.root.once.ran:
        raise refused(program.name, op.id, f"the run was resumed, and `{by.op.id}` had called it before")
    place.root.emit(OpStarted(place.frame, place.op, 1, time()), seen=place.root.listeners)
    await place.root.durable()


def may_run_again(by: Caller) -> bool:
    """Whether a call of a tool, or anything around it, has a retry."""
    above = by.execution.within
    return retried() is not None or (above is not None and above.retried is not None)


def first_once(program: Program, *, keyed: bool = True) -> Op | None:
    """A tool of the program that must run at most once; where ``keyed`` is false, one that takes no key."""
    ops = (op for region in program.regions.values() for op in region.ops())
    return next((op for op in ops if _is_once(op) and (keyed or not _is_keyed(op))), None)


def refused(workflow: str, tool: str, why: str) -> RunError:
    """ORCH-R045 for a workflow whose tool might run again."""
    fix = "leave that retry out, and retry what may be repeated; or give the tool a key= (an idempotency key), or the "
    fix += "effects that it has; or call the workflow from a tool that must run at most once"
    return failures.not_here(workflow, f"its tool `{tool}` must run at most once, and {why}", fix)


def _is_once(op: Op) -> bool:
    return isinstance(op.spec, ToolCall) and op.spec.once is not None


def _is_keyed(op: Op) -> bool:
    return isinstance(op.spec, ToolCall) and op.spec.once is not None and bool(op.spec.once.key)
