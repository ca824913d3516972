"""What runs inside the worker of :mod:`.region_actor`: programs, whose events go to the driver's journal."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from orchestrator.dsl.workflow import running_with
from orchestrator.errors import OrchError, RunError
from orchestrator.planner.cluster import Cluster
from orchestrator.planner.plan import Objective
from orchestrator.runtime import failures
from orchestrator.runtime.engines.base import Engine
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.nested import Within
from orchestrator.runtime.journal.events import Event, Feed, Shown
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.journal.replay import replay
from orchestrator.runtime.kv.durations import DurationModel
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import Limits
from orchestrator.runtime.ray.tools import RayTools
from orchestrator.runtime.services import Engines, Services

FLUSH_S: Final = 0.05
"""Events that nobody waits for travel at least this often, for observers."""
MOST_PAUSES: Final = 10_000
"""Kept for the driver until the next run ends."""


PlannedFor = tuple[Cluster, Objective]
"""What a workflow is planned for."""
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
        planned_for: PlannedFor | None,
        budget: Limits | None,
        tenant: str | None,
    ) -> AsyncGenerator[list[Feed] | Ended, None]:
        """Groups of events, then how the run ended.

        ``planned_for`` is what workflows that its tools call are planned for.
        """
        outbox = self._outboxes[run_id] = Outbox(known)
        state = replay(program, known) if known else None
        execution = Execution(program, self._services, outbox, run_id, state=state, budget=budget, tenant=tenant)
        execution.listeners.add(lambda feed: outbox.show(feed) if isinstance(feed, Shown) else None)
        with running_with(self._within(planned_for)):
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

    def _within(self, planned_for: PlannedFor | None) -> Within:
        from orchestrator.compiler import compile as compile_workflow

        def begin(program: Program, run_id: str, **options: Any) -> Execution:
            return Execution(program, self._services, MemoryJournal(), run_id, **options)

        return Within(
            begin,
            lambda workflow: compile_workflow(workflow, *(planned_for or ())),
            asyncio.get_running_loop(),
        )

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
