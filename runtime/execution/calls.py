"""The ops that leave the coordinator: tools, questions to a human, sleeps, and (in :mod:`.model_calls.generate`) model
calls.

Each returns an :class:`Outcome` or raises; retries, timeouts and the journal are the executor's.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel

from orchestrator.errors import Error
from orchestrator.runtime import failures
from orchestrator.runtime.execution.asking import ask
from orchestrator.runtime.execution.at_most_once.once import OnceOp
from orchestrator.runtime.execution.attempt import Attempt
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.frame import Frame
from orchestrator.runtime.execution.model_calls.budget import Ledger
from orchestrator.runtime.execution.model_calls.generate import generate
from orchestrator.runtime.execution.outcome import Outcome
from orchestrator.runtime.execution.timers import ends_s, left_s, timer
from orchestrator.runtime.program.program import Op
from orchestrator.runtime.program.specs import (
    Ask,
    Generate,
    Pause,
    Prefetch,
    Raise,
    Sleep,
    Supersede,
    ToolCall,
)
from orchestrator.runtime.tools.apart import admit, checked
from orchestrator.runtime.tools.call import call_tool
from orchestrator.runtime.tools.caller import Caller, Runs, caller
from orchestrator.runtime.tools.redacted_errors import without_secrets
from orchestrator.runtime.tools.streamed import Streamed, StreamedAsync, show_items
from orchestrator.runtime.values.at_run_time import Conversation, checked_result
from orchestrator.runtime.values.by_value import by_value


def hint(execution: Execution, frame: Frame, op: Op) -> None:
    """Give a hint. If it cannot be given, the run says so and goes on."""
    args = [frame.v[slot] for slot in op.args]
    try:
        if isinstance(op.spec, Prefetch):
            execution.prefetches.start(frame, op, args[0])
        elif isinstance(op.spec, Supersede):
            _supersede(execution, frame, op.spec, args)
        else:
            execution.sessions.release(_sessions_in(args))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - hints never change results
        execution.warn(f"the hint `{op.id}` could not be given: {error}")


def run(
    execution: Execution, frame: Frame, op: Op, attempt: Attempt, ledger: Ledger, *, once: OnceOp | None = None
) -> Coroutine[Any, Any, Outcome]:
    """Do what ``op`` says, once everything it depends on is durable.

    ``attempt`` is told when the op has stopped waiting for a place to run. ``once`` is the tool that must run at most
    once, if it is one.
    """
    spec = op.spec
    if isinstance(spec, ToolCall):
        return tool(execution, frame, op, spec, ledger, attempt=attempt, once=once)
    if isinstance(spec, Raise):
        return _raise(frame, op, spec)
    if isinstance(spec, Generate):
        return generate(execution, frame, op, attempt=attempt, ledger=ledger)
    if isinstance(spec, Sleep):
        return _sleep(execution, frame, op, spec, attempt)
    assert isinstance(spec, Ask)
    (question,) = _refine(execution, spec.in_pauses, [frame.v[slot] for slot in op.args])
    return ask(execution, frame, op, spec=spec, question=question, attempt=attempt)


async def tool(
    execution: Execution,
    frame: Frame,
    op: Op,
    spec: ToolCall,
    ledger: Ledger,
    *,
    after: int | None = None,
    attempt: Attempt | None = None,
    once: OnceOp | None = None,
) -> Outcome:
    """What a tool returns. ``attempt`` is None where nobody needs to know when it begins.

    The first ``after`` events of the log are durable before it acts; by default all that there are.

    A pure one waits for nothing, as it shows nothing to anybody outside the run, and one that must run at most once
    waits when its turn has come.
    """
    tp = frame.region.types[op.first]
    is_apart = frame.region.own_code[op.first]
    if is_apart:
        admit(execution, tp)
    if spec.effects != "pure" and spec.once is None and (waiting := execution.log.barrier(after)) is not None:
        await waiting
    args = [frame.v[slot] for slot in op.args]
    if spec.in_pauses:
        args = _refine(execution, spec.in_pauses, args)
    by = Caller(execution, frame.path, op, ledger, Runs())
    caller.set(by)
    if isinstance(spec.fn, (Streamed, StreamedAsync)):
        show_items(by)
    try:
        result = await call_tool(spec, list(map(by_value, args)), attempt, once, by)
    except (Exception, SystemExit) as error:
        if (told := without_secrets(error, args)) is error:
            raise
        raise told from told.__cause__
    finally:
        if by.runs.close():
            await by.runs.end()
    if not is_apart:
        return Outcome((checked_result(tp, result),))
    if attempt is not None:
        attempt.has_returned = True
    return Outcome((await checked(execution, tp, partial(checked_result, tp, result), attempt),))


def _refine(execution: Execution, pauses: Sequence[Pause], args: list[Any]) -> list[Any]:
    """Tell the sessions that pause for this op what it is; the arguments that are its own."""
    at = own = len(args) - sum(1 + len(each.features) for each in pauses)
    for pause in pauses:
        end = at + 1 + len(pause.features)
        for chat in conversations_in(args[at]):
            execution.sessions.refine(pause, chat, args[at + 1 : end])
        at = end
    return args[:own]


async def _raise(frame: Frame, op: Op, spec: Raise) -> Outcome:
    """Fail, as the workflow says."""
    given, *written = (frame.v[slot] for slot in op.args)
    error = given if isinstance(given, Error) else Error("ORCH-R050", given, spec.kind, spec.bases, *written)
    raise failures.raised_here(frame.path + op.id, error, op.where)


async def _sleep(execution: Execution, frame: Frame, op: Op, spec: Sleep, attempt: Attempt) -> Outcome:
    """Wait until a moment that is durable before, and that a resumed run has from there."""
    attempt.begin()
    path, state = frame.path + op.id, execution.resumed
    until = None if state is None else state.timers.get((frame.path, op.id))
    if until is None:
        until = timer(frame.path, op.id, frame.v[op.args[0]] if spec.seconds is None else spec.seconds)
        execution.emit(until)
    ends = ends_s(until)
    if (waiting := execution.barrier()) is not None:
        await waiting
    activity = execution.activity
    activity.sleeping[path] = until.wake_at
    activity.end()
    try:
        await execution.services.sleep(left_s(ends))
    finally:
        activity.begin()
        del activity.sleeping[path]
    return Outcome((None,))


def _supersede(execution: Execution, frame: Frame, spec: Supersede, args: list[Any]) -> None:
    """End sessions that others have taken the place of."""
    kept = set(_sessions_in(args[spec.over :]))
    over = _sessions_in(args[: spec.over])
    if spec.scope is not None:
        over += execution.sessions.within(f"{execution.run_id}/{frame.path}{spec.scope}")
    execution.sessions.supersede(name for name in dict.fromkeys(over) if name not in kept)


def conversations_in(value: object) -> list[Conversation]:
    """The conversations that a value consists of, however it is nested."""
    found: list[Conversation] = []
    seen: set[int] = set()
    todo = [value]
    while todo:
        each = todo.pop()
        if isinstance(each, Conversation):
            found.append(each)
        elif id(each) not in seen and (parts := _parts(each)):
            seen.add(id(each))
            todo += reversed(parts)
    return found


def _parts(value: object) -> Sequence[object]:
    if isinstance(value, (list, tuple)):
        return value
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, BaseModel):
        return list(value.__dict__.values())
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, each.name) for each in fields(value)]
    return ()


def _sessions_in(values: Sequence[object]) -> list[str]:
    """The session of each conversation among the values that has one, once."""
    return list(dict.fromkeys(each.session for each in conversations_in(values) if each.session))
