"""vLLM engines that several processes of a Ray cluster share: one each, however many there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

from orchestrator.errors import described
from orchestrator.running.engines import engine_label, short_model
from orchestrator.running.opened import possible_engines
from orchestrator.runtime.kv.replicas import ReplicaSet
from orchestrator.runtime.tools.raised import faults_of

if TYPE_CHECKING:
    from orchestrator.compiler import Compiled
    from orchestrator.running.opened import Starting
    from orchestrator.runtime.engines.base import Engine
    from orchestrator.runtime.ray.session import RaySession


@asynccontextmanager
async def lent_engines(
    workflows: Iterable[Compiled], session: RaySession, progress: Starting, *, sharers: int
) -> AsyncIterator[dict[str, Sequence[Engine]]]:
    """The replicas of each vLLM engine that some workflow may call, for so many processes; they are started before the
    block and stopped behind it. Raises what creating or starting one raises.
    """
    from orchestrator.runtime.engines.registry import create
    from orchestrator.runtime.engines.vllm.shared import SharedVllm

    found = {spec.name: spec for each in workflows for spec in possible_engines(each) if spec.kind == "vllm"}
    ours: dict[str, list[SharedVllm]] = {}
    for name, spec in found.items():
        made: Any = create(spec, session)
        replicas: Sequence[Any] = made.replicas if isinstance(made, ReplicaSet) else [made]
        ours[name] = [SharedVllm(each.name, each.model, each.options) for each in replicas]
    every = [engine for engines in ours.values() for engine in engines]
    try:
        for name, engines in ours.items():
            what = f"{engine_label(found[name])} with {short_model(found[name].model)}, for all workers"
            began = perf_counter()
            progress.starting(what)
            await asyncio.gather(*(each.start() for each in engines))
            progress.started(what, perf_counter() - began)
        yield {name: [each.lent(sharers) for each in engines] for name, engines in ours.items()}
    finally:
        for fault in await faults_of(each.close for each in every):
            if fault is not None:
                progress.note(f"an engine did not stop cleanly: {described(fault)}")
