"""Performing an op: as many attempts as its policy allows, each under its timeout and budget, all of them journaled.

What an op does is in :mod:`.control` (structured ops) and :mod:`.calls` (the others); what is special about tools that
must run at most once is in :mod:`.at_most_once.once`.
"""

from __future__ import annotations

from asyncio import CancelledError, current_task, get_running_loop, sleep
from collections.abc import Coroutine
from math import inf
from time import monotonic, time
from typing import Any, Final

from orchestrator.errors import LostReplyError
from orchestrator.leaving import passes_through
from orchestrator.runtime import failures
from orchestrator.runtime.execution import calls, control
from orchestrator.runtime.execution.at_most_once.once import OnceOp
from orchestrator.runtime.execution.attempt import Attempt, begin_enclosing
from orchestrator.runtime.execution.dataflow import Dataflow
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.frame import Frame
from orchestrator.runtime.execution.model_calls.budget import Ledger
from orchestrator.runtime.execution.model_calls.generate import without_unfit
from orchestrator.runtime.execution.outcome import Outcome
from orchestrator.runtime.execution.retry import wait_s
from orchestrator.runtime.execution.taking_over import TakingOver
from orchestrator.runtime.journal.events import Decided, OpDone, OpFailed, OpStarted, occurrence
from orchestrator.runtime.journal.replay import Ran, State
from orchestrator.runtime.program.program import Op
from orchestrator.runtime.program.specs import HINTS, NO_POLICY, Generate, Structure, ToolCall
from orchestrator.runtime.tools.raised import raised

MOST_LOST: Final = 3
"""Replicas that may stop amid one call's reply before that counts as its failure: it may be what kills them."""
_HERE: Final = frozenset({"async", "thread", "inline"})
"""Where tools run in this process."""


class CancelledWithinError(Exception):
    """Something an op awaited was cancelled, and not the op: a failure like any other."""


def begin(flow: Dataflow, frame: Frame, op: Op) -> Coroutine[Any, Any, Outcome] | None:
    """What gives the outcome of an op, or raises what its last attempt failed with.

    None for a hint, which is given now, and where the op has what it gave under an earlier version of the workflow.
    """
    execution, spec = flow.execution, op.spec
    if isinstance(spec, HINTS):
        calls.hint(execution, frame, op)
        return None
    if not op.bodies:
        if execution.activity.halted:
            return _never()
        if execution.taking_over is not None and take_over(execution, execution.taking_over, frame, op):
            return None
    is_tried_once = op.policy is NO_POLICY and execution.resumed is None
    if isinstance(spec, ToolCall) and spec.once is not None:
        work = _once(flow, frame, op)
    elif is_tried_once and isinstance(spec, ToolCall) and spec.place == "async":
        work = _tool_at_once(execution, frame, op, spec)
    elif is_tried_once and isinstance(spec, Structure):
        work = _structure_at_once(flow, frame, op)
    else:
        work = _Performance(flow, frame, op).outcome()
    return work


async def _never() -> Outcome:
    """What an op gives that must not begin: its run is cancelled instead."""
    outcome: Outcome = await get_running_loop().create_future()
    return outcome


def take_over(execution: Execution, earlier: TakingOver, frame: Frame, op: Op) -> bool:
    """Whether an op has what it gave under an earlier version of the workflow.

    Raises ORCH-R104 for a write that does not fit and that nobody has decided on.
    """
    digest = frame.given(op)
    found = earlier.result(frame.path, frame.region, op, digest)
    if found is None:
        return False
    if isinstance(found, Decided):
        execution.emit(found._replace(at=time()))
        return False
    frame.v[op.first : op.first + op.count] = found
    frame.records += 1
    execution.emit(OpDone(frame.path, op.id, found, time(), inputs=digest))
    if op.is_once:
        execution.once.done(occurrence(frame.path, op.id), Ran(frame.path, op.id, "done"))
    return True


async def _tool_at_once(execution: Execution, frame: Frame, op: Op, spec: ToolCall) -> Outcome:
    """The outcome of a tool that starts as soon as it is ready, is tried once, and may take as long as it likes.

    Most are like this, and there are no attempts to keep account of.
    """
    event = OpStarted(frame.path, op.id, 1, time())
    execution.note(event)
    if spec.effects != "pure":
        execution.starts.add(event)
    begin_enclosing()
    execution.activity.begin()
    try:
        return await calls.tool(execution, frame, op, spec, frame.ledger, after=frame.after)
    except BaseException as error:
        _say_why(execution, frame, op, error)
        raise
    finally:
        execution.activity.end()


async def _structure_at_once(flow: Dataflow, frame: Frame, op: Op) -> Outcome:
    """The same of a structured op."""
    flow.execution.note(OpStarted(frame.path, op.id, 1, time()))
    try:
        return await control.run(flow, frame, op, 1, frame.ledger)
    except BaseException as error:
        _say_why(flow.execution, frame, op, error)
        raise


def _say_why(execution: Execution, frame: Frame, op: Op, error: BaseException) -> None:
    """Journal what the only attempt at an op has failed with; raises it, unless that is the error itself."""
    if (cause := _failure(error)) is None:
        execution.starts.drop(frame.path, op.id)
        return
    failure = failures.of_op(cause, frame.path + op.id, op.where)
    execution.starts.write(frame.path, op.id)
    execution.emit(OpFailed(frame.path, op.id, 1, failure.code, failure.message, None, time(), raised=failure.raised))
    if failure is not cause:
        raise failure from cause


def _tell_started(execution: Execution, frame: Frame, op: Op, attempt: Attempt) -> None:
    """An attempt starts; that it did is journaled at once where a resumed run has to know, as something may have
    happened, or as its seconds are bounded."""
    spec, event = op.spec, OpStarted(frame.path, op.id, attempt.number, time(), attempt.before_s)
    is_pure = isinstance(spec, Structure) or (isinstance(spec, ToolCall) and spec.effects == "pure")
    if op.policy.budget is None and is_pure:
        execution.note(event)
    elif op.policy.budget is None and isinstance(spec, ToolCall) and spec.place in _HERE:
        execution.note(event)
        execution.starts.add(event)
    else:
        execution.emit(event)


def _failure(error: BaseException) -> BaseException | None:
    """What an attempt that ended with ``error`` has failed with; None if it was cancelled or broken off."""
    if isinstance(error, CancelledError):
        task = current_task()
        return None if task is None or task.cancelling() else CancelledWithinError(str(error))
    return None if passes_through(error) else raised(error)


async def _once(flow: Dataflow, frame: Frame, op: Op) -> Outcome:
    """The outcome of a tool that must run at most once."""
    execution = flow.execution
    once = OnceOp(execution, frame, op)
    execution.activity.begin()
    try:
        outcome = await once.known()
        if outcome is None:
            outcome = await _Performance(flow, frame, op, once).outcome()
        once.done()
    finally:
        once.end()
        execution.activity.end()
    return outcome


class _Performance:
    """The attempts at one op."""

    __slots__ = (
        "_began_s", "_current", "_execution", "_flow", "_forgiven", "_frame", "_ledger", "_lost",
        "_number", "_once", "_op",
    )  # fmt: skip

    def __init__(self, flow: Dataflow, frame: Frame, op: Op, once: OnceOp | None = None) -> None:
        self._flow = flow
        self._execution = execution = flow.execution
        self._frame = frame
        self._op = op
        self._once = once
        limits, state = op.policy.budget, execution.resumed
        self._ledger = frame.ledger if limits is None else Ledger(limits, frame.ledger)
        self._number = 0
        """It is the number of the latest attempt."""
        self._forgiven = 0
        """Attempts that do not count any more, because the run was resumed since, or because of :attr:`_lost`."""
        self._lost = 0
        """Replicas that stopped amid the reply while others served, which is no fault of the call's."""
        self._began_s = 0.0 if limits is None else monotonic()
        self._current: Attempt | None = None
        if state is not None:
            self._go_on(state)

    def _go_on(self, state: State) -> None:
        """Count the attempts, the spending and the seconds of the run before it was resumed."""
        key = (self._frame.path, self._op.id)
        self._number, self._forgiven = state.failures.get(key, 0), state.forgiven.get(key, 0)
        if self._number - self._forgiven >= self._op.policy.attempts:  # the last one is unsettled
            self._forgiven = self._number
        if self._op.policy.budget is not None:
            self._ledger.charge_own(state.spent_within(self._frame.path + self._op.id))
            self._began_s -= state.op_s.get(key, 0.0)

    async def outcome(self) -> Outcome:
        """Try until there is one; raises what the last attempt failed with."""
        if isinstance(self._op.spec, Structure):  # what is inside says whether something goes on
            return await self._outcome()
        self._execution.activity.begin()
        try:
            return await self._outcome()
        finally:
            self._execution.activity.end()

    async def _outcome(self) -> Outcome:
        op, activity = self._op, self._execution.activity
        while True:
            self._number += 1
            self._current = Attempt(op, self._number, left_s=self._left_s())
            if self._once is None:  # otherwise it says so itself, when its turn has come
                _tell_started(self._execution, self._frame, op, self._current)
            try:
                return await self._current.run(self._start(self._current))
            except BaseException as error:
                failure = _failure(error)
                if failure is None:
                    self._give_up()
                    raise
            after = await self._after(failure)
            if isinstance(after, Outcome):
                return after
            activity.begin()
            try:
                await sleep(after)
            finally:
                activity.end()

    def _give_up(self) -> None:
        """Journal what is known of a cancelled attempt: that nothing has happened yet, or that nobody knows."""
        attempt, op = self._current, self._op
        self._execution.starts.drop(self._frame.path, op.id)
        if attempt is None or isinstance(op.spec, Structure):
            return
        if self._once is not None and attempt.began:
            self._once.give_up(attempt)
        elif not attempt.began:
            message = "it was cancelled before its turn came"
            self._execution.emit(
                OpFailed(self._frame.path, op.id, attempt.number, "ORCH-R024", message, None, time(), began=False)
            )

    async def _after(self, error: BaseException) -> Outcome | float:
        """The seconds to wait before the next attempt, or the outcome after all; raises what the op failed with."""
        op, path = self._op, self._frame.path
        is_lost = isinstance(error, LostReplyError) and isinstance(op.spec, Generate)
        if is_lost and op.policy.on is None and self._lost < MOST_LOST:
            self._lost += 1
            self._forgiven += 1
        wait = wait_s(op.policy, self._number - self._forgiven, error, self._execution.rng)
        if wait is not None and wait >= self._left_s():  # there is no time for another attempt
            wait = None
        if self._once is not None:
            assert self._current is not None
            return await self._once.after(self._current, error, wait)
        failure = failures.of_op(error, path + op.id, op.where)
        if wait is None and (left := await without_unfit(self._execution, self._frame, op, error, failure)) is not None:
            return left
        number, raised = self._number, failure.raised
        self._execution.starts.write(path, op.id)
        self._execution.emit(OpFailed(path, op.id, number, failure.code, failure.message, wait, time(), raised=raised))
        if wait is not None:
            return wait
        if failure is error:
            raise error
        raise failure from error

    def _start(self, attempt: Attempt) -> Coroutine[Any, Any, Outcome]:
        if isinstance(self._op.spec, Structure):
            return control.run(self._flow, self._frame, self._op, self._number, self._ledger)
        return calls.run(self._execution, self._frame, self._op, attempt, self._ledger, once=self._once)

    def _left_s(self) -> float:
        """What is left of the seconds that all attempts may take."""
        limits = self._op.policy.budget
        if limits is None or limits.seconds is None:
            return inf
        return max(0.0, limits.seconds - (monotonic() - self._began_s))
