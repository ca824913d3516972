"""Running the cases of a job on engines that are started once for all of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from orchestrator.cli.app import Case, Facts, Job, Outcome
from orchestrator.cli.engines import engines_label, models_label
from orchestrator.cli.failure import as_orch_error
from orchestrator.cli.human import human_for
from orchestrator.cli.progress import Progress
from orchestrator.cli.session import Session, opened
from orchestrator.event_loop import run
from orchestrator.runtime.events import Feed, Token
from orchestrator.runtime.observe import Subscription

if TYPE_CHECKING:
    from orchestrator.compiler import Compiled
    from orchestrator.runtime.kv.durations import DurationModel
    from orchestrator.runtime.program import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How to run, whatever is run."""

    concurrency: int
    limits: Limits | None = None
    """A budget of each run, in place of the workflow's own."""
    answers: Sequence[str] = ()
    ray_address: str | None = None
    stream: bool = False


def run_job(
    compiled: Compiled, job: Job, how: How, durations: DurationModel | None = None
) -> tuple[list[Outcome], Facts]:
    """Run every case, ``how.concurrency`` at a time; a case that fails does not stop the others.

    ``durations`` learns from the pauses of their conversations.
    Raises what stops all of them: missing answers of a human, an engine that does not start, Ray out of reach.
    """
    progress = Progress(compiled.plan, live=False if how.stream else None)
    human = human_for(compiled.plan, how.answers, progress.paused)
    ended: list[tuple[list[Outcome], Facts]] = []

    async def all_cases() -> None:
        async with opened(compiled, progress, ray_address=how.ray_address, human=human, durations=durations) as session:
            progress.running(len(job.cases))
            began = time.perf_counter()
            slots = asyncio.Semaphore(how.concurrency)
            runs = (_one(case, session, compiled, slots, progress=progress, how=how) for case in job.cases)
            outcomes = list(await asyncio.gather(*runs))
            seconds = time.perf_counter() - began
            simulated = any(outcome.result.simulated for outcome in outcomes if outcome.result) or any(
                engine.simulated for engine in session.runtime.engines
            )
            if how.stream:
                click.echo(err=True)
            progress.close()
            plan = compiled.plan
            facts = Facts(models_label(plan), engines_label(plan), simulated, seconds, session.start_seconds, plan)
            ended.append((outcomes, facts))

    try:
        for note in job.notes:
            progress.note(note)
        try:
            run(all_cases())
        except Exception as failure:
            if not ended:
                raise
            progress.note(f"warning: the runs are over, and an engine did not stop cleanly: {as_orch_error(failure)}")
        return ended[0]
    finally:
        progress.close()


async def _one(
    case: Case, session: Session, compiled: Compiled, slots: asyncio.Semaphore, *, progress: Progress, how: How
) -> Outcome:
    async with slots:
        observers = [each for each in (progress.began(case.name), Stream() if how.stream else None) if each]
        began = time.perf_counter()
        try:
            result = await session.runtime.run(compiled, case.inputs, budget=how.limits, observers=observers)
            outcome = Outcome(case, result)
        except Exception as failure:  # noqa: BLE001 - what the other runs gave is not lost for it
            outcome = Outcome(case, None, as_orch_error(failure))
        problem = outcome.error.message if outcome.error else None
        progress.ended(case.name, time.perf_counter() - began, problem)
        return outcome


class Stream(Subscription):
    """Writes replies to stderr as they come; another op, another sample of it or another attempt starts a new line."""

    _last: tuple[str, str, int, int] | None = None
    _owner: Stream | None = None

    def push(self, entry: Feed) -> None:
        """Write a token."""
        if not isinstance(entry, Token):
            return
        key = (entry.frame, entry.op, entry.sample, entry.attempt)
        if key != self._last or Stream._owner is not self:
            label = f"{entry.frame}{entry.op}" + (f"#{entry.sample + 1}" if entry.sample else "")
            label += f" (attempt {entry.attempt})" if entry.attempt > 1 else ""
            lead = "" if Stream._owner is None else "\n"
            click.secho(f"{lead}{label}: ", fg="cyan", nl=False, err=True)
        self._last, Stream._owner = key, self
        click.echo(entry.text, nl=False, err=True)
