"""Running a program: dataflow without barriers.

An execution of a region is a :class:`Frame`. Entering it runs segment 0, which makes some suspending ops ready. The
coroutine that completes an op runs the segment behind it and goes on with the last op this makes ready; further ones
become tasks. So sequential code, such as an agent's loop, is one coroutine however many turns it takes, and there is
no scheduler: what is ready is decided by the completion that made it so.

Every result is in the journal, and the journal is durable, before anything that depends on it starts. A resumed run
executes the same program and takes what the journal knows from there.

Tests: ``tests/runtime/test_executor_properties.py`` compares random programs with a sequential interpreter and resumes
them from every prefix of their journal.
"""

from __future__ import annotations

import asyncio
import random
from asyncio import CancelledError, current_task, sleep, timeout
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from math import inf
from time import monotonic, time
from typing import Any, TypeVar

from orchestrator.errors import OrchError, RunError
from orchestrator.runtime import calls, control, failures
from orchestrator.runtime.budget import Ledger, Need
from orchestrator.runtime.correction import Correction
from orchestrator.runtime.events import (
    Event,
    Feed,
    FrameOpened,
    OpFailed,
    OpsDone,
    OpStarted,
    RunDone,
    RunFailed,
    RunStarted,
)
from orchestrator.runtime.group import Group
from orchestrator.runtime.journal.base import Journal
from orchestrator.runtime.journal.replay import State, replay
from orchestrator.runtime.kv.admission import enclosing
from orchestrator.runtime.observe import Listeners
from orchestrator.runtime.outcome import Outcome
from orchestrator.runtime.prefetching import Prefetches
from orchestrator.runtime.program import (
    NO_POLICY,
    Limits,
    Op,
    Program,
    Region,
    Structure,
    ToolCall,
    failing_op,
)
from orchestrator.runtime.retry import wait_s
from orchestrator.runtime.services import Services
from orchestrator.runtime.sessions import Sessions

T = TypeVar("T")


class CancelledWithinError(Exception):
    """Something an op awaited was cancelled, and not the op: a failure like any other."""


class Frame:
    """One execution of a region."""

    __slots__ = ("group", "known", "ledger", "path", "pending", "region", "v")

    def __init__(self, region: Region, v: list[Any], path: str, ledger: Ledger, known: dict[int, Any] | None) -> None:
        self.region = region
        self.v = v
        self.path = path
        self.ledger = ledger
        self.known = known
        self.pending = list(region.pending)
        self.group: Group | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Finished:
    """A run that succeeded. It has no long ``repr``, because asyncio asks for one whenever a runner's task ends."""

    value: Any
    events: list[Event]


class Execution:
    """One run of a program."""

    def __init__(
        self,
        program: Program,
        services: Services,
        journal: Journal,
        run_id: str,
        *,
        listeners: Sequence[Callable[[Feed], None]] = (),
        state: State | None = None,
        budget: Limits | None = None,
        tenant: str | None = None,
        seed: int | None = None,
    ) -> None:
        self.program = program
        self.services = services
        self.run_id = run_id
        self.tenant = tenant
        """On whose behalf; engines are shared fairly between tenants."""
        self.events: list[Event] = []
        self.warnings: dict[str, None] = {}
        """In order, without repetitions."""
        self.listeners = Listeners(listeners, self.warnings)
        self.simulated = False
        """Whether a simulated engine has answered."""
        self.earlier = state or State()
        """The part of the run before this one, if it is resumed."""
        self.arrival_s = state.started.at if state is not None and state.started is not None else time()
        self.ledger = Ledger(budget or program.budget or Limits())
        self.sessions = Sessions(self)
        self.prefetches = Prefetches(self)
        self.corrections: dict[str, Correction] = {}
        """By op: what a failed attempt leaves to the next one."""
        self._journal = journal
        self._state = state
        self._rng = random.Random(seed)
        if state is not None:
            usage = state.spending.usage
            self.ledger.charge(Need(usage.input_tokens + usage.output_tokens, state.spending.cost_usd))

    def emit(self, event: Event) -> None:
        """Journal an event and show it to whoever listens."""
        self.events.append(event)
        self._journal.append(self.run_id, event)
        self.listeners.tell(event)

    def show(self, feed: Feed) -> None:
        """Show something to whoever listens, without journaling it."""
        self.listeners.tell(feed)

    def barrier(self) -> Awaitable[None] | None:
        """What to wait for until everything emitted so far is durable; None if it is."""
        return self._journal.barrier(self.run_id)

    async def durable(self) -> None:
        """Return when everything emitted so far is durable."""
        waiting = self.barrier()
        if waiting is not None:
            await waiting

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something in the background that nothing in the run waits for."""
        return self.services.background.spawn(work)

    async def run(self, inputs: tuple[object, ...]) -> Any:
        """Run to the end and return the result; raises ``RunError``. ``inputs`` is ignored when resuming."""
        state = self._state
        if state is not None and state.done is not None:
            return state.done.value
        if state is not None and state.started is not None:
            inputs = state.started.inputs
        else:
            self.emit(RunStarted(self.run_id, self.program.name, self.program.fingerprint, inputs, self.arrival_s))
        try:
            try:
                with enclosing(self.run_id):
                    value = await self._within_seconds(inputs)
            finally:
                self.prefetches.close()
                self.sessions.close()
                self.services.engines.finish(self.run_id)
            self.emit(RunDone(value, time()))
        except CancelledError:
            self.emit(RunFailed("ORCH-R024", "the run was cancelled", None, None, time()))
            raise
        except Exception as error:
            failure = error if isinstance(error, OrchError) else failures.of_op(error, self.program.name, None)
            first = failure.diagnostics[0]
            self.emit(RunFailed(first.code, first.message, self._failed_op(), first.where, time()))
            await self.durable()
            raise
        await self.durable()
        return value

    def _failed_op(self) -> str | None:
        """The op whose failure came first, with its frame; None if an inline op or the run itself failed."""
        done = {(event.frame, event.op) for event in self.events if isinstance(event, OpsDone)}
        failed = (event for event in self.events if isinstance(event, OpFailed) and event.retry_in_s is None)
        first = next((event for event in failed if (event.frame, event.op) not in done), None)
        return None if first is None else first.frame + first.op

    async def _within_seconds(self, inputs: tuple[object, ...]) -> Any:
        seconds = self.ledger.limits.seconds
        if seconds is None:
            return (await self.run_frame(self.program.body, inputs, "", self.ledger))[0]
        left = seconds - self.earlier.active_s
        try:
            async with timeout(max(left, 0.0)) as scope:
                return (await self.run_frame(self.program.body, inputs, "", self.ledger))[0]
        except TimeoutError:
            if scope.expired():
                raise failures.out_of_time(self.program.name, seconds, None) from None
            raise

    async def run_body(self, region: Region, inputs: Sequence[object], path: str, ledger: Ledger) -> Sequence[Any]:
        """What a region inside an op yields."""
        if region.is_inline:
            return self.run_inline(region, inputs)
        return await self.run_frame(region, inputs, path, ledger)

    def run_inline(self, region: Region, inputs: Sequence[object]) -> Sequence[Any]:
        """What an inline region yields."""
        try:
            return region.whole(*inputs)
        except BaseException as error:
            if failures.passes_through(error):
                raise
            raise _inline_failure(error) from error

    async def run_frame(self, region: Region, inputs: Sequence[object], path: str, ledger: Ledger) -> Sequence[Any]:
        """Execute a region that may wait and return what it yields."""
        if path:
            self.emit(FrameOpened(path, time()))
        v = [*inputs, *[None] * region.blanks]
        frame = Frame(region, v, path, ledger, self._state.results.get(path) if self._state is not None else None)
        ready = self._advance(frame, 0)
        if region.sequential:
            while ready:
                (op,) = ready
                await self._run_op(frame, op)
                ready = self._advance(frame, op.after)
        elif ready:
            async with Group() as frame.group:
                await self._follow(frame, ready)
        return [v[slot] for slot in region.yields]

    async def _follow(self, frame: Frame, ready: list[Op]) -> None:
        """Start ready ops, in their order; stay with the first one and whatever follows from it."""
        assert frame.group is not None
        while ready:
            op, *others = ready
            for other in others:
                frame.group.spawn(self._follow(frame, [other]))
            await self._run_op(frame, op)
            ready = self._advance(frame, op.after)

    def _advance(self, frame: Frame, index: int) -> list[Op]:
        """Run a segment and every join it completes; the suspending ops that are ready now."""
        segments = frame.region.segments
        todo = [index]
        ready: list[Op] = []
        while todo:
            index = todo.pop()
            segment = segments[index]
            if segment.count:
                self._run_segment(frame, index)
            ready += segment.starts
            for join in segment.joins:
                frame.pending[join] -= 1
                if not frame.pending[join]:
                    todo.append(join)
        return ready

    def _run_segment(self, frame: Frame, index: int) -> None:
        segment = frame.region.segments[index]
        v, first, last = frame.v, segment.first, segment.first + segment.count
        known = None if frame.known is None else frame.known.get(first)
        if known is not None:
            v[first:last] = known
            return
        function = frame.region.segment_functions[index]
        assert function is not None
        try:
            function(v)
        except BaseException as error:
            if failures.passes_through(error):
                raise
            raise _inline_failure(error) from error
        self.emit(OpsDone(frame.path, first, tuple(v[first:last]), time()))

    async def _run_op(self, frame: Frame, op: Op) -> None:
        if isinstance(op.spec, calls.HINTS):
            calls.hint(self, frame, op)
            return
        attempt = 1
        if self._state is not None:
            if frame.known is not None and op.count and op.first in frame.known:
                frame.v[op.first : op.first + op.count] = frame.known[op.first]
                return
            attempt = self._next_attempt(self._state, frame, op)
        limits = op.policy.budget
        ledger = frame.ledger if limits is None else Ledger(limits, frame.ledger)
        began = monotonic()
        while True:
            self.emit(OpStarted(frame.path, op.id, attempt, time()))
            try:
                if op.policy is NO_POLICY:
                    outcome = await self._start(frame, op, attempt, ledger)
                else:
                    outcome = await self._start_within(frame, op, attempt, ledger, began)
                break
            except CancelledError as error:
                task = current_task()
                if task is None or task.cancelling():
                    raise
                failure: BaseException = CancelledWithinError(str(error))
            except BaseException as error:
                if failures.passes_through(error):
                    raise
                failure = failures.raised(error)
            try:
                attempt = await self._after_failure(frame, op, attempt, failure)
            except RunError as error:
                outcome = calls.caught(op, error)
                break
        if op.count:
            frame.v[op.first : op.first + op.count] = outcome.values
            self.emit(OpsDone(frame.path, op.first, outcome.values, time(), op.id, *outcome[1:]))

    def _start(
        self, frame: Frame, op: Op, attempt: int, ledger: Ledger, work_began: Callable[[], None] | None = None
    ) -> Coroutine[Any, Any, Outcome]:
        if isinstance(op.spec, Structure):
            if work_began is not None:
                work_began()
            return control.run(self, frame, op, attempt, ledger)
        return calls.run(self, frame, op, attempt, ledger, work_began=work_began)

    async def _start_within(self, frame: Frame, op: Op, attempt: int, ledger: Ledger, began: float) -> Outcome:
        """Start an attempt under its timeout, and under what is left of the seconds that all attempts may take.

        The timeout counts from when the work begins: waiting for a thread is not the op's time.
        """
        timeout_s, limits = op.policy.timeout_s, op.policy.budget
        left = inf if limits is None or limits.seconds is None else max(0.0, limits.seconds - (monotonic() - began))
        if timeout_s is None and left == inf:
            return await self._start(frame, op, attempt, ledger)
        now = asyncio.get_running_loop().time
        latest = now() + left
        try:
            async with timeout(None if left == inf else left) as scope:

                def work_began() -> None:
                    if timeout_s is not None:
                        scope.reschedule(min(now() + timeout_s, latest))

                return await self._start(frame, op, attempt, ledger, work_began)
        except TimeoutError:
            if not scope.expired():
                raise
            if limits is not None and limits.seconds is not None and (timeout_s is None or now() >= latest):
                raise failures.out_of_time(op.id, limits.seconds, op.where) from None
            assert timeout_s is not None
            raise failures.timed_out(op.id, timeout_s, op.where) from None

    def _next_attempt(self, state: State, frame: Frame, op: Op) -> int:
        """Where to go on with an op that has no result yet; raises ORCH-R020 for one that must not be repeated."""
        key = (frame.path, op.id)
        failed = state.failures.get(key, 0)
        once = isinstance(op.spec, ToolCall) and op.spec.effects == "once"
        if once and (key in state.unfinished or failed >= op.policy.attempts):
            raise failures.maybe_done(frame.path + op.id, op.where)
        return failed + 1 if failed < op.policy.attempts else 1

    async def _after_failure(self, frame: Frame, op: Op, attempt: int, error: BaseException) -> int:
        """Wait for the next attempt and return its number, or raise what the op failed with."""
        failure = failures.of_op(error, frame.path + op.id, op.where)
        wait = wait_s(op.policy, attempt, error, self._rng)
        self.emit(OpFailed(frame.path, op.id, attempt, failure.code, failure.message, wait, time()))
        if wait is None:
            if failure is error:
                raise error
            raise failure from error
        await sleep(wait)
        return attempt + 1


def _inline_failure(error: BaseException) -> RunError:
    op, cause = failing_op(error)
    return failures.of_op(cause, op.id if op else "a generated function", op.where if op else None)


async def execute(
    program: Program,
    inputs: tuple[object, ...],
    services: Services,
    journal: Journal,
    run_id: str,
    *,
    resume: bool = False,
    listeners: Sequence[Callable[[Feed], None]] = (),
    budget: Limits | None = None,
) -> Finished:
    """Run ``program`` once, in this process and event loop; every argument but the services is plain data.

    ``resume`` continues the run that the journal knows by ``run_id``. Raises ``RunError``.
    """
    state = replay(program, await journal.load(run_id)) if resume else None
    execution = Execution(program, services, journal, run_id, listeners=listeners, state=state, budget=budget)
    value = await execution.run(inputs)
    return Finished(value, execution.events)
