"""Engines that stay warm from run to run.

>>> with Session(model="./model") as session:                                           # doctest: +SKIP
...     session.run(answer, "How many?").value
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.source.location import user_location
from orchestrator.dsl.workflow import Workflow, blocking
from orchestrator.errors import OrchError, SourceLoc
from orchestrator.running.answerer import Answerer, ClusterLike, EngineLike, answerer, require_engine
from orchestrator.running.feed import RunFeed
from orchestrator.running.host import Host, Logged
from orchestrator.running.how import How
from orchestrator.running.inputs import inputs_of
from orchestrator.running.loop_thread import Call
from orchestrator.running.opened import Opened
from orchestrator.running.questions import answering
from orchestrator.running.standing_in import Prepared, standing_in
from orchestrator.running.streams import AsyncStream, Stream
from orchestrator.runtime.result import RunResult

if TYPE_CHECKING:
    from orchestrator.running.how import AnswersLike, BudgetOfRun
    from orchestrator.running.stores import StoreLike
    from orchestrator.runtime.observe import Subscription

R = TypeVar("R")


class Session:
    """Runs workflows on engines that are started once, when they are first needed, and stay until it is closed.

    ``engine`` is the URL of an OpenAI-compatible endpoint (``model`` is what that calls the model; one that serves a
    single model is asked for its name), ``"sim"`` for a dry run, or an engine of yours, which you close; ``model``
    alone is a folder or a Hugging Face id that vLLM serves on this machine; ``cluster`` is the path of a cluster file,
    or a cluster. Without any of them workflows run that call no model. Inputs are a mapping, or arguments as the
    workflow takes them.

    ``store`` keeps the runs: a path, a URL (``"sqlite:///.orch/runs.db"``, ``"postgresql://…"``), or a store that no
    other event loop uses, and which you close. A second run with the ``key`` of another one is that one: it gives the
    same result, or goes on where that stopped.

    Runs of any number of threads and event loops may be under way at once: they live on one event loop, in a thread of
    the session's. In the block of a :func:`~orchestrator.testing.fake` they run on that, and so do those of a session
    that was made there.

    Raises ``UsageError`` ORCH-U020 and ORCH-U021 for arguments that make no sense, and what reading a cluster raises.
    """

    def __init__(
        self,
        *,
        engine: EngineLike | None = None,
        model: str | os.PathLike[str] | None = None,
        cluster: ClusterLike | None = None,
        store: StoreLike | None = None,
        observers: Sequence[Subscription] = (),
    ) -> None:
        self._find = partial(answerer, engine, model, cluster)
        self._faked = copy_context() if standing_in() else None
        """Where a ``fake`` is in force, which runs that are called in other threads are meant for too."""
        self._found: Answerer | None = None if self._faked else self._find()
        self._store = store
        self._observers = tuple(observers)
        self.host = Host()
        weakref.finalize(self, self.host.give_up).atexit = False

    def run(
        self,
        workflow: Workflow[..., R],
        /,
        *inputs: object,
        run_id: str | None = None,
        key: str | None = None,
        budget: BudgetOfRun = None,
        tenant: str | None = None,
        observers: Sequence[Subscription] = (),
        answers: AnswersLike = None,
        **named: object,
    ) -> RunResult[R]:
        """Run a workflow to its end, whatever thread this is, and also where an event loop runs.

        Ctrl-C cancels the run. Raises what the run raises.
        """
        how = How(run_id=run_id, key=key, budget=budget, tenant=tenant, observers=observers, answers=answers)
        return self.begin(workflow, inputs, named, how).result()

    async def arun(
        self,
        workflow: Workflow[..., R],
        /,
        *inputs: object,
        run_id: str | None = None,
        key: str | None = None,
        budget: BudgetOfRun = None,
        tenant: str | None = None,
        observers: Sequence[Subscription] = (),
        answers: AnswersLike = None,
        **named: object,
    ) -> RunResult[R]:
        """Run a workflow to its end, on any event loop; cancelling this cancels the run."""
        how = How(run_id=run_id, key=key, budget=budget, tenant=tenant, observers=observers, answers=answers)
        return await self.begin_apart(workflow, inputs, named, how).outcome()

    def stream(
        self,
        workflow: Workflow[..., R],
        /,
        *inputs: object,
        run_id: str | None = None,
        key: str | None = None,
        budget: BudgetOfRun = None,
        tenant: str | None = None,
        observers: Sequence[Subscription] = (),
        answers: AnswersLike = None,
        **named: object,
    ) -> Stream[R]:
        """Begin a run, and give its events (:mod:`orchestrator.events`) as they come."""
        how = How(run_id=run_id, key=key, budget=budget, tenant=tenant, observers=observers, answers=answers)
        feed = RunFeed()
        return Stream(self, self.begin(workflow, inputs, named, how, feed), feed)

    def astream(
        self,
        workflow: Workflow[..., R],
        /,
        *inputs: object,
        run_id: str | None = None,
        key: str | None = None,
        budget: BudgetOfRun = None,
        tenant: str | None = None,
        observers: Sequence[Subscription] = (),
        answers: AnswersLike = None,
        **named: object,
    ) -> AsyncStream[R]:
        """:meth:`stream`, for ``async for`` on any event loop."""
        how = How(run_id=run_id, key=key, budget=budget, tenant=tenant, observers=observers, answers=answers)
        feed = RunFeed()
        return AsyncStream(self, self.begin_apart(workflow, inputs, named, how, feed), feed)

    def close(self) -> None:
        """Cancel the runs that are under way, and return when everything has stopped; safe to call again."""
        self.host.close()

    async def aclose(self) -> None:
        """:meth:`close`, beside the event loop."""
        await asyncio.to_thread(self.host.close)

    def __enter__(self) -> Self:
        self.host.check()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    def __reduce__(self) -> NoReturn:
        raise self.host.elsewhere("a session cannot be sent to another process")

    def begin(
        self,
        workflow: Workflow[..., R],
        given: Sequence[object],
        named: Mapping[str, object],
        how: How,
        feed: RunFeed | None = None,
    ) -> Call[RunResult[R]]:
        """Compile here, and begin a run that this thread will wait for."""
        self.host.check()
        self.host.check_not_here()
        how.check()
        where = user_location()
        inputs = inputs_of(workflow, given, named, how.given)
        workflow, inputs = workflow.for_inputs(inputs)
        run = partial(self._run, self._prepared(workflow, where), inputs, how, feed, where)
        return self.host.begin(run, _blocking_context())

    def begin_apart(
        self,
        workflow: Workflow[..., R],
        given: Sequence[object],
        named: Mapping[str, object],
        how: How,
        feed: RunFeed | None = None,
    ) -> Call[RunResult[R]]:
        """Begin a run, and compile for it in a thread: this one's event loop goes on."""
        self.host.check()
        how.check()
        where = user_location()
        inputs = inputs_of(workflow, given, named, how.given)
        workflow, inputs = workflow.for_inputs(inputs)

        async def compiled_and_run() -> RunResult[R]:
            prepared = await asyncio.to_thread(self._prepared, workflow, where)
            return await self._run(prepared, inputs, how, feed, where)

        return self.host.begin(compiled_and_run, copy_context())

    def _prepared(self, workflow: Workflow[..., Any], where: SourceLoc | None) -> Prepared:
        """The workflow, compiled for what answers here; in a ``fake`` block, that and what it runs on."""
        stand_in = standing_in()
        if stand_in is not None:
            return stand_in(workflow)
        if self._faked is not None:
            return self._faked.copy().run(self._prepared, workflow, where)
        assert self._found is not None
        compiled = compile_workflow(workflow, self._found.cluster)
        require_engine(compiled.plan, where)
        return Prepared(compiled, None)

    async def _run(
        self,
        prepared: Prepared,
        inputs: Mapping[str, object],
        how: How,
        feed: RunFeed | None,
        where: SourceLoc | None,
    ) -> RunResult[Any]:
        """Start what is needed, and run; on the session's event loop."""
        compiled, runtime = prepared
        human = how.answers
        if isinstance(human, Mapping):
            human = answering(compiled.program, human, where)
        observers = [*how.observers, *([] if feed is None else [feed])]
        if feed is not None:
            feed.of(compiled.program)
        try:
            if runtime is None:
                runtime = await self.host.ready(compiled, self._open)
            else:
                observers += self._observers
            return await runtime.run(
                compiled,
                inputs,
                run_id=how.run_id,
                key=how.key,
                budget=how.budget,
                tenant=how.tenant,
                observers=observers,
                human=human,
            )
        except OrchError as error:
            error.diagnostics = [replace(each, where=each.where or where) for each in error.diagnostics]
            raise

    async def _open(self) -> Opened:
        lent = {} if self._found is None else self._found.lent
        return await Opened.on(self._store, Logged(), lent=lent, observers=self._observers)


def _blocking_context() -> Context:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return copy_context()
    return blocking(loop)
