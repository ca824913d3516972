"""Starting and stopping what a compiled workflow runs on: Ray where something needs it, and every engine, once."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from orchestrator.cli.engines import engine_label, short_model
from orchestrator.errors import RunError

if TYPE_CHECKING:
    from orchestrator.compiler import Compiled
    from orchestrator.runtime.human import Human
    from orchestrator.runtime.kv.durations import DurationModel
    from orchestrator.runtime.ray.session import RaySession
    from orchestrator.runtime.run import Runtime


class Starting(Protocol):
    """Told what is being started."""

    def starting(self, what: str) -> None:
        """Something that takes a while begins."""

    def started(self, what: str, seconds: float) -> None:
        """It is there."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


@dataclass(frozen=True, slots=True)
class Session:
    """A runtime whose engines have started."""

    runtime: Runtime
    start_seconds: float


@asynccontextmanager
async def opened(
    compiled: Compiled,
    progress: Starting,
    *,
    ray_address: str | None = None,
    human: Human | None = None,
    durations: DurationModel | None = None,
) -> AsyncIterator[Session]:
    """Start what ``compiled`` needs of its cluster; whatever happens, stop it again.

    Ray hosts a local vLLM engine and the tools that the plan places there; nothing else needs it.
    """
    from orchestrator.runtime.engines.registry import create
    from orchestrator.runtime.run import Runtime

    began = time.perf_counter()
    plan = compiled.plan
    used = {op.place.removeprefix("engine:") for op in plan.ops if op.place.startswith("engine:")}
    specs = [spec for spec in plan.cluster.engines if spec.name in used]
    remote_tools = any(op.place.startswith("ray-") for op in plan.ops)
    with ExitStack() as stack:
        ray = tools = None
        if remote_tools or ray_address or any(spec.kind == "vllm" for spec in specs):
            ray = stack.enter_context(_ray(ray_address, progress))
        if ray is not None and remote_tools:
            from orchestrator.runtime.ray.tools import RayTools

            tools = RayTools()
            stack.callback(tools.close)
        engines = {spec.name: create(spec, ray) for spec in specs}
        runtime = Runtime(engines, ray=tools, human=human, durations=durations)
        try:
            for spec in specs:
                what = f"{engine_label(spec)} with {short_model(spec.model)}"
                before = time.perf_counter()
                progress.starting(what)
                await runtime.engines.started(spec.name)
                progress.started(what, time.perf_counter() - before)
            yield Session(runtime, time.perf_counter() - began)
        finally:
            try:
                await runtime.close()
            except RunError as error:  # the results are there, and are not lost for that
                progress.note(str(error))


def _ray(address: str | None, progress: Starting) -> RaySession:
    from orchestrator.runtime.ray.session import connect

    progress.starting(f"Ray at {address}" if address else "Ray")
    return connect(address)
