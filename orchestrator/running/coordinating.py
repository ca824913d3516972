"""What a worker is, wherever its process runs: a coordinator over a store, with all that its workflows need started."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.running.opened import Opened, possible_engines
from orchestrator.runtime.coordinator.coordinator import SHORT_SLEEP_S, Coordinator
from orchestrator.runtime.engines.registry import sharing_of
from orchestrator.runtime.kv.replicas import replicated

if TYPE_CHECKING:
    from orchestrator.compiler import Compiled
    from orchestrator.running.opened import Starting
    from orchestrator.runtime.engines.base import Engine


@dataclass(frozen=True, slots=True)
class Work:
    """What each of several workers does."""

    load: Callable[[], Sequence[Compiled]]
    """The workflows, found and compiled where the worker is."""
    store: str
    """Its URL."""
    engines: Mapping[str, Sequence[Engine]] = field(default_factory=dict)
    """The replicas of engines that all workers share, by the names of the engines."""
    concurrency: int = 16
    lease_s: float = 15.0


@asynccontextmanager
async def coordinating(
    work: Work, workflows: Sequence[Compiled], progress: Starting, *, ray_address: str | None = None
) -> AsyncIterator[Coordinator]:
    """A coordinator that is ready to run; what was started for it is closed behind the block.

    Raises ``JournalError`` ORCH-R093 and ORCH-R094 for a store that cannot be opened, and what starting an engine does.
    """
    specs = {spec.name: spec for each in workflows for spec in possible_engines(each)}
    sharing = {name: sharing_of(spec) for name, spec in specs.items() if name in work.engines}
    async with await Opened.on(
        work.store,
        progress,
        ray_address=ray_address,
        lent={name: replicated(name, each, sharing.get(name)) for name, each in work.engines.items()},
        longest_sleep_s=SHORT_SLEEP_S,
        lease_s=work.lease_s,
    ) as opened:
        for each in workflows:
            await opened.start(each)
        gc.freeze()  # compilers and plans stay, and need not be looked through again and again
        yield Coordinator(opened.runtime, workflows, concurrency=work.concurrency)
