"""What ops run on: engines, a human, Ray, threads, processes."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from orchestrator.errors import RunError
from orchestrator.runtime.background import Background
from orchestrator.runtime.engines.base import DEFAULT_MODEL, Engine
from orchestrator.runtime.engines.shares import Deficits
from orchestrator.runtime.failures import not_closed
from orchestrator.runtime.human import Human, Nobody
from orchestrator.runtime.kv.admission import GateGroup
from orchestrator.runtime.kv.durations import DurationModel
from orchestrator.runtime.kv.replicas import ReplicaSet, replicated
from orchestrator.runtime.tools.loop_watch import LoopWatch
from orchestrator.runtime.tools.processes import ToolProcesses
from orchestrator.runtime.tools.raised import faults_of
from orchestrator.runtime.tools.threads import ToolThreads

MOST_SHARED_OPS: Final = 10_000
"""Ops whose shares are remembered: a runtime may be given programs for ever."""

Shares = tuple[tuple[str, float], ...]
"""Names of engines, and the part of an op's calls that each takes."""


class Remote(Protocol):
    """Where tools placed on Ray run."""

    async def call(
        self,
        op: str,
        place: str,
        fn: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        began: Callable[[], None] | None = None,
    ) -> Any:
        """The result of ``fn``, called in a worker; cancelling the call cancels the worker's task.

        ``began`` is told when the call has waited its turn.
        """


class Engines:
    """The engines of a runtime, by name and by the model they serve, each behind the admission of its replicas."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self._engines: dict[str, ReplicaSet] = {}
        self._gates = GateGroup()
        self._lent: set[str] = set()
        self._starting: dict[str, _Start] = {}
        self._deficits: OrderedDict[tuple[str, str, Shares], Deficits] = OrderedDict()
        for name, engine in engines.items():
            self.add(name, engine)

    def __iter__(self) -> Iterator[ReplicaSet]:
        return iter(self._engines.values())

    def add(self, name: str, engine: Engine, *, lent: bool = False) -> None:
        """One more engine; whoever has ``lent`` it closes it."""
        replicas = engine if isinstance(engine, ReplicaSet) else replicated(engine.name, [engine])
        replicas.join(self._gates)
        self._engines[name] = replicas
        if lent:
            self._lent.add(name)

    @property
    def by_name(self) -> Mapping[str, ReplicaSet]:
        """The engines by the names that plans give them."""
        return self._engines

    def pick(self, name: str | None, model: str) -> tuple[str, ReplicaSet]:
        """The engine that the plan names, or without a plan one that serves ``model``; raises ORCH-R008."""
        for key, engine in self._engines.items():
            if key == name if name is not None else model in (DEFAULT_MODEL, key, engine.name, engine.model):
                return key, engine
        if not self._engines:
            fix = "run it with an engine: orchestrator.run(..., engine=...), orch run, or orchestrator.testing.fake"
            raise RunError("ORCH-R008", "the workflow calls a model, and the runtime has no engine", fix=fix)
        known = ", ".join(f"{key} ({engine.model})" for key, engine in self._engines.items())
        raise RunError(
            "ORCH-R008", f"no engine serves `{name or model}`", why=f"there is {known}", fix="add one, or change model="
        )

    def deficits(self, program: str, op: str, shares: Shares) -> Deficits:
        """What the engines that share the calls of an op of a program are owed of these."""
        key = program, op, shares
        found = self._deficits.get(key)
        if found is None:
            found = self._deficits[key] = Deficits(shares)
            if len(self._deficits) > MOST_SHARED_OPS:
                self._deficits.popitem(last=False)
        else:
            self._deficits.move_to_end(key)
        return found

    def has_started(self, name: str) -> bool:
        """Whether the engine has been started, and is there."""
        starting = self._starting.get(name)
        return starting is not None and starting.task.done() and not starting.has_failed

    async def started(self, name: str) -> ReplicaSet:
        """The engine, after it has started; concurrent callers wait for the same start.

        What it leaves running knows nothing of the run that was the first to need it.
        """
        starting = self._starting.get(name)
        if starting is None or starting.has_failed:
            starting = self._starting[name] = _Start(self._engines[name])
        if not starting.task.done():
            await starting.end()
        return self._engines[name]

    def finish(self, program: str) -> None:
        """A program is over, however it ended: it takes no place in any engine."""
        for engine in self._engines.values():
            engine.finish(program)

    async def close(self) -> None:
        """Close every engine that was started, whatever the others do; raises one ``RunError`` ORCH-R065 for all that
        could not be closed."""
        starting, self._starting = self._starting, {}
        tasks = [each.task for each in starting.values()]
        under_way = [task for task in tasks if not task.done() and not task.get_loop().is_closed()]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        own = [name for name in starting if name not in self._lent]
        closed = await faults_of(self._engines[name].close for name in own)
        failed = {name: error for name, error in zip(own, closed, strict=True) if error is not None}
        if failed:
            raise not_closed(failed) from next(iter(failed.values()))


class _Start:
    """The start of an engine, which any number of calls may wait for, and none of them cancels.

    They are no callbacks of its task: whoever left would be looked for among all of them.
    """

    def __init__(self, engine: ReplicaSet) -> None:
        self.task = asyncio.create_task(engine.start(), context=Context())
        self.task.add_done_callback(self._wake)
        self._waiting: dict[asyncio.Future[None], None] = {}
        """These wait in the order in which they came, in which they go on."""

    @property
    def has_failed(self) -> bool:
        """Whether it has not led to anything, and never will."""
        if not self.task.done():
            return self.task.get_loop().is_closed()
        return self.task.cancelled() or self.task.exception() is not None

    async def end(self) -> None:
        """Wait until the engine has started; raises what its start raises."""
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[waiting] = None
        try:
            await waiting
        finally:
            del self._waiting[waiting]
        self.task.result()

    def _wake(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # told to who waits, if anybody still does
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)


@dataclass(frozen=True)
class Services:
    """What ops run on."""

    engines: Engines
    human: Human = field(default_factory=Nobody)
    remote: Remote | None = None
    threads: ToolThreads = field(default_factory=ToolThreads)
    """Blocking tools run in these."""
    checks: ToolThreads = field(default_factory=ToolThreads)
    """Validators of the user's run in these, and checks of tools that must run at most once."""
    processes: ToolProcesses = field(default_factory=ToolProcesses)
    """Tools that are isolated run in these."""
    loop_watch: LoopWatch = field(default_factory=LoopWatch)
    """Names tools that block the event loop."""
    background: Background = field(default_factory=Background)
    """Hints that nothing waits for are given here."""
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    """Waits for so many seconds; a test's own lets them pass at once."""
    durations: DurationModel | None = None
    """Learns how long conversations pause, and forecasts it; None leaves that to the engines."""
