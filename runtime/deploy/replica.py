"""One replica of a deployment: an actor with an engine in it, in a placement group that holds its devices.

Both are detached and named, so that they outlive whoever started them and are found again. An actor that ends is not
started again by Ray, which would not know where there is room: the keeper does that.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from orchestrator.errors import OrchError
from orchestrator.planner.cluster import EngineSpec
from orchestrator.runtime.deploy import errors, nodes
from orchestrator.runtime.deploy.layout import EngineGroup
from orchestrator.runtime.engines import errors as engine_errors
from orchestrator.runtime.engines.base import Chunk, GenerateRequest
from orchestrator.runtime.engines.hosted import EngineHost, coded_in, last_line, put_last
from orchestrator.runtime.engines.registry import create
from orchestrator.runtime.kv.replicas import ReplicaSet

MAX_REQUESTS: Final = 10_000
ROOM_S: Final = 15.0
"""A replica that has no place after this has none."""
START_S: Final = 600.0
"""Loading a model may take so long, where its engine's ``start_timeout_s`` does not say."""
CLOSE_S: Final = 20.0


class ReplicaHost(EngineHost):
    """What runs in the actor. While it is being drained it refuses what is new and ends what it has."""

    def __init__(self, spec: EngineSpec) -> None:
        put_last(Path.cwd())
        made = create(spec)
        super().__init__(made.replicas[0] if isinstance(made, ReplicaSet) else made)  # those who ask share it
        self._name = spec.name
        self._under_way = 0
        self._is_leaving = False
        self._is_idle = asyncio.Event()

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[list[Chunk], None]:
        """Lists of chunks; raises ORCH-E013 when it is being drained."""
        if self._is_leaving:
            raise engine_errors.taken_out(self._name)
        self._under_way += 1
        try:
            async for chunks in super().generate(request):
                yield chunks
        finally:
            self._under_way -= 1
            self._settle()

    async def drain(self) -> None:
        """Take nothing new, and return when nothing is under way."""
        self._is_leaving = True
        self._settle()
        await self._is_idle.wait()

    async def is_leaving(self) -> bool:
        """Whether it is being drained."""
        return self._is_leaving

    async def place(self) -> tuple[str, int]:
        """The address of its node, and its process."""
        import ray

        return ray.util.get_node_ip_address(), os.getpid()

    async def lives(self) -> None:
        """Never return: who waits for this hears at once when the actor has ended."""
        await asyncio.Event().wait()

    def _settle(self) -> None:
        if self._is_leaving and not self._under_way:
            self._is_idle.set()


@dataclass(frozen=True, slots=True)
class Identity:
    """What a replica is, as its name says."""

    group: str
    fingerprint: str
    number: str

    @classmethod
    def new(cls, group: EngineGroup) -> Identity:
        """Of a replica that is to be started."""
        return cls(group.name, group.fingerprint, uuid4().hex[:8])

    @classmethod
    def read(cls, name: str) -> Identity | None:
        """Out of an actor's name; None for an actor that is no replica."""
        parts = name.rsplit("/", 2)
        return cls(*parts) if len(parts) == 3 else None

    @property
    def name(self) -> str:
        """The actor's name, and its placement group's."""
        return f"{self.group}/{self.fingerprint}/{self.number}"


@dataclass(slots=True, eq=False)
class Replica:
    """A replica that serves, or is being drained."""

    identity: Identity
    actor: Any
    room: Any
    """Its placement group; None: it reserves nothing."""
    node: str = ""
    pid: int = 0
    is_leaving: bool = False

    async def drain(self, within_s: float) -> bool:
        """Let it end what it has; whether it did within this time."""
        import ray

        with suppress(ray.exceptions.RayError):  # one that has ended has nothing left to end
            try:
                await asyncio.wait_for(_ended(self.actor.drain.remote()), within_s)
            except TimeoutError:
                return False
        return True

    async def stop(self) -> None:
        """Close its engine, end it, and give back its devices; safe for one that has ended."""
        import ray

        with suppress(TimeoutError, ray.exceptions.RayError):
            await asyncio.wait_for(_ended(self.actor.close.remote()), CLOSE_S)
        self.kill()

    def kill(self) -> None:
        """End it at once, and give back its devices."""
        import ray

        with suppress(ray.exceptions.RayError, ValueError):
            ray.kill(self.actor)
        if self.room is not None:
            ray.util.remove_placement_group(self.room)


async def start(group: EngineGroup, bundle: nodes.Bundle, namespace: str, *, room_s: float = ROOM_S) -> Replica:
    """A replica that serves. Raises ``RunError`` ORCH-R124 and R125; then nothing of it is left."""
    import ray
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    identity = Identity.new(group)
    room = None
    strategy: Any = "SPREAD"
    if bundle:
        room = ray.util.placement_group([dict(bundle)], strategy="PACK", name=identity.name, lifetime="detached")
        strategy = PlacementGroupSchedulingStrategy(room, placement_group_bundle_index=0)
    actor = None
    try:
        if room is not None:
            await _has_room(room, group, bundle, room_s)
        own = {name: amount for name, amount in bundle.items() if name not in (nodes.GPU, nodes.MEMORY)}
        actor = ray.remote(ReplicaHost).options(
            name=identity.name,
            namespace=namespace,
            lifetime="detached",
            num_cpus=0,
            num_gpus=bundle.get(nodes.GPU, 0.0),
            memory=int(bundle.get(nodes.MEMORY, 0.0)) or None,
            resources=own,
            max_concurrency=MAX_REQUESTS,
            max_restarts=0,
            scheduling_strategy=strategy,
        ).remote(group.engine)  # fmt: skip
        made = Replica(identity, actor, room)
        await _load(made, group)
    except BaseException:
        Replica(identity, actor, room).kill() if actor is not None else _give_back(room)
        raise
    return made


async def _load(made: Replica, group: EngineGroup) -> None:
    import ray

    given = group.engine.option("start_timeout_s")
    within_s = float(given) if isinstance(given, int | float) and given > 0 else START_S
    try:
        await asyncio.wait_for(_ended(made.actor.start.remote()), within_s)
        made.node, made.pid = await _ended(made.actor.place.remote())
    except TimeoutError:
        fix = "raise the engine's `start_timeout_s`, or look at the worker's log on its node"
        raise errors.not_started(group.engine.name, f"it was not ready within {within_s:g} s", fix) from None
    except OrchError as error:
        raise _not_started(group, error) from error
    except ray.exceptions.RayError as error:
        coded = coded_in(error)
        if coded is not None:
            raise _not_started(group, coded) from error
        raise errors.not_started(group.engine.name, _why(error), None) from error


def _not_started(group: EngineGroup, error: OrchError) -> OrchError:
    first = error.diagnostics[0]
    why = f"{first.message}: {first.why}" if first.why else first.message
    return errors.not_started(group.engine.name, f"{why} ({first.code})", first.fix)


def _why(error: Exception) -> str:
    import ray

    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return "its node ran out of memory"
    text = last_line(error)
    if isinstance(error, ray.exceptions.RayActorError):
        return f"its process ended while it was starting: {text}"
    return text


async def _has_room(room: Any, group: EngineGroup, bundle: nodes.Bundle, within_s: float) -> None:
    try:
        await asyncio.wait_for(_ended(room.ready()), within_s)
    except TimeoutError:
        left = nodes.free()
        free = ", ".join(f"{left.get(name, 0.0):g} x {name}" for name in bundle if name != nodes.MEMORY)
        raise errors.no_room(
            group.engine.name, nodes.shown(bundle), f"{free} is free in all", within_s
        ) from None  # fmt: skip


def _give_back(room: Any) -> None:
    import ray

    if room is not None:
        ray.util.remove_placement_group(room)


async def _ended(reference: Any) -> Any:
    return await reference
