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
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import uuid4

from orchestrator.dsl.policy import Budget
from orchestrator.errors import OrchError, RunError
from orchestrator.runtime import failures
from orchestrator.runtime.engines.base import Engine
from orchestrator.runtime.events import Event, Feed, RunStarted, Shown
from orchestrator.runtime.executor import Execution
from orchestrator.runtime.journal.base import Journal
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.journal.replay import replay
from orchestrator.runtime.kv.durations import NAMESPACE, WINDOW, DurationModel, PauseStore
from orchestrator.runtime.once import UNSAID, lost, settle
from orchestrator.runtime.pricing import limits_of
from orchestrator.runtime.program import Limits, Program
from orchestrator.runtime.ray.shipping import ship_program
from orchestrator.runtime.ray.tools import RayTools
from orchestrator.runtime.result import RunResult, run_result
from orchestrator.runtime.run import checked_inputs
from orchestrator.runtime.services import Engines, Services
from orchestrator.runtime.telemetry.spans import recording_listener

if TYPE_CHECKING:
    from orchestrator.compiler import Compiled
    from orchestrator.runtime.observe import Subscription

FLUSH_S: Final = 0.05
"""Events that nobody waits for travel at least this often, for observers."""
MAX_RUNS: Final = 10_000
MOST_PAUSES: Final = 10_000
"""Kept for the driver until the next run ends."""


Observation = tuple[str, float, bool]
"""The key of a pause, its seconds, and whether it was cut short."""


class Taught:
    """The store of pauses inside the worker: begins with what the driver's held, and keeps what is to go there."""

    def __init__(self, known: Sequence[Observation]) -> None:
        self._known = known
        self._new: deque[Observation] = deque(maxlen=MOST_PAUSES)

    def recent(self, namespace: str, most_per_key: int) -> Sequence[Observation]:
        """What the driver's store held."""
        known, self._known = self._known, ()
        return known

    def append(self, namespace: str, key: str, value: float, *, censored: bool) -> None:
        """Keep an observation for the driver."""
        self._new.append((key, value, censored))

    def take(self) -> tuple[Observation, ...]:
        """Everything kept."""
        new = tuple(self._new)
        self._new.clear()
        return new


@dataclass(frozen=True, slots=True)
class Ended:
    """The last thing a worker says about a run: a value or an error."""

    value: Any = None
    error: OrchError | None = None
    simulated: bool = False
    warnings: tuple[str, ...] = ()
    pauses: tuple[Observation, ...] = ()
    """What the worker has learned of pauses since it last said so."""


class Outbox:
    """The journal of a run inside the worker: sends events to the driver, which keeps them."""

    def __init__(self, known: Sequence[Event]) -> None:
        self._known = known
        self._leaving: list[Feed] = []
        self._appended = self._confirmed = 0
        self._filled = asyncio.Event()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._flush: asyncio.TimerHandle | None = None

    def append(self, run_id: str, event: Event) -> None:
        """Queue an event; it leaves with the next group."""
        self._appended += 1
        self.show(event)

    def show(self, feed: Feed) -> None:
        """Queue something for the driver's observers."""
        self._leaving.append(feed)
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(FLUSH_S, self._filled.set)

    def barrier(self, run_id: str) -> Awaitable[None] | None:
        """What completes when the driver has confirmed everything appended so far."""
        if self._confirmed >= self._appended:
            return None
        confirmed = asyncio.get_running_loop().create_future()
        self._waiting.append((self._appended, confirmed))
        self._filled.set()
        return confirmed

    async def load(self, run_id: str) -> Sequence[Event]:
        """What was known when the run came here."""
        return self._known

    def confirm(self, count: int) -> None:
        """The driver's journal holds the first ``count`` events."""
        self._confirmed = max(self._confirmed, count)
        released = [future for needed, future in self._waiting if needed <= self._confirmed]
        self._waiting = [(needed, future) for needed, future in self._waiting if needed > self._confirmed]
        for future in released:
            if not future.done():
                future.set_result(None)

    def close(self) -> None:
        """Nothing more will be appended."""
        self._filled.set()

    async def filled(self) -> None:
        """Return when there is a reason to send what is queued."""
        await self._filled.wait()
        self._filled.clear()

    def take(self) -> list[Feed]:
        """Everything queued."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        group, self._leaving = self._leaving, []
        return group


class RegionHost:
    """What runs inside the actor."""

    def __init__(self, engines: Mapping[str, Engine], pauses: Sequence[Observation] = ()) -> None:
        self._tools = RayTools()
        self._taught = Taught(pauses)
        self._services = Services(Engines(engines), remote=self._tools, durations=DurationModel(self._taught))
        self._outboxes: dict[str, Outbox] = {}
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    async def run(
        self,
        run_id: str,
        program: Program,
        inputs: tuple[object, ...],
        known: Sequence[Event],
        *,
        budget: Limits | None,
        tenant: str | None,
    ) -> AsyncGenerator[list[Feed] | Ended, None]:
        """Groups of events, then how the run ended."""
        outbox = self._outboxes[run_id] = Outbox(known)
        state = replay(program, known) if known else None
        execution = Execution(program, self._services, outbox, run_id, state=state, budget=budget, tenant=tenant)
        execution.listeners.add(lambda feed: outbox.show(feed) if isinstance(feed, Shown) else None)
        task = self._tasks[run_id] = asyncio.create_task(execution.run(inputs))
        task.add_done_callback(lambda _: outbox.close())
        try:
            while not task.done():
                await outbox.filled()
                if group := outbox.take():
                    yield group
            if group := outbox.take():
                yield group
            yield replace(_ended(task, execution), pauses=self._taught.take())
        finally:
            task.cancel()
            del self._outboxes[run_id], self._tasks[run_id]

    async def confirm(self, run_id: str, count: int) -> None:
        """The driver's journal holds the first ``count`` events of a run."""
        if outbox := self._outboxes.get(run_id):
            outbox.confirm(count)

    async def cancel(self, run_id: str) -> None:
        """Cancel a run, if it still runs."""
        if task := self._tasks.get(run_id):
            task.cancel()


def _ended(task: asyncio.Task[Any], execution: Execution) -> Ended:
    warnings = tuple(execution.warnings)
    if task.cancelled():
        return Ended(None, RunError("ORCH-R024", "the run was cancelled"), execution.simulated, warnings)
    error = task.exception()
    if error is None:
        return Ended(task.result(), None, execution.simulated, warnings)
    coded = error if isinstance(error, OrchError) else failures.of_op(error, execution.program.name, None)
    return Ended(None, type(coded).collect(list(coded.diagnostics)), execution.simulated, warnings)


class RegionActor:
    """Runs programs in one Ray worker; used like a :class:`~orchestrator.runtime.run.Runtime`.

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
        import ray

        self.journal: Journal = journal if journal is not None else MemoryJournal()
        self.observers = list(observers)
        host = ray.remote(RegionHost).options(num_cpus=num_cpus, max_concurrency=MAX_RUNS)
        self._pauses = pauses
        known = [] if pauses is None else list(pauses.recent(NAMESPACE, WINDOW))
        self._engines = dict(engines or {})
        self._actor: Any = host.remote(self._engines, known)
        self._programs: dict[str, Any] = {}

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
        values = checked_inputs(compiled.params, inputs, compiled.defaults)
        return await self.run_program(
            compiled.program, values, run_id=run_id, budget=budget, tenant=tenant, observers=observers
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
    ) -> RunResult:
        """Run a program on inputs that are already checked."""
        return await self._run(
            program, run_id or uuid4().hex, inputs, budget=limits_of(budget), tenant=tenant, observers=observers
        )

    async def resume(
        self, compiled: Compiled, run_id: str, *, budget: Limits | Budget | str | None = None, tenant: str | None = None
    ) -> RunResult:
        """Go on with an interrupted run, wherever it ran before; see ``Runtime.resume``."""
        known = await self.journal.load(run_id)
        if not any(isinstance(event, RunStarted) for event in known):
            raise failures.unknown_run(run_id)
        return await self._run(compiled.program, run_id, (), known=known, budget=limits_of(budget), tenant=tenant)

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
        """Say what has become of a ``once`` tool of which nobody knew; see ``Runtime.settle``."""
        program = compiled.program
        await settle(program, self.journal, run_id, op, result=result, failed=failed, did_not_happen=did_not_happen)

    async def _run(
        self,
        program: Program,
        run_id: str,
        inputs: tuple[object, ...],
        *,
        known: Sequence[Event] = (),
        budget: Limits | None = None,
        tenant: str | None = None,
        observers: Sequence[Subscription] = (),
    ) -> RunResult:
        import ray

        began = perf_counter()
        events: list[Event] = []
        ended: Ended | None = None
        watching: list[Callable[[Feed], None]] = [each.push for each in (*self.observers, *observers)]
        spans = recording_listener(program, self._engines)
        if spans is not None:
            watching.append(spans)
        try:
            run = self._actor.run.options(num_returns="streaming")
            async for reference in run.remote(
                run_id, self._shipped(program), inputs, list(known), budget=budget, tenant=tenant
            ):
                sent = await reference
                if isinstance(sent, Ended):
                    ended = sent
                    self._learn(sent.pauses)
                    continue
                await self._keep(run_id, sent, events, watching)
        except asyncio.CancelledError:
            with suppress(ray.exceptions.RayError):
                self._actor.cancel.remote(run_id)
            raise
        except ray.exceptions.RayError as error:
            failure = failures.worker_died(program.name, run_id, error)
            for path, ran in lost(program, replay(program, [*known, *events])).items():
                failure.diagnostics += failures.unsettled(path, ran.reason, None).diagnostics
            raise failure from error
        assert ended is not None
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
            warnings=dict.fromkeys(ended.warnings),
            unsettled=lost(program, replay(program, [*known, *events])),
        )

    async def _keep(
        self, run_id: str, group: Sequence[Feed], events: list[Event], watching: Sequence[Callable[[Feed], None]]
    ) -> None:
        """Journal a group of events, show it, and tell the worker that it is safe."""
        for feed in group:
            if not isinstance(feed, Shown):
                events.append(feed)
                self.journal.append(run_id, feed)
            for show in watching:
                show(feed)
        waiting = self.journal.barrier(run_id)
        if waiting is not None:
            await waiting
        self._actor.confirm.remote(run_id, len(events))

    def _learn(self, pauses: Sequence[Observation]) -> None:
        if self._pauses is not None:
            for key, seconds, censored in pauses:
                self._pauses.append(NAMESPACE, key, seconds, censored=censored)

    def _shipped(self, program: Program) -> Any:
        """A reference to the program in Ray's object store; sent once however many runs there are."""
        import ray

        if program.fingerprint not in self._programs:
            ship_program(program)
            self._programs[program.fingerprint] = ray.put(program)
        return self._programs[program.fingerprint]

    async def close(self) -> None:
        """Stop the worker, and whatever runs in it; end the observers' feeds."""
        import ray

        ray.kill(self._actor)
        for observer in self.observers:
            observer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
