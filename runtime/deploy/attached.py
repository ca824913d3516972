"""Engines of deployments, as a run asks them: replicas that come and go while it runs.

A run follows its deployment's keeper: a replica that has been started joins the set of its engine, and one that leaves
takes no new call from then on, as a set's own draining has it. A call that comes too late is refused before it has
begun, and goes to another replica; where the only one has ended, it waits until there is another one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, Final

from orchestrator.errors import OrchError, RunError
from orchestrator.planner.cluster import EngineSpec
from orchestrator.runtime.deploy.deployment import Deployment, names
from orchestrator.runtime.deploy.keeper import Member, Membership
from orchestrator.runtime.engines import errors
from orchestrator.runtime.engines.base import Chunk, EngineStats, GenerateRequest, Usage, complete
from orchestrator.runtime.engines.hosted import DIED, coded_in, last_line, streamed
from orchestrator.runtime.engines.registry import sharing_of
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.replicas import ReplicaSet, replicated

PATIENCE_S: Final = 600.0
"""A call waits so long for another replica where there is none."""
AGAIN_S: Final = 1.0
LAST_ONE: Final = "ORCH-R063"
SIMULATED: Final = ("scripted", "sim")


class DeployedReplica:
    """An :class:`~orchestrator.runtime.engines.base.Engine` that somebody else has started, and stops."""

    def __init__(self, member: Member, another: Callable[[str], Awaitable[None]]) -> None:
        """``another``: waits until the engine has another replica than the one of a name."""
        self.name = member.engine.name
        self.model = member.engine.model
        self.simulated = member.engine.kind in SIMULATED
        self.member = member
        self._another = another

    async def start(self) -> None:
        """It has been started."""

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Stream the reply; raises ORCH-E013 where the replica has ended or takes nothing new, when there is another
        one to ask."""
        import ray

        has_begun = False
        try:
            async with aclosing(streamed(self.member.actor, request)) as chunks:
                async for chunk in chunks:
                    has_begun = True
                    yield chunk
        except ray.exceptions.RayError as error:
            coded = self._coded(error)
            if coded.code == DIED and not has_begun:
                await self._another(self.member.name)
            raise coded from error

    async def stats(self) -> EngineStats:
        """The replica's counts, which are those of all who ask it."""
        found: EngineStats = await self._call("stats")
        return found

    async def kv_report(self) -> dict[str, Any]:
        """What the engine says of its KV cache."""
        found: dict[str, Any] = await self._call("kv_report")
        return found

    async def release(self, session: str) -> None:
        """Let go of the session's KV cache."""
        await self._call("release", session)

    async def prefetch(self, request: GenerateRequest) -> Usage:
        """Compute the prefix that a later turn begins with."""
        return (await complete(self, request)).usage or Usage()

    async def extend(self, session: str, hint: KvHint) -> None:
        """More is known of the session's pause than when its turn began."""
        await self._call("extend", session, hint)

    async def close(self) -> None:
        """It serves others still."""

    async def _call(self, method: str, *args: object) -> Any:
        import ray

        try:
            return await getattr(self.member.actor, method).remote(*args)
        except ray.exceptions.RayError as error:
            raise self._coded(error) from error

    def _coded(self, error: Exception) -> OrchError:
        import ray

        coded = coded_in(error)
        if coded is not None:
            return coded
        if isinstance(error, ray.exceptions.RayTaskError):
            return errors.rejected(self.name, last_line(error))
        return errors.engine_died(self.name, last_line(error), None)


class Attachment:
    """The engines of one deployment that a process asks. For one event loop."""

    def __init__(self, deployment: Deployment, found: Membership, wanted: Sequence[EngineSpec]) -> None:
        """``wanted`` says how programs share each engine. Raises ORCH-E016 where it does not."""
        self.deployment = deployment
        self._membership = found
        self._changed = asyncio.Condition()
        self._leaving: set[asyncio.Task[None]] = set()
        self.engines: dict[str, ReplicaSet] = {}
        """The engines by name; each has a replica at least."""
        for spec in wanted:
            members = [each for each in found.members if each.engine.name == spec.name]
            self.engines[spec.name] = replicated(
                spec.name, [self._replica(each) for each in members], sharing_of(spec)
            )  # fmt: skip
        self._following = asyncio.get_running_loop().create_task(self._follow())

    async def close(self) -> None:
        """Follow the deployment no more; it goes on."""
        for task in (self._following, *self._leaving):
            task.cancel()
        await asyncio.gather(self._following, *self._leaving, return_exceptions=True)

    def _replica(self, member: Member) -> DeployedReplica:
        async def another(than: str) -> None:
            await self._another(member.engine.name, than)

        return DeployedReplica(member, another)

    async def _another(self, engine: str, than: str) -> None:
        def is_there() -> bool:
            others = [one for one in self._membership.members if one.engine.name == engine and one.name != than]
            return self._membership.is_down or bool(others)

        async with self._changed:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(is_there), PATIENCE_S)

    async def _follow(self) -> None:
        while True:
            try:
                found = await self.deployment.members(self._membership.version)
            except RunError:  # the keeper is being started again, or the deployment was taken down
                await asyncio.sleep(AGAIN_S)
                continue
            if found.version != self._membership.version:
                self._take(found)
                async with self._changed:
                    self._changed.notify_all()

    def _take(self, found: Membership) -> None:
        self._membership = found
        for name, engine in self.engines.items():
            members = {each.name: each for each in found.members if each.engine.name == name}
            known = {_name(each): index for index, each in enumerate(engine.replicas)}
            for new in members.keys() - known.keys():
                engine.add(self._replica(members[new]))
            for gone in known.keys() - members.keys():
                task = asyncio.get_running_loop().create_task(_retire(engine, known[gone]))
                self._leaving.add(task)
                task.add_done_callback(self._leaving.discard)


async def _retire(engine: ReplicaSet, index: int) -> None:
    try:
        await engine.retire(index)
    except RunError as error:
        if error.code != LAST_ONE:  # the last one stays until there is another: calls wait there
            raise


async def attach(wanted: Mapping[str, EngineSpec], prefer: str) -> list[Attachment]:
    """The deployments of the connected Ray that serve ``wanted`` engines, by name, kind and model.

    Each engine is taken from one deployment: the one called ``prefer``, else the first by name.
    """
    left, attached = dict(wanted), list[Attachment]()
    for name in sorted(await asyncio.to_thread(names), key=lambda each: (each != prefer, each)):
        if not left:
            break
        try:
            deployment = Deployment.found(name)
            found = await deployment.members(None)
        except RunError:  # it ended meanwhile
            continue
        served = {each.engine.name: each.engine for each in found.members}
        taken = [spec for name, spec in left.items() if name in served and _is_same(spec, served[name])]
        if taken:
            attached.append(Attachment(deployment, found, taken))
        for spec in taken:
            del left[spec.name]
    return attached


def _is_same(spec: EngineSpec, served: EngineSpec) -> bool:
    return (spec.kind, spec.model) == (served.kind, served.model)


def _name(engine: object) -> str:
    return engine.member.name if isinstance(engine, DeployedReplica) else ""
