"""What a version of a workflow would do with a run, found out without doing any of it.

The run's log is read, and the program executed with what it says: results are taken where they fit, pure code is
computed, and an op that would be executed waits instead. What comes behind such an op is not seen: it depends on what
that gives. Nothing is claimed and nothing is written.

>>> found = await rehearse(program, store, "invoice-17")                                  # doctest: +SKIP
>>> found.again, found.undecided, len(found.left)                                        # doctest: +SKIP
(['turns[3]/reply_2'], [], 0)
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from orchestrator.errors import JournalError, OrchError, RunError
from orchestrator.runtime import failures
from orchestrator.runtime.execution.dataflow import Dataflow
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.frame import Frame
from orchestrator.runtime.execution.outcome import Outcome, Tally
from orchestrator.runtime.execution.perform import begin, take_over
from orchestrator.runtime.execution.taking_over import TakingOver
from orchestrator.runtime.journal.artifacts.base import Artifacts
from orchestrator.runtime.journal.events import Event
from orchestrator.runtime.journal.lines.line import VERSION
from orchestrator.runtime.journal.lines.live import Live
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.journal.recorder import Recorder
from orchestrator.runtime.journal.replay import replay
from orchestrator.runtime.journal.stores.base import Row, Store
from orchestrator.runtime.journal.versions.earlier import Result
from orchestrator.runtime.journal.versions.version_change import (
    History,
    LostUnderAnotherError,
    carried,
    messages_of,
    read_history,
)
from orchestrator.runtime.program.program import Op, Program
from orchestrator.runtime.program.specs import HINTS
from orchestrator.runtime.services import Engines, Services

QUIET_S: Final = 0.1
"""So long nothing new must be found before it is taken that everything was."""


@dataclass(slots=True)
class Rehearsal:
    """What a version would do with a run."""

    run_id: str
    is_same: bool
    """Whether it is the version that the run is executed by."""
    again: dict[str, str] = field(default_factory=dict)
    """Ops that would be executed next, by path, and their ids."""
    undecided: list[str] = field(default_factory=list)
    """Paths of writes about which somebody has to decide."""
    left: list[Result] = field(default_factory=list)
    """Results of earlier versions that nothing has taken: the most that can be lost, as what is behind an op that would
    be executed may take some of them."""
    problem: OrchError | None = None
    """Why it cannot go on with this version at all."""
    is_over: bool = False
    """It came to its end without executing anything."""

    @property
    def left_usd(self) -> float:
        """What those have cost."""
        return sum(each.cost_usd or 0.0 for each in self.left)


def _begin(found: Rehearsal, flow: Dataflow, frame: Frame, op: Op) -> Coroutine[Any, Any, Outcome] | None:
    """Begin nothing that is outside."""
    if op.bodies:
        return begin(flow, frame, op)
    if isinstance(op.spec, HINTS):
        return None
    earlier = flow.execution.taking_over
    try:
        if earlier is not None and take_over(flow.execution, earlier, frame, op):
            return None
        found.again[frame.path + op.id] = op.id
    except RunError as error:
        if error.code != failures.UNDECIDED:
            raise
        found.undecided.append(frame.path + op.id)
    return _wait()


async def _wait() -> Outcome:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


async def rehearse(program: Program, store: Store, run_id: str, artifacts: Artifacts | None = None) -> Rehearsal:
    """What ``program`` would do with a run. Raises ``RunError``: ORCH-R023 for a run that the store does not know, and
    ORCH-R021 for one of another workflow."""
    head = await store.head(run_id)
    if head is None:
        raise failures.unknown_run(run_id)
    if head.workflow != program.name:
        raise failures.other_workflow(head.workflow, run_id, program.name)
    found = Rehearsal(run_id, head.version == program.fingerprint)
    try:
        events, history = await _read(program, store, run_id, artifacts)
    except JournalError as error:  # rows of it are lost
        found.problem = error
        return found
    except LostUnderAnotherError as error:
        found.problem = failures.lost_under_another(str(error), run_id, head.version)
        return found
    except failures.UNREADABLE as error:
        found.problem = failures.unreadable(run_id, error)
        return found
    state = replay(program, events)
    taking_over = None if history is None else TakingOver(program, history, state, run_id, {})
    execution = Execution(program, Services(Engines({})), MemoryJournal(), run_id, state=state, taking_over=taking_over)
    inputs = () if state.started is None else state.started.inputs
    flow = Dataflow(execution, partial(_begin, found))
    work = asyncio.ensure_future(flow.run_frame(program.body, inputs, "", execution.ledger, Tally()))
    try:
        seen = -1
        while not work.done() and seen != len(found.again) + len(found.undecided):
            seen = len(found.again) + len(found.undecided)
            await asyncio.wait([work], timeout=QUIET_S)
        if work.done():
            failure = work.exception()
            found.is_over = failure is None
            found.problem = failure if isinstance(failure, OrchError) else None
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    if history is not None:
        found.left = list(history.earlier.left())
    return found


async def _read(
    program: Program, store: Store, run_id: str, artifacts: Artifacts | None
) -> tuple[list[Event], History | None]:
    """The events of a run that count for a program, and what earlier versions have done."""
    loaded = await store.load(run_id)
    if loaded is None:
        raise failures.unknown_run(run_id)
    version = loaded.head.version
    recorder = Recorder(store, program, patience_s=0.0, artifacts=artifacts)
    if version == program.fingerprint and loaded.head.status != "done":  # what led to a result is in front of it
        events = recorder.read(loaded.rows)
        if not recorder.earlier_rows:
            return events, None
        return events, await read_history(program, store, run_id, recorder.earlier_rows, recorder.apart)
    before = Live()
    before.read_rows(loaded.rows)
    rows = loaded.head.rows
    history = await read_history(program, store, run_id, rows, recorder.apart)
    lines = list(carried(program, before, version, rows, history))
    text = "\n".join([str(VERSION), *(f"m{each}" for each in messages_of(lines, history)), *lines, ""])
    return recorder.read([Row(1, True, 0.0, text.encode(errors="surrogatepass"))]), history
