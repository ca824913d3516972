"""Tools that must run at most once.

An exception that the tool raises is its outcome. An attempt without one, because it took too long, was cancelled, or
its process died, is *unsettled*: nobody knows whether it happened. The tool's check is asked; if it cannot tell, or
there is none, the op is repeated only with an idempotency key, and the run fails with ORCH-R020 otherwise. Then a
person settles it with :func:`settle`, and the run is resumed. An attempt that has returned, but whose result is not
checked in time, has failed: that it happened is known.

What has been started is known by its *occurrence*: an op of one run, whichever attempt at the structured ops around it
started it. So neither a retry around it nor a resume starts it twice, and its key is the same in all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from inspect import isawaitable, iscoroutinefunction
from time import time
from typing import Any, Final
from uuid import NAMESPACE_OID, uuid5

from pydantic import ValidationError

from orchestrator.dsl.declared.once import DidNotHappen, Happened, Unknown
from orchestrator.errors import OrchError, RunError, described
from orchestrator.leaving import passes_through
from orchestrator.runtime import failures
from orchestrator.runtime.execution.at_most_once.unsettled import once_ran
from orchestrator.runtime.execution.attempt import Attempt
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.frame import Frame
from orchestrator.runtime.execution.outcome import Outcome
from orchestrator.runtime.journal.base import Journal
from orchestrator.runtime.journal.events import (
    Event,
    OpFailed,
    OpSettled,
    OpStarted,
    OpUnsettled,
    Verdict,
    occurrence,
    region_key,
)
from orchestrator.runtime.journal.lines.paths import paths_of
from orchestrator.runtime.journal.replay import A_PERSON, Ran, State, replay
from orchestrator.runtime.journal.run_log import RunLog
from orchestrator.runtime.program.program import Op, Program
from orchestrator.runtime.program.specs import ToolCall
from orchestrator.runtime.tools.apart import checked, in_checks
from orchestrator.runtime.tools.caller import Caller, Runs, caller
from orchestrator.runtime.tools.errors import LostAttemptError
from orchestrator.runtime.tools.on_loop import on_loop
from orchestrator.runtime.values.at_run_time import adapter, checked_result

CHECK_TIMEOUT_S: Final = 30.0
"""A check that takes longer cannot tell."""
UNSAID: Final = object()

_running: set[str] = set()
"""Paths of calls that run in this process, whether or not somebody waits for them."""


class OnceOp:
    """One execution of an op that must run at most once."""

    def __init__(self, execution: Execution, frame: Frame, op: Op) -> None:
        assert isinstance(op.spec, ToolCall) and op.spec.once is not None
        self._execution = execution
        self._frame = frame
        self._op = op
        self._once = op.spec.once
        self._spec = op.spec
        self._path = occurrence(frame.path, op.id)
        self._runs = False
        self._unknown: str | None = None
        """Why the check could not tell."""

    @property
    def path(self) -> str:
        """What names this call of this run, in every attempt."""
        return f"{self._execution.name}\n{self._path}"

    @property
    def key(self) -> str:
        """The idempotency key, made of the path."""
        return str(uuid5(NAMESPACE_OID, self.path))

    async def known(self) -> Outcome | None:
        """Its outcome, if an earlier attempt has one; None if it may start.

        Raises what it failed with, or ORCH-R020.
        """
        before = self._execution.once.ran.get(self._path)
        if before is None:
            return None
        if before.code == failures.SETTLED_AS_FAILED:
            raise self._refusal(before)
        settled = await self._ask()
        if isinstance(settled, Outcome):
            return settled
        if settled == "unknown" and not self._once.key:
            raise self._refusal(before)
        return None

    async def start(self, attempt: Attempt) -> None:
        """The turn of an attempt has come: from here on nobody knows whether it happened, until it has an outcome."""
        if not self._runs:
            await self._execution.activity.begin_once()
            self._runs = True
        self._execution.emit(OpStarted(self._frame.path, self._op.id, attempt.number, time(), attempt.before_s))
        await self._execution.durable()

    async def after(self, attempt: Attempt, error: BaseException, wait_s: float | None) -> Outcome | float:
        """An attempt has ended without a result, and the op's policy repeats it after ``wait_s``, or not if None.

        Gives its outcome after all, or the seconds to wait before the next attempt. Raises what it failed with, or
        ORCH-R020.
        """
        path, key = self._frame.path, self._once.key
        failure = failures.of_op(error, path + self._op.id, self._op.where)
        is_lost = attempt.began and not attempt.has_returned and (attempt.cut or isinstance(error, LostAttemptError))
        if is_lost:
            self.lose(attempt, failure.message)
        elif attempt.began:
            self._execution.once.ran[self._path] = Ran(
                path, self._op.id, "failed", failure.message, failure.code, failure.raised
            )
        settled: Outcome | DidNotHappen | Unknown = "unknown"
        if is_lost or (attempt.began and wait_s is not None and not key):
            settled = await self._ask()
            if isinstance(settled, Outcome):
                return settled
        if attempt.began and settled == "unknown" and not key:
            wait_s = None
        if not is_lost:
            self._emit_failure(attempt, failure, wait_s)
        elif settled == "unknown" and wait_s is None:
            raise self._refusal(self._execution.once.ran[self._path]) from error
        if wait_s is not None:
            return wait_s
        if failure is error:
            raise error
        raise failure from error

    async def _ask_again(self) -> None:
        """The run goes on without it; the check may still tell what has become of it."""
        if isinstance(await self._ask(), Outcome):
            self.done()

    def end(self) -> None:
        """Nothing more is done of it, however it has ended."""
        if self._runs:
            self._execution.activity.end_once()

    def done(self) -> None:
        """It has a result."""
        self._execution.once.done(self._path, Ran(self._frame.path, self._op.id, "done"))

    def _emit_failure(self, attempt: Attempt, failure: OrchError, wait_s: float | None) -> None:
        path, op, code, message = self._frame.path, self._op.id, failure.code, failure.message
        event = OpFailed(path, op, attempt.number, code, message, wait_s, time(), attempt.began, failure.raised)
        self._execution.emit(event)

    def give_up(self, attempt: Attempt) -> None:
        """An attempt that has begun was cancelled."""
        if not attempt.has_returned:
            self.lose(attempt, "it was cancelled while it ran")
            return
        failure = RunError("ORCH-R024", "it has returned, and was cancelled before its result was checked")
        ran = Ran(self._frame.path, self._op.id, "failed", failure.message, failure.code)
        self._execution.once.ran[self._path] = ran
        self._emit_failure(attempt, failure, None)

    def lose(self, attempt: Attempt, reason: str) -> None:
        """Nobody knows what has become of an attempt."""
        path, op = self._frame.path, self._op.id
        self._execution.once.lose(self._path, Ran(path, op, "lost", reason), self._ask_again)
        self._execution.emit(OpUnsettled(path, op, attempt.number, reason, time()))

    async def _ask(self) -> Outcome | DidNotHappen | Unknown:
        """What the tool's check says."""
        if self._once.check is None:
            return "unknown"
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                answer = await self._answer(self._once.check)
                if isinstance(answer, Happened):
                    tp = self._frame.region.types[self._op.first]
                    check = partial(checked_result, tp, answer.result)
                    value = await checked(self._execution, tp, check, None)
                    self._settle("happened", (value,))
                    return Outcome((value,))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # whatever it raises, it cannot tell
            if passes_through(error):
                raise
            self._unknown = described(error)
            return "unknown"
        if answer != "did not happen":
            self._unknown = f"it answers {answer!r}"
            return "unknown"
        if self.path in _running:
            self._unknown = "it did not happen yet, and the attempt still runs"
            return "unknown"
        self._settle("did not happen", ())
        self._execution.once.forget(self._path)
        return "did not happen"

    async def _answer(self, check: Callable[..., Any]) -> object:
        args = [self._frame.v[slot] for slot in self._op.args]
        given = dict(zip(self._once.params, args, strict=False))
        for name in self._once.key:
            given.setdefault(name, self.key)
        asked = {name: given[name] for name in self._once.check_params if name in given}
        execution, runs = self._execution, Runs()
        caller.set(Caller(execution, self._frame.path, self._op, self._frame.ledger, runs))
        try:
            if iscoroutinefunction(check):
                return await on_loop(partial(check, **asked), self._op.id, execution.warn)
            answer = await in_checks(
                execution.services.checks, partial(check, **asked), tenant=execution.tenant, depth=execution.depth
            )
            return await answer if isawaitable(answer) else answer
        finally:
            if runs.close():
                await runs.end()

    def _settle(self, verdict: Verdict, values: tuple[object, ...]) -> None:
        path, op = self._frame.path, self._op
        self._execution.emit(OpSettled(path, op.id, verdict, "check", values, None, time()))

    def _refusal(self, before: Ran) -> RunError:
        path, where = self._frame.path + self._op.id, self._op.where
        if before.outcome == "failed":
            return failures.settled_failure(path, before.code, before.reason, before.raised, where)
        if before.outcome == "done":
            return failures.again(path, where)
        self._execution.once.unsettled[self._path] = before
        return failures.unsettled(path, before.reason, where, asked=self._unknown)


def marked(
    fn: Callable[..., Any], path: str, began: Callable[[], None]
) -> tuple[Callable[..., Any], Callable[[], None]]:
    """``fn`` and ``began``, for a thread: from when it is handed over until its end, that it did not happen is no proof
    that it will not."""

    def begin() -> None:
        _running.add(path)
        began()

    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return fn(*args, **kwargs)
        finally:
            _running.discard(path)

    return run, begin


def marked_async(fn: Callable[..., Awaitable[Any]], path: str) -> Callable[..., Awaitable[Any]]:
    """:func:`marked`, for the event loop: an attempt that is left behind may still happen."""

    async def run(*args: Any, **kwargs: Any) -> Any:
        _running.add(path)
        try:
            return await fn(*args, **kwargs)
        finally:
            _running.discard(path)

    return run


async def settle(
    program: Program,
    journal: Journal,
    run_id: str,
    op: str,
    *,
    events: Sequence[Event],
    result: object = UNSAID,
    failed: str | None = None,
    did_not_happen: bool = False,
) -> OpSettled:
    """Write down what has become of an op; see :meth:`orchestrator.runtime.runner.Runner.settle`."""
    if (result is not UNSAID) + (failed is not None) + did_not_happen != 1:
        raise RunError(
            "ORCH-R026",
            f"it is not said what has become of `{op}`",
            fix="give one of result=..., failed='why' and did_not_happen=True",
        )
    log = RunLog(journal, run_id)
    state = replay(program, events)
    if state.started is None:
        raise failures.unknown_run(run_id)
    ran = _to_settle(program, state, run_id, op)
    where = next(each for each in program.regions[region_key(ran.frame)].ops() if each.id == ran.op)
    values: tuple[object, ...] = ()
    if result is not UNSAID:
        values = (_fitting(program.regions[region_key(ran.frame)].types[where.first], result, op),)
    verdict: Verdict = "happened" if values else "failed" if failed is not None else "did not happen"
    message = None if failed is None else failed or "a person says that it failed"
    settled = OpSettled(ran.frame, ran.op, verdict, A_PERSON, values, message, time())
    log.append(settled)
    await log.durable()
    return settled


def _to_settle(program: Program, state: State, run_id: str, op: str) -> Ran:
    """The op that is meant, by its path, of names or of keys, or, if there is but one, its id. Raises ORCH-R026."""
    open_ = {path: ran for path, ran in once_ran(program, state).items() if ran.outcome != "done"}
    paths = paths_of(program)
    meant = [
        ran
        for path, ran in open_.items()
        if op in (path, ran.frame + ran.op, occurrence("", paths.written(ran.frame, ran.op)))
    ]
    meant = meant or [ran for ran in open_.values() if ran.op == op]
    if len(meant) != 1:
        raise failures.nothing_to_settle(op, run_id, sorted(open_))
    return meant[0]


def _fitting(tp: Any, result: object, op: str) -> object:
    try:
        return adapter(tp).validate_python(result)
    except ValidationError as error:
        raise failures.not_a_result(op, failures.first_line(error)) from None
