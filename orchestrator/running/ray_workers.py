"""Workers in the processes of a Ray cluster, kept by the process that started them.

Each is an actor that does what ``orch worker`` does: it loads the workflows, opens the store, claims runs and executes
whole programs in its process, so that ops which depend on each other pay no hop. Nothing is between it and the store:
what becomes of a worker, of its node or of whoever started it is what becomes of any owner of runs
(:mod:`orchestrator.runtime.coordinator`), and another worker goes on.

The workers belong to the process that started them and end with it. It replaces one that has died, wherever in the
cluster there is a place, and lends vLLM engines to all of them, which are one each however many workers there are.

>>> async with lent_engines(specs, session, progress, sharers=3) as engines:              # doctest: +SKIP
...     workers = RayWorkers(Work(load, "postgresql://db/runs", engines), 3, progress, versions_of(load()))
...     await workers.run()                     # until somebody calls workers.stop()
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from orchestrator.errors import OrchError
from orchestrator.running.coordinating import Work, coordinating
from orchestrator.running.host import Logged
from orchestrator.runtime.journal.artifacts.opening import VARIABLE as ARTIFACTS

if TYPE_CHECKING:
    from orchestrator.compiler import Compiled
    from orchestrator.running.opened import Starting
    from orchestrator.runtime.coordinator.coordinator import Coordinator

SLOW_S: Final = 10.0
"""A worker that has no place after this is said to wait for one."""
AGAIN_S: Final = (1.0, 60.0)
"""The first and the longest pause before a worker that has died is replaced; it doubles until one has lived as long as
the longest."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker is, and what it has."""

    node: str
    """Its address."""
    pid: int
    versions: Mapping[str, str]
    """The version of each workflow, by name."""


class WorkerHost:
    """What runs in the actor."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._stack = AsyncExitStack()
        self._coordinator: Coordinator | None = None

    async def start(self) -> Place:
        """Load the workflows and start what they need. Raises what is wrong with any of it."""
        import ray

        workflows = self._work.load()
        self._coordinator = await self._stack.enter_async_context(coordinating(self._work, workflows, Logged()))
        return Place(ray.util.get_node_ip_address(), os.getpid(), versions_of(workflows))

    async def run(self) -> int:
        """Execute runs until :meth:`stop`, and hand over; how many runs it has claimed."""
        assert self._coordinator is not None
        async with self._stack:
            await self._coordinator.run()
        return self._coordinator.executed

    async def stop(self) -> None:
        """Have :meth:`run` hand over and return."""
        assert self._coordinator is not None
        self._coordinator.stop()


class RayWorkers:
    """Keeps so many workers in the connected Ray, until it is stopped."""

    def __init__(self, work: Work, count: int, progress: Starting, expected: Mapping[str, str]) -> None:
        """``expected`` has the version of each workflow that every worker should have."""
        self._work = work
        self._count = count
        self._progress = progress
        self._expected = dict(expected)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Have all workers hand over, and :meth:`run` return. May be called in a signal's handler of the event loop."""
        self._stopping.set()

    async def run(self) -> int:
        """Keep the workers until :meth:`stop`; how many runs those have claimed that were there to hand over.

        A worker that cannot even begin its work stops all of them. Raises what that one has raised.
        """
        kept = [self._keep(f"worker {number}") for number in range(1, self._count + 1)]
        found = await asyncio.gather(*kept, return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException):
                raise each
        return sum(each for each in found if isinstance(each, int))

    async def _keep(self, name: str) -> int:
        """Have one worker after the other in this place."""
        pause_s, longest_s = AGAIN_S
        was_ready = False
        while not self._stopping.is_set():
            began = perf_counter()
            actor = _actor(self._work)
            try:
                if not await self._ready(name, actor):
                    break
                was_ready = True
                running = _call(actor.run)
                if not await self._over(running):
                    await _call(actor.stop)
                executed: int = await running
                return executed
            except _WorkerGoneError as error:
                if self._stopping.is_set():
                    self._progress.note(f"{name} is gone ({error}), and others go on with its runs")
                    break
                self._progress.note(f"{name} is gone ({error}); another one takes its place")
            except OrchError as error:
                if not was_ready:
                    self.stop()
                    raise
                self._progress.note(f"{name} could not be replaced, and is tried again: {error.message}")
            finally:
                _kill(actor)
            if perf_counter() - began > longest_s:
                pause_s = AGAIN_S[0]
            await self._over(asyncio.ensure_future(asyncio.sleep(pause_s)))
            pause_s = min(2 * pause_s, longest_s)
        return 0

    async def _ready(self, name: str, actor: Any) -> bool:
        """Wait until a worker can begin, and say where it is; False where it is not wanted any more."""
        began = perf_counter()
        starting = _call(actor.start)
        if not await self._over(starting, SLOW_S) and not self._stopping.is_set():
            self._progress.note(f"{name} has not started yet: the cluster may have no free CPU for it")
        if not await self._over(starting):
            starting.cancel()
            return False
        place: Place = await starting
        self._progress.started(f"{name} (process {place.pid} on {place.node})", perf_counter() - began)
        for workflow, version in self._expected.items():
            if place.versions.get(workflow) != version:
                self._progress.note(f"{name} has another version of `{workflow}`: is everything installed there, too?")
        return True

    async def _over(self, work: asyncio.Future[Any], timeout_s: float | None = None) -> bool:
        """Wait for ``work``, and whether that is over: not if it is to be stopped before, or after ``timeout_s``."""
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((work, stopping), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
        return work.done()


class _WorkerGoneError(Exception):
    """The process of a worker, or its node, is gone."""


def versions_of(workflows: Iterable[Compiled]) -> dict[str, str]:
    """The version of each workflow, by name."""
    return {each.program.name: each.program.fingerprint for each in workflows}


def _actor(work: Work) -> Any:
    """A worker; its place needs a free CPU, which it leaves to others."""
    import ray

    variables = {name: os.environ[name] for name in (ARTIFACTS,) if name in os.environ}
    options: dict[str, Any] = {"scheduling_strategy": "SPREAD"}
    if variables:
        options["runtime_env"] = {"env_vars": variables}
    return ray.remote(WorkerHost).options(**options).remote(work)


def _call(method: Any) -> asyncio.Future[Any]:
    """What an actor's method gives. Raises coded errors as they are, and ``_WorkerGoneError``."""
    return asyncio.ensure_future(_answer(method.remote()))


async def _answer(reference: Any) -> Any:
    import ray

    try:
        return await reference
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, OrchError):
            raise error.cause from None
        raise _WorkerGoneError(_in_short(error)) from error
    except ray.exceptions.RayError as error:
        raise _WorkerGoneError(_in_short(error)) from error


def _in_short(error: BaseException) -> str:
    """The first sentence of Ray's last line, which says why; common causes of everything follow."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].partition(". ")[0].rstrip(".") if lines else type(error).__name__


def _kill(actor: Any) -> None:
    import ray

    ray.kill(actor)
