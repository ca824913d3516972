"""Running a program on given services and a given journal, without a ``Runner``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.lifecycle import result_of
from orchestrator.runtime.journal.base import Journal
from orchestrator.runtime.journal.events import Feed
from orchestrator.runtime.journal.replay import replay
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.result import RunResult
from orchestrator.runtime.services import Services


async def execute(
    program: Program,
    inputs: tuple[object, ...],
    services: Services,
    journal: Journal,
    run_id: str,
    *,
    resume: bool = False,
    listeners: Sequence[Callable[[Feed], None]] = (),
) -> RunResult:
    """Run ``program`` once; ``resume`` goes on with the run that the journal knows by ``run_id``."""
    state = replay(program, await journal.load(run_id)) if resume else None
    return await result_of(Execution(program, services, journal, run_id, listeners=listeners, state=state), inputs)
