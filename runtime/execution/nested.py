"""Runs within runs: workflows that tools call.

Such a run has what the one around it has: engines, tenant, budget and observers. Its model calls count against the
budgets around the tool, and in the outer run's usage. It runs on the event loop of the outer run, wherever it was
called, and ends with the call of the tool. Its own tools have threads of their own, one bound for each depth, so that
tools which wait for workflows cannot keep those from going on.

>>> @tool(effects="idempotent")                                                         # doctest: +SKIP
... def summary(path: str) -> str:
...     return summarise(Path(path).read_text())            # another workflow
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol
from uuid import uuid4

from orchestrator.dsl.workflow import blocked_loop
from orchestrator.errors import RunError
from orchestrator.runtime import failures
from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.execution.at_most_once.once_within import admit, within
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.lifecycle import result_of
from orchestrator.runtime.execution.model_calls.budget import Ledger
from orchestrator.runtime.inputs import inputs_apart, inputs_of
from orchestrator.runtime.journal.events import Event, OpDone, OpFailed, Reserved, Spent, occurrence
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.result import RunResult
from orchestrator.runtime.tools.caller import Caller, caller

if TYPE_CHECKING:
    from orchestrator.compiler import Compiled
    from orchestrator.dsl.workflow import Workflow

MOST_DEPTH: Final = 20
"""Workflows that wait for each other; more is taken for a recursion without an end."""


class Begin(Protocol):
    """Makes a run on what the outer one runs on."""

    def __call__(
        self,
        program: Program,
        run_id: str,
        *,
        tenant: str | None,
        within: Ledger,
        depth: int,
        deadline_s: float | None,
    ) -> Execution: ...


@dataclass(frozen=True, slots=True)
class Within:
    """Runs the workflows that tools of a run call; what :func:`orchestrator.dsl.workflow.running_with` takes."""

    begin: Begin
    compile: Callable[[Workflow[..., Any]], Compiled]
    loop: asyncio.AbstractEventLoop

    async def __call__(self, workflow: Workflow[..., Any], inputs: dict[str, object]) -> RunResult:
        """The result of ``workflow``. Raises ORCH-R045 where it cannot be waited for, or must not be run again."""
        by = caller.get()
        if blocked_loop() is self.loop:
            why = "an async or cheap tool runs on the event loop, and waiting there stops every run on it"
            fix = f"write `await {workflow.name}.arun(...)` in an async tool, or make the tool a plain `def`"
            raise failures.not_here(workflow.name, why, fix)
        if by is None:
            raise failures.not_here(workflow.name, "no tool is running", "call it from a tool, or outside of a run")
        depth_here(workflow.name)
        compiled = self.compile(workflow)
        if asyncio.get_running_loop() is self.loop:
            outer = by.execution
            values = await inputs_apart(outer.services.checks, compiled, inputs, tenant=outer.tenant, depth=outer.depth)
            return await self._run(compiled.program, values, by)
        values = inputs_of(compiled, inputs)
        future = asyncio.run_coroutine_threadsafe(self._run_for_a_thread(compiled.program, values, by), self.loop)
        try:
            return await asyncio.wrap_future(future)
        finally:
            future.cancel()

    async def _run_for_a_thread(self, program: Program, values: tuple[object, ...], by: Caller) -> RunResult:
        task, runs = asyncio.current_task(), by.runs
        assert task is not None
        if runs.is_over:
            raise RunError("ORCH-R024", f"`{program.name}` was not run: the call of `{by.op.id}` has ended")
        runs.add(task)
        try:
            return await self._run(program, values, by)
        finally:
            runs.discard(task)

    async def _run(self, program: Program, values: tuple[object, ...], by: Caller) -> RunResult:
        outer = by.execution
        if outer.starts.write(by.frame, by.op.id):
            await outer.durable()  # before a tool of the run asks whether this one was started before
        place = within(by, program, values)
        await admit(by, program, place)
        execution = self.begin(
            program,
            uuid4().hex,
            tenant=outer.tenant,
            within=by.ledger,
            depth=outer.depth + 1,
            deadline_s=outer.deadline_s,
        )
        execution.within = place
        execution.bill = _Bill(by, execution).note
        try:
            return await result_of(execution, values)
        except BaseException:
            doubts = {path: ran.reason for path, ran in execution.once.unsettled.items()} | execution.once.doubts
            if doubts:
                why = "; ".join(f"`{path}` of `{program.name}`: {reason}" for path, reason in doubts.items())
                outer.once.doubts[occurrence(by.frame, by.op.id)] = why
            raise
        finally:
            outer.simulated |= execution.simulated


def depth_here(workflow: str) -> int:
    """How many workflows would wait for a run that begins in this context, each in a tool of its own.

    Raises ORCH-R045 where they are too many.
    """
    by = caller.get()
    depth = 0 if by is None else by.execution.depth + 1
    if depth > MOST_DEPTH:
        why = f"{MOST_DEPTH} workflows wait for each other's tools already"
        raise failures.not_here(workflow, why, "end the recursion, or write it as a loop")
    return depth


class _Bill:
    """What an inner run may use, and uses, in the outer run's journal: a crash in between loses none of it."""

    def __init__(self, by: Caller, inner: Execution) -> None:
        self._outer = by.execution
        self._frame = by.frame
        self._prefix = f"{by.op.id}.{inner.run_id}/"
        self._seen = inner.listeners
        """Those who watch both runs see what the inner one uses there."""
        self._open: set[str] = set()
        """Calls of which it is not known what they use."""

    def note(self, event: Event) -> None:
        """An event of the inner run."""
        if isinstance(event, Reserved):
            op = self._prefix + event.frame + event.op
            self._open.add(op)
            self._outer.emit(Reserved(self._frame, op, event.most, event.cost_usd, event.at), seen=self._seen)
        elif isinstance(event, Spent) or (isinstance(event, OpDone) and event.usage is not None):
            self._settle(f"{self._prefix}{event.frame}{event.op}", event.usage or Usage(), event.cost_usd, event.at)
        elif isinstance(event, (OpFailed, OpDone)) and (op := f"{self._prefix}{event.frame}{event.op}") in self._open:
            self._settle(op, Usage(), 0.0, event.at)

    def _settle(self, op: str, usage: Usage, cost_usd: float | None, at: float) -> None:
        self._open.discard(op)
        self._outer.emit(Spent(self._frame, op, usage, cost_usd, at), seen=self._seen)
