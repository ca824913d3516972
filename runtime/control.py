"""Structured ops whose regions wait for something, and those that only compute but may do so for long.

Short ones that only compute never get here: they are inline ops (:mod:`orchestrator.runtime.inline`). Whatever a loop
does, others on the event loop go on every few milliseconds, so that budgets, timeouts and cancellation reach it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

from orchestrator.errors import BudgetError, RunError
from orchestrator.runtime.attempt import begin_enclosing
from orchestrator.runtime.attempted import attempted
from orchestrator.runtime.budget import Ledger
from orchestrator.runtime.events import MapProgress, attempt_path
from orchestrator.runtime.failures import all_failed
from orchestrator.runtime.group import Group
from orchestrator.runtime.inline import SLICE_S, does_not_end, items_in_turn, map_length, turns
from orchestrator.runtime.outcome import Outcome
from orchestrator.runtime.program import Body, Op
from orchestrator.runtime.specs import Structure

if TYPE_CHECKING:
    from orchestrator.runtime.executor import Execution, Frame


async def run(execution: Execution, frame: Frame, op: Op, attempt: int, ledger: Ledger) -> Outcome:
    """The results of a structured op."""
    path = attempt_path(frame.path, op.id, attempt)
    try:
        return Outcome(tuple(await _RUNNERS[_structure(op).kind](execution, frame, op, path, ledger)))
    except BaseException:
        execution.sessions.abandon(f"{execution.run_id}/{path}")
        raise


def _structure(op: Op) -> Structure:
    assert isinstance(op.spec, Structure)
    return op.spec


def _captured(frame: Frame, body: Body) -> list[Any]:
    return [frame.v[slot] for slot in body.captures]


async def _choice(execution: Execution, frame: Frame, op: Op, path: str, ledger: Ledger) -> Sequence[Any]:
    body = op.bodies[_structure(op).select(frame.v[op.args[0]])]
    return await execution.run_body(body.region, _captured(frame, body), f"{path}.{body.name}/", ledger)


async def _loop(execution: Execution, frame: Frame, op: Op, path: str, ledger: Ledger) -> Sequence[Any]:
    state: Sequence[Any] = [frame.v[slot] for slot in op.args]
    cond, body = op.bodies
    cond_captured, body_captured = _captured(frame, cond), _captured(frame, body)
    if cond.region.is_inline and body.region.is_inline:
        spec = _structure(op)
        work = turns(
            cond.region.whole, body.region.whole, state, cond_captured, body_captured, spec.bound, spec.must_end
        )
        return await _in_slices(execution, work)
    call_soon = asyncio.get_running_loop().call_soon
    event_loop_turned: list[None] = []
    slice_ends = 0.0
    bound, must_end = _structure(op).bound, _structure(op).must_end
    for turn in range(bound + must_end):
        if perf_counter() > slice_ends:
            if turn and not event_loop_turned:
                begin_enclosing()
                await asyncio.sleep(0)
            event_loop_turned.clear()
            call_soon(event_loop_turned.append, None)
            slice_ends = perf_counter() + SLICE_S
        inputs = [*state, *cond_captured]
        if cond.region.is_inline:
            stop = execution.run_inline(cond.region, inputs)
        else:
            stop = await execution.run_frame(cond.region, inputs, f"{path}.cond[{turn}]/", ledger)
        if stop[0]:
            break
        if turn == bound:
            raise does_not_end(bound)
        inputs = [*state, *body_captured]
        if body.region.is_inline:
            state = execution.run_inline(body.region, inputs)
        else:
            state = await execution.run_frame(body.region, inputs, f"{path}[{turn}]/", ledger)
    return state


async def _in_slices(execution: Execution, work: Iterator[list[Any] | None]) -> list[Any]:
    """Run to its end what yields None whenever others should go on, and its result at last."""
    begin_enclosing()
    while True:
        result = execution.compute(next, work)
        if result is not None:
            return result  # type: ignore[no-any-return]
        await asyncio.sleep(0)


async def _map(execution: Execution, frame: Frame, op: Op, path: str, ledger: Ledger) -> Sequence[Any]:
    lists = [frame.v[slot] for slot in op.args]
    spec = _structure(op)
    length = map_length(lists, spec.bound)
    body = op.bodies[0]
    captured = _captured(frame, body)
    if body.region.is_inline:
        yielded = await _in_slices(execution, items_in_turn(body.region.whole, lists, captured))
        return [[each[position] for each in yielded] for position in range(op.count)]
    yielded = [()] * length
    done = 0

    def tell() -> None:
        if execution.listeners:
            execution.show(MapProgress(frame.path, op.id, done, length, time()))

    tell()

    async def work(indices: Iterator[int]) -> None:
        nonlocal done
        for index in indices:
            inputs = [*(items[index] for items in lists), *captured]
            yielded[index] = await execution.run_body(body.region, inputs, f"{path}[{index}]/", ledger)
            done += 1
            tell()

    indices = iter(range(length))
    async with Group() as group:
        for _ in range(min(length, spec.concurrency or length)):
            group.spawn(work(indices))
    return [[each[position] for each in yielded] for position in range(op.count)]


async def _race(execution: Execution, frame: Frame, op: Op, path: str, ledger: Ledger) -> Sequence[Any]:
    arms = [
        asyncio.ensure_future(execution.run_body(body.region, _captured(frame, body), f"{path}.{body.name}/", ledger))
        for body in op.bodies
    ]
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
    raise _race_failure(op, errors)


def _race_failure(op: Op, errors: list[BaseException]) -> RunError:
    for error in errors:
        if isinstance(error, BudgetError):
            return error
    return all_failed(op.id, errors, op.where)


_RUNNERS = {
    "branch": _choice, "switch": _choice, "loop": _loop, "map": _map, "race": _race, "attempt": attempted
}  # fmt: skip
