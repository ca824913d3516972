"""Running the cases of a job on engines that are started once for all of them."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from orchestrator.cli.app import Case, Facts, Job, Outcome
from orchestrator.cli.failure import CTRL_C, as_orch_error
from orchestrator.cli.human import CASE, human_for, is_interactive
from orchestrator.cli.progress import Progress
from orchestrator.cli.screen import Screen
from orchestrator.cli.stream import Replies
from orchestrator.errors import RunError
from orchestrator.event_loop import run
from orchestrator.running.engines import engines_label, models_label
from orchestrator.running.opened import Opened
from orchestrator.runtime.observe import Subscription

if TYPE_CHECKING:
    from orchestrator.cli.keeping import Keeping
    from orchestrator.cli.results import Results
    from orchestrator.compiler import Compiled
    from orchestrator.runtime.journal.events import Decision, Feed
    from orchestrator.runtime.kv.durations import DurationModel
    from orchestrator.runtime.program.specs import Limits
    from orchestrator.runtime.runner import Runner

LONG_S: Final = 600.0
"""Where nobody sits at a terminal, a run that is kept is suspended at a sleep that takes longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How to run, whatever is run."""

    concurrency: int
    limits: Limits | None = None
    """A budget of each run, in place of the workflow's own."""
    answers: Sequence[str] = ()
    ray_address: str | None = None
    stream: bool = False
    keeping: Keeping | None = None
    """None: the runs are kept nowhere."""
    resumes: str | None = None
    """The run to go on with, in place of a new one."""
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    """What is to be done about writes of it that do not fit any more, by op."""


def run_job(
    compiled: Compiled, job: Job, how: How, results: Results, durations: DurationModel | None = None
) -> tuple[Sequence[Outcome], Facts]:
    """Run every case, ``how.concurrency`` at a time; a case that fails does not stop the others.

    Ctrl-C does: what is under way is interrupted, and the outcome of every case without a result says so. What came of
    them is in ``results`` as soon as they are over, and returned once what they ran on has been stopped.
    ``durations`` learns from the pauses of their conversations.
    Raises what stops all of them: wrong or missing answers of a human, an engine that does not start, Ray out of reach.
    """
    screen = Screen(live=False if how.stream else None)
    progress = Progress(compiled.plan, screen)
    replies = Replies(screen, several=len(job.cases) > 1) if how.stream else None
    human = human_for(compiled.program, how.answers, screen.question, may_wait=how.keeping is not None)
    longest_sleep_s = inf if is_interactive() else LONG_S

    async def all_cases() -> None:
        store = None if how.keeping is None else how.keeping.store
        async with await Opened.on(
            store,
            progress,
            ray_address=how.ray_address,
            human=human,
            durations=durations,
            longest_sleep_s=longest_sleep_s,
        ) as opened:
            await opened.start(compiled)
            gc.freeze()  # compiler and plan stay: looking through them again and again is a third of a small step
            progress.running(len(job.cases))
            began = time.perf_counter()
            slots = asyncio.Semaphore(how.concurrency)
            watched = _Watched(progress, replies)
            kept = _all_kept(how.keeping, job.cases)
            if how.keeping is not None and how.resumes is None:
                progress.note(_where_kept(kept, opened.store_url))
            runs = [
                asyncio.ensure_future(_one(case, each, opened.runtime, compiled, slots, watched=watched, how=how))
                for case, each in zip(job.cases, kept, strict=True)
            ]
            outcomes = await _all(runs, job.cases, results)
            outcomes = [replace(each, run_id=of.id_of(each)) for each, of in zip(outcomes, kept, strict=True)]
            seconds = time.perf_counter() - began
            simulated = any(outcome.result.simulated for outcome in outcomes if outcome.result) or any(
                engine.simulated for engine in opened.runtime.engines
            )
            if replies is not None:
                replies.close()
            screen.close()
            results.of_runs = outcomes, facts(simulated, seconds, opened.start_seconds)

    def facts(simulated: bool, seconds: float, start_seconds: float) -> Facts:
        plan = compiled.plan
        return Facts(models_label(plan), engines_label(plan), simulated, seconds, start_seconds, plan, progress.spent)

    try:
        for note in job.notes:
            progress.note(note)
        if not job.cases:  # nothing is started for nothing
            results.of_runs = (), facts(False, 0.0, 0.0)
            return results.of_runs
        try:
            run(all_cases())
        except KeyboardInterrupt:
            if results.of_runs is None:
                raise
            results.interrupted = True
        except Exception as failure:
            if results.of_runs is None:
                raise
            progress.note(
                f"warning: the runs are over, and what they ran on did not end cleanly: {as_orch_error(failure)}"
            )
        assert results.of_runs is not None
        return results.of_runs
    finally:
        screen.close()


@dataclass(frozen=True, slots=True)
class _Watched:
    """Who is told of the events of runs."""

    progress: Progress
    replies: Replies | None


class _Kept(Subscription):
    """The place of a run in its store."""

    def __init__(self, run_id: str | None = None, key: str | None = None) -> None:
        super().__init__(limit=1)
        self.run_id, self.key = run_id, key
        self._has_begun = False

    def push(self, entry: Feed) -> None:
        """Something has happened in it."""
        self._has_begun = True

    def id_of(self, outcome: Outcome) -> str | None:
        """The id by which the store knows the run; with a key it may have begun under another one than ``run_id``."""
        if outcome.error is not None and outcome.error.run_id is not None:
            return outcome.error.run_id
        return self.run_id if self._has_begun and self.key is None else None


def _all_kept(keeping: Keeping | None, cases: Sequence[Case]) -> list[_Kept]:
    if keeping is None:
        return [_Kept() for _ in cases]
    return [_Kept(keeping.run_id or uuid4().hex, key) for key in keeping.keys([case.inputs for case in cases])]


def _where_kept(kept: Sequence[_Kept], url: str | None) -> str:
    what = f"{len(kept)} runs are" if len(kept) > 1 else "the run is" if kept[0].key else f"run {kept[0].run_id} is"
    again = "; the same command goes on with what is not done" if kept[0].key else ""
    return f"{what} kept in {url}{again}"


async def _all(runs: Sequence[asyncio.Future[Outcome]], cases: Sequence[Case], results: Results) -> list[Outcome]:
    """The outcomes of all runs; once this task is cancelled, which is what Ctrl-C does, of those that were faster."""
    try:
        await asyncio.wait(runs)
    except asyncio.CancelledError:
        results.interrupted = True
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
        for run in runs:
            run.cancel()
        with suppress(asyncio.CancelledError):  # by Ctrl-C again: what cleans up is not waited for
            await asyncio.wait(runs)
    return [_outcome(run, case) for case, run in zip(cases, runs, strict=True)]


def _outcome(run: asyncio.Future[Outcome], case: Case) -> Outcome:
    if run.done() and not run.cancelled():
        failure = run.exception()
        if failure is None:
            return run.result()
        if isinstance(failure, Exception):  # of what shows the run
            return Outcome(case, None, as_orch_error(failure))
    return Outcome(case, None, RunError(CTRL_C, "interrupted: the run was stopped"))


async def _one(
    case: Case,
    kept: _Kept,
    runtime: Runner,
    compiled: Compiled,
    slots: asyncio.Semaphore,
    *,
    watched: _Watched,
    how: How,
) -> Outcome:
    async with slots:
        CASE.set(case.name if watched.progress.several else "")
        observers = [watched.progress.began(case.name), kept]
        if watched.replies is not None:
            observers.append(watched.replies.of(case.name))
        began = time.perf_counter()
        try:
            if how.resumes is not None:
                result = await runtime.resume(
                    compiled, how.resumes, budget=how.limits, observers=observers, decisions=how.decisions
                )
            else:
                result = await runtime.run(
                    compiled, case.inputs, run_id=kept.run_id, key=kept.key, budget=how.limits, observers=observers
                )
            outcome = Outcome(case, result)
        except Exception as failure:  # noqa: BLE001 - what the other runs gave is not lost for it
            outcome = Outcome(case, None, as_orch_error(failure))
        problem = outcome.error.message if outcome.error else None
        watched.progress.ended(case.name, time.perf_counter() - began, problem)
        return outcome
