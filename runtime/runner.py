"""Running compiled workflows: the runtime and what a run returns.

>>> async with Runner({"main": engine}) as runtime:                                    # doctest: +SKIP
...     result = await runtime.run(compile(answer), {"question": "How many?"})
>>> result.value, result.usage.output_tokens                                            # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from time import time
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from orchestrator.dsl.declared.policy import Budget
from orchestrator.dsl.workflow import running_with
from orchestrator.errors import OrchError, RunError
from orchestrator.runtime.coordinator.attended import Attended
from orchestrator.runtime.coordinator.owner import Owner
from orchestrator.runtime.engines.base import Engine
from orchestrator.runtime.execution.at_most_once.once import UNSAID, settle
from orchestrator.runtime.execution.at_most_once.once_within import refused
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.lifecycle import result_of
from orchestrator.runtime.execution.model_calls.pricing import limits_of
from orchestrator.runtime.execution.nested import Within, depth_here
from orchestrator.runtime.execution.taking_over import TakingOver
from orchestrator.runtime.failures import elsewhere, not_here, run_over, run_under_way, unknown_run
from orchestrator.runtime.human import Human, Nobody
from orchestrator.runtime.inputs import inputs_apart
from orchestrator.runtime.journal.artifacts.base import Artifacts
from orchestrator.runtime.journal.base import Journal
from orchestrator.runtime.journal.events import Decision, Event, Feed, RunStarted
from orchestrator.runtime.journal.lines.secrets import given
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.journal.reading.described import described
from orchestrator.runtime.journal.recorder import Recorder
from orchestrator.runtime.journal.replay import replay
from orchestrator.runtime.journal.run_log import RunLog
from orchestrator.runtime.journal.stores.base import LEASE_S, Change, Store
from orchestrator.runtime.journal.stores.failed import told
from orchestrator.runtime.journal.versions.version_change import History
from orchestrator.runtime.kv.durations import DurationModel
from orchestrator.runtime.observe import Subscription, end_feeds
from orchestrator.runtime.program.kept import require_kept
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import Limits
from orchestrator.runtime.result import RunResult
from orchestrator.runtime.run_ids import RunIds
from orchestrator.runtime.services import Engines, Remote, Services
from orchestrator.runtime.telemetry.spans import recording_listener
from orchestrator.runtime.tools.worker import MAY_RUN_AGAIN, WORKER_VARIABLE

if TYPE_CHECKING:
    from orchestrator.compiler import Compiled
    from orchestrator.dsl.workflow import Workflow


class Runner:
    """Engines, a journal and observers that runs share. Engines start when first needed and close with the runtime.

    Its runs may follow each other in different event loops, but not overlap there (ORCH-R045).

    ``store`` keeps runs beyond this process (:mod:`orchestrator.runtime.journal.stores`), and is closed by whoever
    opened it; without one they are kept in ``journal``, by default in memory. ``artifacts`` keeps their large values
    (:mod:`orchestrator.runtime.journal.artifacts`); without it those stand in the store.

    ``ray`` runs the tools that a plan places on Ray (:mod:`orchestrator.runtime.ray`); ``human`` answers ``ask``;
    ``durations`` learns how long conversations pause for tools, by default for as long as the runtime lives; with
    ``DurationModel(LearningStore(path))``, which the caller closes after the runtime, beyond it. ``sleep`` waits for
    the seconds of a ``sleep()``.

    A run in a store that only waits for answers, with nobody at hand, or for sleeps of more than ``longest_sleep_s``,
    is given back to the store: ``SuspendedError`` ORCH-R034. ``lease_s`` is how long the store waits for this process
    when it is silent, before others go on with its runs.
    """

    def __init__(
        self,
        engines: Mapping[str, Engine] | None = None,
        *,
        ray: Remote | None = None,
        journal: Journal | None = None,
        store: Store | None = None,
        artifacts: Artifacts | None = None,
        observers: Sequence[Subscription] = (),
        human: Human | None = None,
        durations: DurationModel | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        longest_sleep_s: float = inf,
        lease_s: float = LEASE_S,
    ) -> None:
        self.engines = Engines(engines or {})
        self.journal: Journal = journal if journal is not None else MemoryJournal()
        self.observers = list(observers)
        self._services = Services(
            self.engines,
            human or Nobody(),
            ray,
            sleep=sleep,
            durations=durations if durations is not None else DurationModel(),
        )
        self._ids = RunIds(self.journal)
        self._owner = None if store is None else Owner(store, artifacts=artifacts, lease_s=lease_s)
        self._longest_sleep_s = longest_sleep_s
        self._described: set[str] = set()
        """Versions of workflows that the store has a description of."""
        self._under_way = 0
        self._loop: asyncio.AbstractEventLoop
        """Where the latest run was begun, once there was one."""

    @property
    def owner(self) -> Owner | None:
        """Its hold on runs of the store; None without one."""
        return self._owner

    async def run(
        self,
        compiled: Compiled,
        inputs: Mapping[str, object],
        *,
        run_id: str | None = None,
        budget: Limits | Budget | str | None = None,
        tenant: str | None = None,
        observers: Sequence[Subscription] = (),
        human: Human | None = None,
        key: str | None = None,
    ) -> RunResult:
        """Run a compiled workflow; ``budget`` (``"400k tokens"``) replaces the workflow's own, ``observers`` see this
        run only, and ``human`` answers it instead of the runtime's.

        ``tenant`` says on whose behalf: tenants whose runs wait for an engine get fair shares of it. A ``run_id`` is a
        new one, and by default made up. In a store, a second run of the same tenant and workflow with the same ``key``
        is the first one: what that gave, or what it gives when it has gone on.

        Raises ``RunError``: ORCH-R029 for the id of a run that there is already; in a store also ORCH-R022 for a key
        whose run is executed elsewhere and ORCH-R033 for one whose run somebody has cancelled, and ``CompileError``
        ORCH-C092 for values that could not be written down.
        """
        values = await inputs_apart(self._services.checks, compiled, inputs, tenant=tenant)
        await self._describe(compiled)
        with running_with(self._within(compiled, human)):
            return await self.run_program(
                compiled.program,
                values,
                run_id=run_id,
                budget=budget,
                tenant=tenant,
                observers=observers,
                human=human,
                key=key,
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
        human: Human | None = None,
        key: str | None = None,
    ) -> RunResult:
        """Run a program on inputs that are already checked."""
        new_id = run_id or uuid4().hex
        with self._ids.taken(new_id):
            if run_id:
                await self._ids.check_new(run_id)
            depth = depth_here(program.name)  # its tools get no thread that a tool which waits for it may have
            options: dict[str, Any] = {"budget": limits_of(budget), "tenant": tenant, "depth": depth, "human": human}
            if self._owner is None:
                return await self._run(self._execution(program, new_id, observers, **options), inputs)
            require_kept(program)
            started = RunStarted(
                new_id, program.name, program.fingerprint, inputs, time(), options["budget"], tenant
            )  # fmt: skip
            begun = await self._owner.begin(program, started, key)
            if isinstance(begun, Recorder):
                execution = self._execution(program, new_id, observers, begun, started=started, **options)
                return await self._run(execution, inputs)
        return await self.resume_program(program, begun.run_id, budget=budget, tenant=tenant, observers=observers)

    async def _describe(self, compiled: Compiled) -> None:
        """Keep what says to people what the keys in the logs of this version are."""
        version = compiled.program.fingerprint
        if self._owner is not None and version not in self._described:
            with told(self._owner.store.url):
                await self._owner.store.put_program(version, described(compiled.program, compiled.plan))
            self._described.add(version)

    async def resume(
        self,
        compiled: Compiled,
        run_id: str,
        *,
        budget: Limits | Budget | str | None = None,
        tenant: str | None = None,
        observers: Sequence[Subscription] = (),
        secrets: Mapping[str, object] = MappingProxyType({}),
        decisions: Mapping[str, Decision] = MappingProxyType({}),
    ) -> RunResult:
        """Go on with an interrupted run: nothing that completed is executed again.

        A run in a store goes on when its workflow has changed, too: what is as it was is not made again, and neither is
        anything that has written something. Where that does not fit any more ``decisions`` says what is to be done, by
        the path or the id of the op: ``"keep"`` what it gave, or do it ``"again"``.

        ``secrets`` has those among the inputs by their place (``"account.key"``), which no journal keeps; the
        environment has the others (``ORCH_SECRET_ACCOUNT_KEY``).

        Nor is a ``once`` tool that raised an exception, which is its outcome, unless it has a ``key`` or its ``check``
        says that it did not happen.
        Raises ``RunError``: ORCH-R020 when a ``once`` tool may have run, ORCH-R021 when the workflow of a run in memory
        has changed, ORCH-R022 while the run is under way, ORCH-R033 for one that somebody has cancelled, ORCH-R104 for
        a decision that is missing.
        """
        await self._describe(compiled)
        with running_with(self._within(compiled)), given(secrets):
            return await self.resume_program(
                compiled.program, run_id, budget=budget, tenant=tenant, observers=observers, decisions=decisions
            )

    async def resume_program(
        self,
        program: Program,
        run_id: str,
        *,
        budget: Limits | Budget | str | None = None,
        tenant: str | None = None,
        observers: Sequence[Subscription] = (),
        decisions: Mapping[str, Decision] = MappingProxyType({}),
    ) -> RunResult:
        """:meth:`resume`, for a program."""
        with self._ids.taken(run_id):
            log, events, history = await self._taken(program, run_id)
            try:
                state = replay(program, events)
                if state.started is None:
                    raise unknown_run(run_id)
                options: dict[str, Any] = {"budget": limits_of(budget), "tenant": tenant or state.started.tenant}
                if history is not None:
                    options["taking_over"] = TakingOver(program, history, state, run_id, decisions)
                execution = self._execution(program, run_id, observers, log, state=state, **options)
            except BaseException as error:
                if self._owner is not None:
                    await self._owner.give_back_for(run_id, error)
                raise
            result = await self._run(execution, ())
            if state.done is not None and self._owner is not None:
                # Whatever it was before: whoever read it last may have died meanwhile, which makes a run ready.
                await self._owner.give_back(run_id, Change("done"))
            return result

    async def _taken(
        self, program: Program, run_id: str, *, as_it_is: bool = False
    ) -> tuple[Journal, Sequence[Event], History | None]:
        """The log of a run that is to be executed here, what it says, and what earlier versions have done."""
        if self._owner is None:
            return self.journal, await RunLog(self.journal, run_id).load(), None
        taken = await self._owner.take(program, run_id, as_it_is=as_it_is)
        if taken is None:
            with told(self._owner.store.url):
                head = await self._owner.store.head(run_id)
            if head is None:
                raise unknown_run(run_id)
            raise run_over(head) if head.status == "cancelled" else run_under_way(run_id)
        return taken.log, taken.events, taken.history

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
        """Say what has become of a ``once`` tool of which nobody knew, or that failed, so that the run can be resumed.

        ``op`` is its path, as the error and ``RunResult.unsettled`` give it, or its id where that is unambiguous. It
        has happened with ``result``, has ``failed`` and why, or ``did_not_happen``, so that resuming the run starts it.
        Raises ``RunError`` ORCH-R026 where there is no such op, or the result is none of its type.
        """
        program = compiled.program
        with self._ids.taken(run_id):
            log, events, _ = await self._taken(program, run_id, as_it_is=True)
            try:
                await settle(
                    program, log, run_id, op, events=events, result=result, failed=failed, did_not_happen=did_not_happen
                )
            finally:
                if self._owner is not None:
                    await self._owner.give_back(run_id)

    def _within(self, compiled: Compiled, human: Human | None = None) -> Within:
        """Runs the workflows that its tools call, planned for the same cluster."""
        begin = partial(self._execution, human=human)
        return Within(begin, partial(_compiled_like, compiled), asyncio.get_running_loop())

    def _execution(
        self,
        program: Program,
        run_id: str,
        observers: Sequence[Subscription] = (),
        journal: Journal | None = None,
        *,
        human: Human | None = None,
        **options: Any,
    ) -> Execution:
        listeners: list[Callable[[Feed], None]] = [each.push for each in (*self.observers, *observers)]
        spans = recording_listener(program, self.engines.by_name, run_id)
        if spans is not None:
            listeners.append(spans)
        services = self._services if human is None else replace(self._services, human=human)
        return Execution(program, services, journal or self.journal, run_id, listeners=listeners, **options)

    async def _run(self, execution: Execution, inputs: tuple[object, ...]) -> RunResult:
        loop = asyncio.get_running_loop()
        if self._under_way and self._loop is not loop and not self._loop.is_closed():
            raise elsewhere(execution.program.name)
        self._loop = loop
        self._under_way += 1
        try:
            if self._owner is None or (execution.resumed is not None and execution.resumed.done is not None):
                return await result_of(execution, inputs)
            return await Attended(self._owner, execution, longest_sleep_s=self._longest_sleep_s).result(inputs)
        except OrchError as error:
            error.run_id = execution.run_id
            raise
        finally:
            self._under_way -= 1
            if self._owner is not None and (execution.resumed is None or execution.resumed.done is None):
                self._owner.release(execution.run_id)

    async def close(self) -> None:
        """Let hints end for a moment, close the engines, and end the observers' feeds.

        Tools that still run in threads are left alone, and keep nobody. Raises ORCH-R065, when everything that can be
        closed is.
        """
        try:
            await self._services.background.close()
        finally:
            try:
                await self.engines.close()
            finally:
                if self._owner is not None:
                    await self._owner.close()
                self._services.threads.close()
                self._services.checks.close()
                await self._services.processes.close()
                end_feeds(self.observers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _compiled_like(outer: Compiled, workflow: Workflow[..., Any]) -> Compiled:
    """``workflow``, planned for the cluster that ``outer`` is planned for."""
    from orchestrator.compiler import compile as compile_workflow

    return compile_workflow(workflow, outer.plan.cluster, outer.plan.objective)


async def run_workflow(workflow: Workflow[..., Any], inputs: dict[str, object]) -> RunResult:
    """Compile and run a workflow where no other runner is in force: on this machine, without engines."""
    from orchestrator.compiler import compile as compile_workflow

    compiled = compile_workflow(workflow)
    fix = 'call it from a tool without isolation="process", which no plan places on Ray: not a pure one'
    if os.environ.get(WORKER_VARIABLE) == MAY_RUN_AGAIN and (tools := compiled.program.once_tools):
        why = "the tool that calls it in another process may run again, or has run before its run was resumed"
        raise refused(workflow.name, tools[0].id, why, fix)
    async with Runner() as runtime:
        try:
            return await runtime.run(compiled, inputs)
        except RunError as error:
            if error.code != "ORCH-R008" or WORKER_VARIABLE not in os.environ:
                raise
            why = "its tool runs in a process of its own, where there are no engines"
            raise not_here(workflow.name, why, fix) from error


RunsWorkflow = Callable[["Workflow[..., Any]", dict[str, object]], Awaitable[RunResult]]
"""What ``orchestrator.dsl.workflow.running_with`` takes."""
