"""Structured ops whose regions wait for something, and those that only compute but may do so for long.

Short ones that only compute never get here: they are inline ops (:mod:`orchestrator.runtime.program.inline`). Whatever
a loop does, others on the event loop go on every few milliseconds, so that budgets, timeouts and cancellation reach it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from time import perf_counter, time
from typing import Any

from orchestrator.errors import BudgetError, RunError
from orchestrator.runtime.execution.attempt import begin_enclosing
from orchestrator.runtime.execution.attempted import attempted
from orchestrator.runtime.execution.computing import compute, run_inline
from orchestrator.runtime.execution.dataflow import Dataflow
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.frame import Frame
from orchestrator.runtime.execution.group import Group
from orchestrator.runtime.execution.model_calls.budget import Ledger
from orchestrator.runtime.execution.outcome import WORTH_SUPERSEDING, Outcome, Tally
from orchestrator.runtime.execution.structured import Structured
from orchestrator.runtime.failures import UNDECIDED, all_failed
from orchestrator.runtime.journal.events import ItemDone, MapProgress, TurnDone, attempt_path
from orchestrator.runtime.program.inline import SLICE_S, does_not_end, items_in_turn, map_length, turns
from orchestrator.runtime.program.program import Op


async def run(flow: Dataflow, frame: Frame, op: Op, attempt: int, ledger: Ledger) -> Outcome:
    """The results of a structured op."""
    at = Structured(flow, frame, op, attempt_path(frame.path, op.id, attempt), attempt, ledger)
    try:
        return Outcome(tuple(await _RUNNERS[at.spec.kind](at)), inside=at.tally.records)
    except BaseException:
        at.execution.sessions.abandon(f"{at.execution.run_id}/{at.path}")
        raise


async def _choice(at: Structured) -> Sequence[Any]:
    body = at.op.bodies[at.spec.select(at.frame.v[at.op.args[0]])]
    return await at.run(body, at.captured(body), f".{body.name}/", at.tally)


async def _loop(at: Structured) -> Sequence[Any]:
    execution, spec = at.execution, at.spec
    state: Sequence[Any] = [at.frame.v[slot] for slot in at.op.args]
    cond, body = at.op.bodies
    cond_captured, body_captured = at.captured(cond), at.captured(body)
    if cond.region.is_inline and body.region.is_inline:
        work = turns(
            cond.region.whole, body.region.whole, state, cond_captured, body_captured, spec.bound, spec.must_end
        )
        return await _in_slices(execution, work)
    first, state = _turns_done(at, state)
    call_soon = asyncio.get_running_loop().call_soon
    event_loop_turned: list[None] = []
    slice_ends = 0.0
    for turn in range(first, spec.bound + spec.must_end):
        if perf_counter() > slice_ends:
            if turn and not event_loop_turned:
                begin_enclosing()
                await asyncio.sleep(0)
            event_loop_turned.clear()
            call_soon(event_loop_turned.append, None)
            slice_ends = perf_counter() + SLICE_S
        inputs = [*state, *cond_captured]
        if cond.region.is_inline:
            stop = run_inline(cond.region, inputs)
        else:
            stop = await at.run(cond, inputs, f".cond[{turn}]/", at.tally)
        if stop[0]:
            break
        if turn == spec.bound:
            raise does_not_end(spec.bound)
        inputs = [*state, *body_captured]
        if body.region.is_inline:
            state = run_inline(body.region, inputs)
        else:
            state = await at.run(body, inputs, f"[{turn}]/", at.tally)
        if at.tally.records >= WORTH_SUPERSEDING:
            execution.emit(TurnDone(at.frame.path, at.op.id, at.attempt, turn, tuple(state), time()))
            at.tally.records = 1
    return state


def _turns_done(at: Structured, state: Sequence[Any]) -> tuple[int, Sequence[Any]]:
    """The first turn that the journal does not have, and what it begins with."""
    done = None if at.frame.known is None else at.frame.known.turns.get(at.op.id)
    if done is None or done[0] != at.attempt:
        return 0, state
    at.tally.records += 1
    return done[1], done[2]


async def _in_slices(execution: Execution, work: Iterator[list[Any] | None]) -> list[Any]:
    """Run to its end what yields None whenever others should go on, and its result at last."""
    begin_enclosing()
    execution.activity.begin()
    try:
        while True:
            result = compute(next, work)
            if result is not None:
                return result  # type: ignore[no-any-return]
            await asyncio.sleep(0)
    finally:
        execution.activity.end()


async def _map(at: Structured) -> Sequence[Any]:
    execution, op = at.execution, at.op
    lists = [at.frame.v[slot] for slot in op.args]
    spec = at.spec
    length = map_length(lists, spec.bound)
    body = op.bodies[0]
    captured = at.captured(body)
    if body.region.is_inline:
        yielded = await _in_slices(execution, items_in_turn(body.region.whole, lists, captured))
        return [[each[position] for each in yielded] for position in range(op.count)]
    # Items know nothing of each other, unless they are one after the other; a second attempt knows of the first.
    after = at.frame.after if spec.concurrency != 1 and at.attempt == 1 else None
    yielded = [()] * length
    done = 0

    def tell() -> None:
        if execution.listeners:
            execution.show(MapProgress(at.frame.path, op.id, done, length, time()))

    tell()

    async def work(indices: Iterator[int]) -> None:
        nonlocal done
        for index in indices:
            inputs = [*(items[index] for items in lists), *captured]
            tally = Tally()
            yielded[index] = await at.run(body, inputs, f"[{index}]/", tally, after=after)
            if tally.records >= WORTH_SUPERSEDING:
                execution.emit(ItemDone(f"{at.path}[{index}]/", tuple(yielded[index]), time()))
                tally.records = 1
            at.tally.records += tally.records
            done += 1
            tell()

    indices = iter(range(length))
    async with Group() as group:
        for _ in range(min(length, spec.concurrency or length)):
            group.spawn(work(indices))
    return [[each[position] for each in yielded] for position in range(op.count)]


async def _race(at: Structured) -> Sequence[Any]:
    arms = [asyncio.ensure_future(at.run(body, at.captured(body), f".{body.name}/", at.tally)) for body in at.op.bodies]
    errors: list[BaseException] = []
    try:
        pending = set(arms)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for arm in sorted(done, key=arms.index):
                error = arm.exception()
                if error is None:
                    return arm.result()
                errors.append(error)
    finally:
        for arm in arms:
            arm.cancel()
        await asyncio.gather(*arms, return_exceptions=True)
    raise _race_failure(at.op, errors)


def _race_failure(op: Op, errors: list[BaseException]) -> RunError:
    for error in errors:
        if isinstance(error, BudgetError) or (isinstance(error, RunError) and error.code == UNDECIDED):
            return error
    return all_failed(op.id, errors, op.where)


_RUNNERS = {
    "branch": _choice, "switch": _choice, "loop": _loop, "map": _map, "race": _race, "attempt": attempted
}  # fmt: skip
