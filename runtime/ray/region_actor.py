"""Whole programs in one Ray worker: ops that depend on each other stay in one process, and no op pays a hop.

The worker executes the program with the executor that runs everywhere; the journal stays with whoever started the run.
Events travel in groups: what has been appended goes out as soon as an op waits for it to be durable, together with
whatever else is there, and the driver confirms when its journal holds it. So a thousand inline steps cost one hop, two
hundred loops that wait at once share theirs, and a worker that dies loses nothing that was visible outside: the run
goes on elsewhere from the driver's journal.

Pauses of conversations are timed where the run is, and forecast there from what the driver's store held when the actor
was made and what all runs have taught in the worker since. What a run has taught travels back with its end, into that
store: it lies on the driver's disk, and nothing waits for it.

>>> async with RegionActor({"main": engine}) as actor:                                  # doctest: +SKIP
...     result = await actor.run(compile(answer), {"question": "How many?"})
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter, time
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import uuid4
from weakref import ref

from orchestrator.dsl.declared.policy import Budget
from orchestrator.errors import JournalError
from orchestrator.runtime import failures
from orchestrator.runtime.engines.base import Engine
from orchestrator.runtime.execution.at_most_once.once import UNSAID, settle
from orchestrator.runtime.execution.at_most_once.unsettled import lost, name_in
from orchestrator.runtime.execution.model_calls.pricing import limits_of
from orchestrator.runtime.inputs import inputs_apart
from orchestrator.runtime.journal.base import Journal
from orchestrator.runtime.journal.events import Event, Feed, RunDone, RunFailed, Shown
from orchestrator.runtime.journal.lines.secrets import given
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.journal.replay import replay
from orchestrator.runtime.journal.run_log import RunLog
from orchestrator.runtime.kv.durations import NAMESPACE, WINDOW, PauseStore
from orchestrator.runtime.observe import Listeners, end_feeds
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import Limits
from orchestrator.runtime.ray.region_host import Ended, Observation, PlannedFor, RegionHost
from orchestrator.runtime.ray.shipping import ship_program
from orchestrator.runtime.result import RunResult, run_result
from orchestrator.runtime.run_ids import RunIds
from orchestrator.runtime.telemetry.spans import recording_listener
from orchestrator.runtime.tools.threads import ToolThreads

if TYPE_CHECKING:
    from orchestrator.compiler import Compiled
    from orchestrator.runtime.observe import Subscription

MAX_RUNS: Final = 10_000
CANCEL_S: Final = 5.0
"""How long a cancelled run may take to say how it ended."""


@dataclass(frozen=True, slots=True)
class _Order:
    """A run for the worker."""

    run_id: str
    program: Any
    """Its reference in Ray's object store."""
    inputs: tuple[object, ...]
    known: list[Event]
    planned_for: PlannedFor | None
    budget: Limits | None
    tenant: str | None


class RegionActor:
    """Runs programs in one Ray worker; used like a :class:`~orchestrator.runtime.runner.Runner`.

    Needs a connected Ray (:func:`orchestrator.runtime.ray.session.connect`). ``engines`` travel to the worker as they
    are: a vLLM engine must have been started, because its actor is what the worker talks to; others start there.
    Nobody is there to ask: a workflow that asks a human fails with ORCH-R030. ``pauses`` is read now, added to when
    runs end, and closed by whoever opened it; without it, what is learned lasts as long as the worker.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine] | None = None,
        *,
        journal: Journal | None = None,
        observers: Sequence[Subscription] = (),
        pauses: PauseStore | None = None,
        num_cpus: float = 1,
    ) -> None:
        self.journal: Journal = journal if journal is not None else MemoryJournal()
        self.observers = list(observers)
        self._ids = RunIds(self.journal)
        self._pauses = pauses
        self._checks = ToolThreads()
        self._num_cpus = num_cpus
        self._engines = dict(engines or {})
        self._programs: dict[int, tuple[ref[Program], Any]] = {}
        self._actor: Any = self._started()

    def _started(self) -> Any:
        """A new worker."""
        import ray

        host = ray.remote(RegionHost).options(num_cpus=self._num_cpus, max_concurrency=MAX_RUNS)
        known = [] if self._pauses is None else list(self._pauses.recent(NAMESPACE, WINDOW))
        return host.remote(self._engines, known)

    def _died(self, actor: Any) -> None:
        """Have a new worker for whoever comes next, however many runs notice that one has died."""
        if self._actor is actor:
            self._actor = self._started()

    async def run(
        self,
        compiled: Compiled,
        inputs: Mapping[str, object],
        *,
        run_id: str | None = None,
        budget: Limits | Budget | str | None = None,
        tenant: str | None = None,
        observers: Sequence[Subscription] = (),
    ) -> RunResult:
        """Run a compiled workflow. Raises ``RunError``; ORCH-R025 when the worker dies."""
        values = await inputs_apart(self._checks, compiled, inputs, tenant=tenant)
        return await self.run_program(
            compiled.program,
            values,
            run_id=run_id,
            budget=budget,
            tenant=tenant,
            observers=observers,
            planned_for=_planned_for(compiled),
        )

    async def run_program(
        self,
        program: Program,
        inputs: tuple[object, ...],
        *,
        run_id: str | None = None,
        budget: Limits | Budget | str | None = None,
        tenant: str | None = None,
        observers: Sequence[Subscription] = (),
        planned_for: PlannedFor | None = None,
    ) -> RunResult:
        """Run a program on inputs that are already checked.

        ``planned_for`` is what workflows that its tools call are planned for: by default the worker's machine.
        """
        new_id = run_id or uuid4().hex
        with self._ids.taken(new_id):
            if run_id:
                await self._ids.check_new(run_id)
            return await self._run(
                program,
                new_id,
                inputs,
                planned_for=planned_for,
                budget=limits_of(budget),
                tenant=tenant,
                observers=observers,
            )

    async def resume(
        self,
        compiled: Compiled,
        run_id: str,
        *,
        budget: Limits | Budget | str | None = None,
        tenant: str | None = None,
        secrets: Mapping[str, object] = MappingProxyType({}),
    ) -> RunResult:
        """Go on with an interrupted run, wherever it ran before; see ``Runner.resume``."""
        with self._ids.taken(run_id), given(secrets):
            known = await RunLog(self.journal, run_id).load()
            if replay(compiled.program, known).started is None:
                raise failures.unknown_run(run_id)
            return await self._run(
                compiled.program,
                run_id,
                (),
                known=known,
                planned_for=_planned_for(compiled),
                budget=limits_of(budget),
                tenant=tenant,
            )

    async def settle(
        self,
        compiled: Compiled,
        run_id: str,
        op: str,
        *,
        result: object = UNSAID,
        failed: str | None = None,
        did_not_happen: bool = False,
    ) -> None:
        """Say what has become of a ``once`` tool of which nobody knew; see ``Runner.settle``."""
        program = compiled.program
        with self._ids.taken(run_id):
            events = await RunLog(self.journal, run_id).load()
            await settle(
                program,
                self.journal,
                run_id,
                op,
                events=events,
                result=result,
                failed=failed,
                did_not_happen=did_not_happen,
            )

    async def _run(
        self,
        program: Program,
        run_id: str,
        inputs: tuple[object, ...],
        *,
        known: Sequence[Event] = (),
        planned_for: PlannedFor | None = None,
        budget: Limits | None = None,
        tenant: str | None = None,
        observers: Sequence[Subscription] = (),
    ) -> RunResult:
        import ray

        began = perf_counter()
        events: list[Event] = []
        warnings: dict[str, None] = {}
        watching = Listeners([each.push for each in (*self.observers, *observers)], warnings)
        spans = recording_listener(program, self._engines, run_id)
        if spans is not None:
            watching.add(spans)
        order = _Order(run_id, self._shipped(program), inputs, list(known), planned_for, budget, tenant)
        following = asyncio.ensure_future(self._follow(order, events, watching))
        try:
            ended = await asyncio.shield(following)
        except asyncio.CancelledError:
            await self._cancelled(run_id, following, events)
            raise
        except ray.exceptions.RayError as error:
            failure = failures.worker_died(program.name, run_id, error)
            name_in(failure, program, lost(program, replay(program, [*known, *events])))
            raise failure from error
        warnings.update(dict.fromkeys(ended.warnings))
        if ended.error is not None:
            raise ended.error
        return run_result(
            program,
            run_id,
            ended.value,
            events=events,
            spending=replay(program, known).spending,
            seconds=perf_counter() - began,
            simulated=ended.simulated,
            warnings=warnings,
            unsettled=lost(program, replay(program, [*known, *events])),
        )

    async def _follow(self, order: _Order, events: list[Event], watching: Listeners) -> Ended:
        """Have the worker execute a run, and keep what it says; the last thing that it says.

        A worker that has died before it said anything has done nothing that anybody could see: the run begins again, in
        a new one, and once only. Raises ``RayError`` when the worker dies.
        """
        import ray

        log = RunLog(self.journal, order.run_id)
        for is_last in (False, True):
            actor = self._actor
            heard = False
            try:
                run = actor.run.options(num_returns="streaming")
                async for reference in run.remote(
                    order.run_id,
                    order.program,
                    order.inputs,
                    order.known,
                    planned_for=order.planned_for,
                    budget=order.budget,
                    tenant=order.tenant,
                ):
                    sent = await reference
                    heard = True
                    if isinstance(sent, Ended):
                        self._learn(sent.pauses)
                        return sent
                    await self._keep(actor, log, sent, events, watching)
            except ray.exceptions.RayActorError:
                self._died(actor)
                if heard or is_last:
                    raise
        raise AssertionError("a worker says how a run has ended, or dies")

    async def _cancelled(self, run_id: str, following: asyncio.Future[Ended], events: list[Event]) -> None:
        """Stop a run in the worker, and have in the journal how it ended there."""
        import ray

        try:
            with suppress(ray.exceptions.RayError):
                self._actor.cancel.remote(run_id)
            await asyncio.wait([following], timeout=CANCEL_S)
        finally:
            if not following.cancel() and not following.cancelled():
                following.exception()  # how it ended is told by its events
            if not any(isinstance(event, (RunDone, RunFailed)) for event in events):
                with suppress(JournalError):
                    RunLog(self.journal, run_id).append(
                        RunFailed("ORCH-R024", "the run was cancelled", None, None, time())
                    )

    async def _keep(
        self, actor: Any, log: RunLog, group: Sequence[Feed], events: list[Event], watching: Listeners
    ) -> None:
        """Journal a group of events, show it, and tell the worker that it is safe. Raises ``JournalError``."""
        try:
            for feed in group:
                if not isinstance(feed, Shown):
                    log.append(feed)
                    events.append(feed)
                watching.tell(feed)
            await log.durable()
        except JournalError:
            actor.cancel.remote(log.run_id)
            raise
        actor.confirm.remote(log.run_id, len(events))

    def _learn(self, pauses: Sequence[Observation]) -> None:
        if self._pauses is not None:
            for key, seconds, censored in pauses:
                self._pauses.append(NAMESPACE, key, seconds, censored=censored)

    def _shipped(self, program: Program) -> Any:
        """A reference to the program in Ray's object store; sent once however many runs there are."""
        import ray

        key = id(program)
        known = self._programs.get(key)
        if known is None or known[0]() is not program:  # a fingerprint says nothing of timeouts, nor of what tools hold
            ship_program(program)
            known = self._programs[key] = ref(program, lambda _: self._programs.pop(key, None)), ray.put(program)
        return known[1]

    async def close(self) -> None:
        """Stop the worker, and whatever runs in it; end the observers' feeds."""
        import ray

        ray.kill(self._actor)
        self._checks.close()
        end_feeds(self.observers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _planned_for(compiled: Compiled) -> PlannedFor:
    return compiled.plan.cluster, compiled.plan.objective
