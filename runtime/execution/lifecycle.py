"""A run from its beginning to its end, whichever that is, and what is told of it."""

from __future__ import annotations

import asyncio
import logging
from asyncio import CancelledError, timeout
from contextlib import suppress
from time import perf_counter, time
from typing import Any, Final

from orchestrator.errors import JournalError, OrchError
from orchestrator.holding import Holding
from orchestrator.runtime import failures
from orchestrator.runtime.execution.at_most_once.unsettled import name_in
from orchestrator.runtime.execution.attempt import unattended
from orchestrator.runtime.execution.dataflow import Dataflow
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.model_calls.budget import Need
from orchestrator.runtime.execution.model_calls.pricing import require_prices
from orchestrator.runtime.execution.outcome import Tally
from orchestrator.runtime.execution.perform import begin
from orchestrator.runtime.journal.events import (
    OpCaught,
    OpDone,
    OpFailed,
    OpUnsettled,
    RunDone,
    RunFailed,
    RunResumed,
    RunStarted,
    attempt_path,
)
from orchestrator.runtime.journal.replay import State, apply
from orchestrator.runtime.kv.admission import enclosing
from orchestrator.runtime.result import RunResult, run_result
from orchestrator.runtime.tools.caller import caller
from orchestrator.runtime.tools.tasks import contain_tasks
from orchestrator.runtime.values.by_value import by_value

_log: Final = logging.getLogger(__name__)


async def result_of(execution: Execution, inputs: tuple[object, ...]) -> RunResult:
    """:func:`run_to_end`, and what there is to say of it."""
    start = perf_counter()
    value = await run_to_end(execution, inputs)
    return run_result(
        execution.program,
        execution.run_id,
        by_value(value),
        events=execution.events,
        spending=execution.earlier,
        seconds=perf_counter() - start,
        simulated=execution.simulated,
        warnings=execution.warnings,
        unsettled=execution.once.unsettled,
    )


async def run_to_end(execution: Execution, inputs: tuple[object, ...]) -> Any:
    """The result of a run; raises ``RunError``. ``inputs`` is ignored where it is resumed."""
    state = execution.resumed
    if state is not None and state.done is not None:
        execution.warnings.update(dict.fromkeys(execution.once.said()))
        return state.done.value
    engines = execution.services.engines
    require_prices(
        execution.program,
        execution.ledger.limits,
        lambda spec: [engines.pick(name, spec.model)[0] for name in spec.engines or (None,)],
    )
    if state is not None and state.started is not None:
        inputs = state.started.inputs
        _go_on(execution, state)
    else:
        _begin(execution, inputs)
    if "process" in execution.program.places:
        execution.services.processes.prepare()
    execution.services.loop_watch.enter(execution)
    contain_tasks(asyncio.get_running_loop())
    try:
        value = await _value(execution, inputs)
        _end(execution, RunDone(value, time()))
    except CancelledError:
        for said in execution.once.said():
            _log.warning("run %s: %s", execution.run_id, said)
        with suppress(JournalError):  # it is cancelled all the same
            _end(execution, _cut(execution))
        raise
    except Exception as error:
        if execution.log.failure is not None:
            name_in(execution.log.failure, execution.program, execution.once.unsettled)
            raise execution.log.failure from error
        await _fail(execution, error)
        raise
    await execution.durable()
    execution.warnings.update(dict.fromkeys(execution.once.said()))
    return value


async def _value(execution: Execution, inputs: tuple[object, ...]) -> Any:
    """What the program gives; however it ends, what it has opened is closed."""
    try:
        with enclosing(execution.run_id), unattended(), Holding(caller, None):
            value = await _within_seconds(execution, inputs)
            if execution.once.unsettled:
                await execution.once.check()
            return value
    finally:
        execution.starts.close()
        execution.services.loop_watch.leave(execution)
        execution.prefetches.close()
        execution.sessions.close()
        execution.services.engines.finish(execution.run_id)
        # They know the run: while it knows them, all that it holds waits for the garbage collector.
        del execution.sessions, execution.prefetches


def _end(execution: Execution, event: RunDone | RunFailed) -> None:
    """Journal how the run has ended."""
    if execution.log.failure is None:
        execution.activity.end_run()
    execution.emit(event)


async def _fail(execution: Execution, error: Exception) -> None:
    """Journal what the run has failed with. Raises ``CancelledError`` where somebody has cancelled it meanwhile: a
    failure does not keep it alive."""
    if execution.activity.cancelled is not None:
        _end(execution, _cut(execution))
        raise CancelledError from error
    failure = error if isinstance(error, OrchError) else failures.of_op(error, execution.program.name, None)
    first = failure.diagnostics[0]
    try:
        _end(execution, RunFailed(first.code, first.message, _failed_op(execution), first.where, time()))
        await execution.durable()
    except JournalError as second:
        failure.diagnostics += second.diagnostics
    name_in(failure, execution.program, execution.once.unsettled)


def _cut(execution: Execution) -> RunFailed:
    """How a run ends whose task is cancelled."""
    said = (execution.activity.cancelled or failures.interrupted()).diagnostics[0]
    return RunFailed(said.code, said.message, None, None, time())


def _begin(execution: Execution, inputs: tuple[object, ...]) -> None:
    if execution.started is not None:
        execution.note(execution.started)
        return
    program, at, budget, tenant = execution.program, execution.arrival_s, execution.budget, execution.tenant
    execution.emit(RunStarted(execution.run_id, program.name, program.fingerprint, inputs, at, budget, tenant))


def _go_on(execution: Execution, state: State) -> None:
    """Count what the run has used before, model calls that it was interrupted in at their worst."""
    resumed = RunResumed(time(), execution.budget, state.active_s)
    apply(state, resumed)
    execution.emit(resumed)
    for spent in state.lost_calls(resumed.at):
        apply(state, spent)
        execution.emit(spent)
    usage = state.spending.usage
    execution.ledger.charge_own(Need(usage.input_tokens + usage.output_tokens, state.spending.cost_usd))


def _failed_op(execution: Execution) -> str | None:
    """The op whose failure came first and was not caught, with its frame; None if an inline op or the run itself
    failed."""
    failed: list[OpUnsettled | OpFailed] = []
    for event in execution.events:
        over: tuple[str, ...] = ()  # failures inside of these have no consequences any more
        if isinstance(event, OpDone):
            over = tuple(f"{event.frame}{event.op}{end}" for end in (".", "[", "#", "/"))
        elif isinstance(event, OpCaught):
            over = (f"{attempt_path(event.frame, event.op, event.attempt)}.",)
        elif isinstance(event, OpFailed) and event.retry_in_s is not None:
            around = attempt_path(event.frame, event.op, event.attempt)
            over = (f"{around}.", f"{around}[")
        elif isinstance(event, OpUnsettled) or (isinstance(event, OpFailed) and event.began):
            failed.append(event)
        if over and failed:
            failed = [each for each in failed if not f"{each.frame}{each.op}/".startswith(over)]
    return failed[0].frame + failed[0].op if failed else None


async def _within_seconds(execution: Execution, inputs: tuple[object, ...]) -> Any:
    flow = Dataflow(execution, begin)
    seconds = execution.ledger.limits.seconds
    if seconds is None:
        return (await flow.run_frame(execution.program.body, inputs, "", execution.ledger, Tally()))[0]
    left = seconds - (0.0 if execution.resumed is None else execution.resumed.active_s)
    try:
        async with timeout(max(left, 0.0)) as scope:
            return (await flow.run_frame(execution.program.body, inputs, "", execution.ledger, Tally()))[0]
    except TimeoutError:
        if scope.expired():
            raise failures.out_of_time(execution.program.name, seconds, None) from None
        raise
