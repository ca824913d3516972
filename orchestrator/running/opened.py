"""Starting and stopping what compiled workflows run on: Ray where something needs it, and every engine, once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from math import inf
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from orchestrator.errors import RunError
from orchestrator.running import stores
from orchestrator.running.engines import engine_label, short_model, used_engines
from orchestrator.runtime.journal.artifacts.opening import artifacts_of
from orchestrator.runtime.journal.stores.base import LEASE_S
from orchestrator.runtime.journal.stores.failed import told
from orchestrator.runtime.program.specs import Generate
from orchestrator.runtime.ray.tools import RayTools
from orchestrator.runtime.runner import Runner

if TYPE_CHECKING:
    from orchestrator.compiler import Compiled
    from orchestrator.planner.cluster import EngineSpec
    from orchestrator.running.stores import StoreLike
    from orchestrator.runtime.deploy.attached import Attachment
    from orchestrator.runtime.engines.base import Engine
    from orchestrator.runtime.human import Human
    from orchestrator.runtime.journal.stores.base import Store
    from orchestrator.runtime.kv.durations import DurationModel
    from orchestrator.runtime.observe import Subscription
    from orchestrator.runtime.ray.session import RaySession


class Starting(Protocol):
    """Told what is being started."""

    def starting(self, what: str) -> None:
        """Something that takes a while begins."""

    def started(self, what: str, seconds: float) -> None:
        """It is there."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


def possible_engines(compiled: Compiled) -> list[EngineSpec]:
    """The engines that a run may call: those of the plan, or all of the cluster where models are named by values."""
    late = any("model" in op.spec.late for op, _ in compiled.program.model_calls if isinstance(op.spec, Generate))
    return list(compiled.plan.cluster.engines) if late else used_engines(compiled.plan)


class Opened:
    """A runtime, and what its runs need of their cluster: made here, or ``lent`` by whoever closes it.

    Ray hosts local vLLM engines and the tools that plans place there; nothing else needs it. For one event loop.
    ``store`` is closed with it, unless :meth:`on` was given a store.
    """

    def __init__(
        self,
        progress: Starting,
        *,
        lent: Mapping[str, Engine] | None = None,
        ray_address: str | None = None,
        human: Human | None = None,
        durations: DurationModel | None = None,
        store: Store | None = None,
        observers: Sequence[Subscription] = (),
        longest_sleep_s: float = inf,
        lease_s: float = LEASE_S,
    ) -> None:
        self._tools = RayTools()
        self.runtime = Runner(
            ray=self._tools,
            human=human,
            durations=durations,
            store=store,
            artifacts=None if store is None else artifacts_of(store.url),
            observers=observers,
            longest_sleep_s=longest_sleep_s,
            lease_s=lease_s,
        )
        self._store = store
        self.store_url = None if store is None else store.url
        """Where the runs are kept, without a password."""
        self.start_seconds = 0.0
        """What starting has taken, all in all."""
        for name, engine in (lent or {}).items():
            self.runtime.engines.add(name, engine, lent=True)
        self._progress = progress
        self._ray_address = ray_address
        self._ray: RaySession | None = None
        self._attached: list[Attachment] = []
        self._stack = ExitStack()
        self._one_at_a_time = asyncio.Lock()

    @classmethod
    async def on(cls, store: StoreLike | None, progress: Starting, **options: Any) -> Self:
        """With runs in a store: its URL, its path, or a store of the caller's, who closes it.

        Raises ``JournalError`` ORCH-R093 and ORCH-R094 for one that cannot be opened.
        """
        if store is None:
            return cls(progress, **options)
        found, is_ours = await stores.opened(store)
        made = cls(progress, store=found, **options)
        made._store = found if is_ours else None
        return made

    async def start(self, compiled: Compiled) -> None:
        """Start what ``compiled`` needs, and what has not been started for another one.

        Where models are named by values, engines that the plan does not count on start with their first call.
        """
        from orchestrator.runtime.engines.registry import create

        began = time.perf_counter()
        used, specs = used_engines(compiled.plan), possible_engines(compiled)
        remote_tools = any(op.place.startswith("ray-") for op in compiled.plan.ops)
        async with self._one_at_a_time:
            if remote_tools or self._ray_address or any(spec.kind == "vllm" for spec in specs):
                self._connect()
            engines = self.runtime.engines
            if self._ray_address:
                new = [spec for spec in specs if spec.name not in engines.by_name and spec.kind != "openai"]
                await self._attach(new, compiled.plan.workflow)
            for spec in specs:
                if spec.name not in engines.by_name:
                    engines.add(spec.name, create(spec, self._ray))
                if spec not in used or engines.has_started(spec.name):
                    continue
                what = f"{engine_label(spec)} with {short_model(spec.model)}"
                before = time.perf_counter()
                self._progress.starting(what)
                await engines.started(spec.name)
                self._progress.started(what, time.perf_counter() - before)
            self.start_seconds += time.perf_counter() - began

    async def _attach(self, specs: Sequence[EngineSpec], workflow: str) -> None:
        """Ask the replicas of deployments that serve these engines, instead of starting any."""
        from orchestrator.runtime.deploy.attached import attach

        for found in await attach({spec.name: spec for spec in specs}, workflow):
            self._attached.append(found)
            for name, engine in found.engines.items():
                self.runtime.engines.add(name, engine)
                count = len(engine.replicas)
                replicas = f"{count} replica{'s' * (count != 1)}"
                self._progress.note(f"`{name}` is served by {replicas} of the deployment `{found.deployment.name}`")

    def _connect(self) -> None:
        if self._ray is not None:
            return
        from orchestrator.runtime.ray.session import connect

        address = self._ray_address
        self._progress.starting(f"Ray at {address}" if address else "Ray")
        self._ray = self._stack.enter_context(connect(address))
        self._stack.callback(self._tools.close)

    async def close(self) -> None:
        """Stop all of it; what cannot be stopped is said, as the results are there and are not lost for that."""
        try:
            await self.runtime.close()
        except RunError as error:
            self._progress.note(str(error))
        finally:
            for attached in self._attached:
                await attached.close()
            self._stack.close()
            if self._store is not None:
                with told(self._store.url):
                    await self._store.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()
