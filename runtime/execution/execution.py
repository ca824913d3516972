"""Running a program: dataflow without barriers.

An execution of a region is a :class:`Frame`. Entering it runs segment 0, which makes some suspending ops ready. The
coroutine that completes an op runs the segment behind it and goes on with the last op this makes ready; further ones
become tasks. So sequential code, such as an agent's loop, is one coroutine however many turns it takes, and there is
no scheduler: what is ready is decided by the completion that made it so.

Every result of what is outside is in the journal, and the journal is durable, before anything that depends on it
starts. A resumed run executes the same program, takes what the journal knows from there, and computes the rest again.

Tests: ``tests/runtime/execution/test_execution_properties.py`` compares random programs with a sequential interpreter
and resumes them from every prefix of their journal.
"""

from __future__ import annotations

import asyncio
import logging
import random
from asyncio import CancelledError, timeout
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from math import inf
from time import perf_counter, time
from typing import Any, Final, TypeVar

from orchestrator.cached import cached_property
from orchestrator.errors import JournalError, OrchError, RunError
from orchestrator.holding import Holding
from orchestrator.leaving import passes_through
from orchestrator.runtime import failures
from orchestrator.runtime.execution import calls
from orchestrator.runtime.execution.activity import Activity
from orchestrator.runtime.execution.at_most_once.once_within import Within
from orchestrator.runtime.execution.at_most_once.unsettled import Occurrences, name_in
from orchestrator.runtime.execution.attempt import unattended
from orchestrator.runtime.execution.group import Group
from orchestrator.runtime.execution.model_calls.budget import Ledger, Need
from orchestrator.runtime.execution.model_calls.correction import Correction
from orchestrator.runtime.execution.model_calls.prefetching import Prefetches
from orchestrator.runtime.execution.model_calls.pricing import require_prices
from orchestrator.runtime.execution.model_calls.sessions import Sessions
from orchestrator.runtime.execution.outcome import WORTH_SUPERSEDING, Outcome, Tally
from orchestrator.runtime.execution.perform import perform
from orchestrator.runtime.execution.starts import Starts
from orchestrator.runtime.execution.taking_over import TakingOver
from orchestrator.runtime.journal.base import Journal
from orchestrator.runtime.journal.events import (
    Computed,
    Decided,
    Event,
    Feed,
    OpCaught,
    OpDone,
    OpFailed,
    OpUnsettled,
    RunDone,
    RunFailed,
    RunResumed,
    RunStarted,
    attempt_path,
    occurrence,
)
from orchestrator.runtime.journal.recorder import Recorder
from orchestrator.runtime.journal.records import Spending, forget
from orchestrator.runtime.journal.replay import Known, Ran, State, apply
from orchestrator.runtime.journal.run_log import RunLog
from orchestrator.runtime.journal.value_digest import value_digest
from orchestrator.runtime.journal.values.tree import NotKeptError
from orchestrator.runtime.kv.admission import enclosing
from orchestrator.runtime.observe import Listeners
from orchestrator.runtime.program.kept import is_made_again
from orchestrator.runtime.program.program import Op, Program, Region, failing_op
from orchestrator.runtime.program.specs import NO_LIMITS, Limits
from orchestrator.runtime.result import RunResult, run_result
from orchestrator.runtime.services import Services
from orchestrator.runtime.tools.caller import caller
from orchestrator.runtime.tools.loop_watch import calls_tools
from orchestrator.runtime.tools.tasks import contain_tasks

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Frame:
    """One execution of a region."""

    __slots__ = ("group", "known", "ledger", "path", "pending", "records", "region", "v")

    def __init__(self, region: Region, v: list[Any], path: str, ledger: Ledger, known: Known | None) -> None:
        self.region = region
        self.v = v
        self.path = path
        self.ledger = ledger
        self.known = known
        self.pending = list(region.pending)
        self.group: Group | None = None
        self.records = 0
        """How many results the journal has of it, those inside of its ops included."""

    def given(self, op: Op) -> str:
        """The digest of what an op is given, with what it captures."""
        slots = [*op.args, *(slot for body in op.bodies for slot in body.captures)]
        return value_digest([self.v[slot] for slot in slots])[:16]


MOST_EVENTS: Final = 100_000
"""So many events of a run in a store are kept in memory, about 50 MB, before the older half is dropped."""


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
        within: Ledger | None = None,
        depth: int = 0,
        seed: int | None = None,
        started: RunStarted | None = None,
        taking_over: TakingOver | None = None,
    ) -> None:
        self.program = program
        self.depth = depth
        """How many runs wait for this one."""
        self.services = services
        self.run_id = run_id
        self.tenant = tenant
        """It says on whose behalf the run is; engines are shared fairly between tenants."""
        self.warnings: dict[str, None] = {}
        """The warnings of the run, in order and without repetitions."""
        self.listeners = Listeners(listeners, self.warnings)
        self.simulated = False
        """Whether a simulated engine has answered."""
        self.earlier = Spending() if state is None else replace(state.spending)
        """What the part of the run before this one used, as far as its own events say, and what was forgotten."""
        self.arrival_s = state.started.at if state is not None and state.started is not None else time()
        self.budget = budget
        """It takes the place of the budget that the run had before, or the workflow's own."""
        before = None if state is None else state.budget
        self.ledger = Ledger(budget or before or program.budget or NO_LIMITS, within)
        self.sessions = Sessions(self)
        self.prefetches = Prefetches(self)
        self.corrections: dict[tuple[str, str], Correction] = {} if state is None else dict(state.corrections)
        """It has, for each op, what a failed attempt leaves to the next one."""
        self.resumed = state
        """None for a run that is not resumed."""
        self.activity = Activity()
        self.once = Occurrences(program, state)
        """What has become of tools that must run at most once."""
        self._seed = seed
        self.taking_over = taking_over
        """What earlier versions of the workflow have done in this run."""
        self._started = started
        """The first event, where the journal has it already."""
        self.outer: Execution | None = None
        """The run whose tool waits for this one."""
        self.within: Within | None = None
        """Where that is; None for a run that no tool waits for."""
        self.bill: Callable[[Event], None] | None = None
        """Takes this run's events to the outer one, which journals what this one uses."""
        self.log = RunLog(journal, run_id)
        self.events = self.log.events
        """What has happened; of a run in a store the latest of it."""
        self._most_events = MOST_EVENTS if isinstance(journal, Recorder) else inf
        self.starts = Starts(self.log, services.background.spawn)

    @cached_property
    def rng(self) -> random.Random:
        """For the jitter of retries; most runs need none, and to seed one takes as long as a small op."""
        return random.Random(self._seed)

    @property
    def name(self) -> str:
        """What names the run, and one that a tool waits for in every attempt of that tool."""
        return self.run_id if self.within is None else self.within.name

    def emit(self, event: Event, *, seen: Listeners | None = None) -> None:
        """Journal an event and show it to whoever listens, but not to ``seen``, who know it already."""
        self.log.append(event)
        if len(self.events) > self._most_events:
            self._forget()
        if self.bill is not None:
            self.bill(event)
        if self.listeners.present:
            self.listeners.tell(event, seen)

    def _forget(self) -> None:
        """A run may go on for ever, and its store has all that happened."""
        forget(self.events, self.earlier)
        self._most_events = len(self.events) + MOST_EVENTS // 2
        self.warn("its result has a record of the latest of its ops alone; `orch runs show` has those of all")

    def note(self, event: Event) -> None:
        """Show an event that need not be journaled: what it says is found again without it."""
        self.log.note(event)
        if self.bill is not None:
            self.bill(event)
        if self.listeners.present:
            self.listeners.tell(event)

    def show(self, feed: Feed) -> None:
        """Show something to whoever listens, without journaling it."""
        self.listeners.tell(feed)

    def warn(self, said: str) -> None:
        """Have the result say so."""
        self.warnings[said] = None

    def barrier(self) -> Awaitable[None] | None:
        """What to wait for until everything emitted so far is durable; None if it is."""
        return self.log.barrier()

    async def durable(self) -> None:
        """Return when everything emitted so far is durable."""
        execution: Execution | None = self
        while execution is not None:
            waiting = execution.log.barrier()
            if waiting is not None:
                await waiting
            execution = execution.outer

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something in the background that nothing in the run waits for."""
        return self.services.background.spawn(work)

    async def result(self, inputs: tuple[object, ...]) -> RunResult:
        """:meth:`run`, and what there is to say of it."""
        start = perf_counter()
        value = await self.run(inputs)
        return run_result(
            self.program,
            self.run_id,
            value,
            events=self.events,
            spending=self.earlier,
            seconds=perf_counter() - start,
            simulated=self.simulated,
            warnings=self.warnings,
            unsettled=self.once.unsettled,
        )

    async def run(self, inputs: tuple[object, ...]) -> Any:
        """Run to the end and return the result; raises ``RunError``. ``inputs`` is ignored when resuming."""
        state = self.resumed
        if state is not None and state.done is not None:
            self.warnings.update(dict.fromkeys(self.once.said()))
            return state.done.value
        require_prices(
            self.program, self.ledger.limits, lambda spec: self.services.engines.pick(spec.engine, spec.model)[0]
        )
        if state is not None and state.started is not None:
            inputs = state.started.inputs
            self._go_on(state)
        else:
            self._begin(inputs)
        if "process" in self.program.places:
            self.services.processes.prepare()
        self.services.loop_watch.enter(self)
        contain_tasks(asyncio.get_running_loop())
        try:
            try:
                with enclosing(self.run_id), unattended(), Holding(caller, None):
                    value = await self._within_seconds(inputs)
                    if self.once.unsettled:
                        await self.once.check()
            finally:
                self.starts.close()
                self.services.loop_watch.leave(self)
                self.prefetches.close()
                self.sessions.close()
                self.services.engines.finish(self.run_id)
                # They know the run: while it knows them, all that it holds waits for the garbage collector.
                del self.sessions, self.prefetches
            self._end(RunDone(value, time()))
        except CancelledError:
            for said in self.once.said():
                _log.warning("run %s: %s", self.run_id, said)
            with suppress(JournalError):  # it is cancelled all the same
                self._end(self._cut())
            raise
        except Exception as error:
            if self.log.failure is not None:
                name_in(self.log.failure, self.program, self.once.unsettled)
                raise self.log.failure from error
            await self._fail(error)
            raise
        await self.durable()
        self.warnings.update(dict.fromkeys(self.once.said()))
        return value

    def _end(self, event: RunDone | RunFailed) -> None:
        """Journal how the run has ended."""
        if self.log.failure is None:
            self.activity.end_run()
        self.emit(event)

    async def _fail(self, error: Exception) -> None:
        """Journal what the run has failed with. Raises ``CancelledError`` where somebody has cancelled it meanwhile: a
        failure does not keep it alive."""
        if self.activity.cancelled is not None:
            self._end(self._cut())
            raise CancelledError from error
        failure = error if isinstance(error, OrchError) else failures.of_op(error, self.program.name, None)
        first = failure.diagnostics[0]
        try:
            self._end(RunFailed(first.code, first.message, self._failed_op(), first.where, time()))
            await self.durable()
        except JournalError as second:
            failure.diagnostics += second.diagnostics
        name_in(failure, self.program, self.once.unsettled)

    def _cut(self) -> RunFailed:
        """How a run ends whose task is cancelled."""
        said = (self.activity.cancelled or failures.interrupted()).diagnostics[0]
        return RunFailed(said.code, said.message, None, None, time())

    def _begin(self, inputs: tuple[object, ...]) -> None:
        if self._started is not None:
            self.note(self._started)
            return
        name, version = self.program.name, self.program.fingerprint
        self.emit(RunStarted(self.run_id, name, version, inputs, self.arrival_s, self.budget, self.tenant))

    def _go_on(self, state: State) -> None:
        """Count what the run has used before, model calls that it was interrupted in at their worst."""
        resumed = RunResumed(time(), self.budget, state.active_s)
        apply(state, resumed)
        self.emit(resumed)
        for spent in state.lost_calls(resumed.at):
            apply(state, spent)
            self.emit(spent)
        usage = state.spending.usage
        self.ledger.charge_own(Need(usage.input_tokens + usage.output_tokens, state.spending.cost_usd))

    def _failed_op(self) -> str | None:
        """The op whose failure came first and was not caught, with its frame; None if an inline op or the run itself
        failed."""
        done = {(event.frame, event.op) for event in self.events if isinstance(event, OpDone)}
        failed: list[OpUnsettled | OpFailed] = []
        for event in self.events:
            if isinstance(event, OpCaught):
                body = f"{attempt_path(event.frame, event.op, event.attempt)}."
                failed = [each for each in failed if not each.frame.startswith(body)]
            elif isinstance(event, OpUnsettled) or (
                isinstance(event, OpFailed) and event.began and event.retry_in_s is None
            ):
                failed.append(event)
        first = next((event for event in failed if (event.frame, event.op) not in done), None)
        return None if first is None else first.frame + first.op

    async def _within_seconds(self, inputs: tuple[object, ...]) -> Any:
        seconds = self.ledger.limits.seconds
        if seconds is None:
            return (await self.run_frame(self.program.body, inputs, "", self.ledger, Tally()))[0]
        left = seconds - (0.0 if self.resumed is None else self.resumed.active_s)
        try:
            async with timeout(max(left, 0.0)) as scope:
                return (await self.run_frame(self.program.body, inputs, "", self.ledger, Tally()))[0]
        except TimeoutError:
            if scope.expired():
                raise failures.out_of_time(self.program.name, seconds, None) from None
            raise

    async def run_body(
        self, region: Region, inputs: Sequence[object], path: str, ledger: Ledger, tally: Tally
    ) -> Sequence[Any]:
        """What a region inside an op yields."""
        if region.is_inline:
            return self.run_inline(region, inputs)
        return await self.run_frame(region, inputs, path, ledger, tally)

    def run_inline(self, region: Region, inputs: Sequence[object]) -> Sequence[Any]:
        """What an inline region yields."""
        result: Sequence[Any] = self.compute(region.whole, *inputs)
        return result

    @calls_tools
    def compute(self, function: Callable[..., Any], *args: object) -> Any:
        """What generated code returns; its failures are those of the inline ops in it."""
        try:
            return function(*args)
        except BaseException as error:
            if passes_through(error):
                raise
            raise _inline_failure(error) from error

    async def run_frame(
        self, region: Region, inputs: Sequence[object], path: str, ledger: Ledger, tally: Tally
    ) -> Sequence[Any]:
        """Execute a region that may wait and return what it yields; ``tally`` counts what the journal has of it."""
        known = None if self.resumed is None else self.resumed.frames.get(path)
        if known is not None and known.yielded is not None:
            tally.records += 1
            return known.yielded
        v = [*inputs, *[None] * region.blanks]
        frame = Frame(region, v, path, ledger, known)
        ready = self._advance(frame, 0)
        if region.sequential:
            while ready:
                (op,) = ready
                if (work := self._begun(frame, op)) is not None:
                    self._take(frame, op, await work)
                ready = self._advance(frame, op.after)
        elif ready:
            async with Group() as frame.group:
                await self._follow(frame, ready)
        tally.records += frame.records
        return [v[slot] for slot in region.yields]

    async def _follow(self, frame: Frame, ready: list[Op]) -> None:
        """Start ready ops, in their order and hints last; stay with the first one and whatever follows from it.

        A model call lets hints go first that are ready with it, and is ahead of a prefetch that was made for it.
        """
        assert frame.group is not None
        while ready:
            if len(ready) > 1:
                ready.sort(key=lambda op: isinstance(op.spec, calls.HINTS))
            op, *others = ready
            for other in others:
                frame.group.spawn(self._follow(frame, [other]))
            if (work := self._begun(frame, op)) is not None:
                self._take(frame, op, await work)
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

    @calls_tools
    def _run_segment(self, frame: Frame, index: int) -> None:
        segment = frame.region.segments[index]
        function = frame.region.segment_functions[index]
        assert function is not None
        try:
            function(frame.v)
        except BaseException as error:
            if passes_through(error):
                raise
            raise _inline_failure(error) from error
        if self.listeners.present:
            first, last = segment.first, segment.first + segment.count
            self.show(Computed(frame.path, first, tuple(frame.v[first:last]), time()))

    def _begun(self, frame: Frame, op: Op) -> Coroutine[Any, Any, Outcome] | None:
        """What performs an op; None for a hint, which is given now, and for what the journal knows."""
        if isinstance(op.spec, calls.HINTS):
            calls.hint(self, frame, op)
            return None
        if frame.known is not None and (done := frame.known.done.get(op.id)) is not None:
            self._recall(frame, op, done)
            return None
        if self.activity.halted and not op.bodies:
            return _never()
        if self.taking_over is not None and not op.bodies and self._takes_over(self.taking_over, frame, op):
            return None
        return perform(self, frame, op)

    def _takes_over(self, earlier: TakingOver, frame: Frame, op: Op) -> bool:
        """Whether an op has what it gave under an earlier version of the workflow."""
        digest = frame.given(op)
        found = earlier.result(frame.path, frame.region, op, digest)
        if found is None:
            return False
        if isinstance(found, Decided):
            self.emit(found._replace(at=time()))
            return False
        frame.v[op.first : op.first + op.count] = found
        frame.records += 1
        self.emit(OpDone(frame.path, op.id, found, time(), inputs=digest))
        if op.is_once:
            self.once.done(occurrence(frame.path, op.id), Ran(frame.path, op.id, "done"))
        return True

    def _recall(self, frame: Frame, op: Op, done: OpDone) -> None:
        """Take a result from the journal. Raises ORCH-R100 where it is one of other inputs."""
        if done.inputs is not None and done.inputs != frame.given(op):
            raise failures.other_inputs(frame.path + op.id, self.run_id, op.where)
        frame.v[op.first : op.first + op.count] = done.values
        frame.records += 1

    def _take(self, frame: Frame, op: Op, outcome: Outcome) -> None:
        values, usage, cost_usd, finish, inside = outcome
        if op.count:
            frame.v[op.first : op.first + op.count] = values
        is_found_again = not op.is_race and op.policy.budget is None  # or its seconds would not end
        if inside is not None and inside < WORTH_SUPERSEDING and is_found_again:
            frame.records += inside
            self.note(OpDone(frame.path, op.id, values, time()))
            return
        at = time()
        took_s = self.starts.take(frame.path, op.id, at)
        done = OpDone(frame.path, op.id, values, at, usage, cost_usd, finish, frame.given(op), took_s)
        try:
            self.emit(done)
        except NotKeptError as error:
            if not is_made_again(op, frame.region.types[op.first : op.first + op.count]):
                raise failures.not_kept(f"what `{op.id}` gave", error, op.where) from error
            self.note(done)  # it is made again
        else:
            frame.records += 1


async def _never() -> Outcome:
    """What an op gives that must not begin: its run is cancelled instead."""
    outcome: Outcome = await asyncio.get_running_loop().create_future()
    return outcome


def _inline_failure(error: BaseException) -> RunError:
    op, cause = failing_op(error)
    return failures.of_op(cause, op.id if op else "a generated function", op.where if op else None)
