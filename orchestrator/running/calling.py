"""``run``, ``arun``, ``stream`` and ``astream``: one run of a workflow, with a session of its own.

What it runs on is started for this run and stopped when it is over, which with a model on this machine takes most of
the time: a :class:`~orchestrator.running.session.Session` starts it once.

>>> run(answer, "How many?", engine="http://localhost:8000/v1", model="m").value       # doctest: +SKIP
'Ten.'
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from orchestrator.dsl.workflow import Workflow
from orchestrator.running.answerer import ClusterLike, EngineLike
from orchestrator.running.feed import RunFeed
from orchestrator.running.how import How
from orchestrator.running.session import Session
from orchestrator.running.streams import AsyncStream, Stream
from orchestrator.runtime.result import RunResult

if TYPE_CHECKING:
    from orchestrator.running.how import AnswersLike, BudgetOfRun
    from orchestrator.running.stores import StoreLike
    from orchestrator.runtime.observe import Subscription

R = TypeVar("R")


def run(
    workflow: Workflow[..., R],
    /,
    *inputs: object,
    engine: EngineLike | None = None,
    model: str | os.PathLike[str] | None = None,
    cluster: ClusterLike | None = None,
    store: StoreLike | None = None,
    run_id: str | None = None,
    key: str | None = None,
    budget: BudgetOfRun = None,
    tenant: str | None = None,
    observers: Sequence[Subscription] = (),
    answers: AnswersLike = None,
    **named: object,
) -> RunResult[R]:
    """Run a workflow to its end; ``.value`` of the result is what it returned.

    The arguments are those of :class:`~orchestrator.running.session.Session` and its ``run``. It blocks, also where an
    event loop runs, as in a notebook; Ctrl-C cancels the run.
    """
    beside = _given(engine=engine, model=model, cluster=cluster, store=store)
    how = How(run_id=run_id, key=key, budget=budget, tenant=tenant, observers=observers, answers=answers, beside=beside)
    with Session(engine=engine, model=model, cluster=cluster, store=store) as session:
        return session.begin(workflow, inputs, named, how).result()


async def arun(
    workflow: Workflow[..., R],
    /,
    *inputs: object,
    engine: EngineLike | None = None,
    model: str | os.PathLike[str] | None = None,
    cluster: ClusterLike | None = None,
    store: StoreLike | None = None,
    run_id: str | None = None,
    key: str | None = None,
    budget: BudgetOfRun = None,
    tenant: str | None = None,
    observers: Sequence[Subscription] = (),
    answers: AnswersLike = None,
    **named: object,
) -> RunResult[R]:
    """:func:`run`, to await on any event loop; cancelling it cancels the run."""
    beside = _given(engine=engine, model=model, cluster=cluster, store=store)
    how = How(run_id=run_id, key=key, budget=budget, tenant=tenant, observers=observers, answers=answers, beside=beside)
    async with Session(engine=engine, model=model, cluster=cluster, store=store) as session:
        return await session.begin_apart(workflow, inputs, named, how).outcome()


def stream(
    workflow: Workflow[..., R],
    /,
    *inputs: object,
    engine: EngineLike | None = None,
    model: str | os.PathLike[str] | None = None,
    cluster: ClusterLike | None = None,
    store: StoreLike | None = None,
    run_id: str | None = None,
    key: str | None = None,
    budget: BudgetOfRun = None,
    tenant: str | None = None,
    observers: Sequence[Subscription] = (),
    answers: AnswersLike = None,
    **named: object,
) -> Stream[R]:
    """Begin a run like :func:`run`, and give its events (:mod:`orchestrator.events`) as they come.

    ``.result`` of the stream is the run's, at its end. What it runs on is stopped at the end, or when it is closed.
    """
    beside = _given(engine=engine, model=model, cluster=cluster, store=store)
    how = How(run_id=run_id, key=key, budget=budget, tenant=tenant, observers=observers, answers=answers, beside=beside)
    session, feed = Session(engine=engine, model=model, cluster=cluster, store=store), RunFeed()
    found = Stream(session, session.begin(workflow, inputs, named, how, feed), feed)
    found.owns_session = True
    return found


def astream(
    workflow: Workflow[..., R],
    /,
    *inputs: object,
    engine: EngineLike | None = None,
    model: str | os.PathLike[str] | None = None,
    cluster: ClusterLike | None = None,
    store: StoreLike | None = None,
    run_id: str | None = None,
    key: str | None = None,
    budget: BudgetOfRun = None,
    tenant: str | None = None,
    observers: Sequence[Subscription] = (),
    answers: AnswersLike = None,
    **named: object,
) -> AsyncStream[R]:
    """:func:`stream`, for ``async for`` on any event loop."""
    beside = _given(engine=engine, model=model, cluster=cluster, store=store)
    how = How(run_id=run_id, key=key, budget=budget, tenant=tenant, observers=observers, answers=answers, beside=beside)
    session, feed = Session(engine=engine, model=model, cluster=cluster, store=store), RunFeed()
    found = AsyncStream(session, session.begin_apart(workflow, inputs, named, how, feed), feed)
    found.owns_session = True
    return found


def _given(**options: object) -> dict[str, bool]:
    """Which of them say something."""
    return {name: value is not None for name, value in options.items()}
