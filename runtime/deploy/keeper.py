"""The keeper of a deployment: a named actor that makes what runs what is wanted, and keeps it so.

``apply`` starts what is missing beside what serves, and only when all of it is ready announces it, drains what is
surplus, and stops that when it has ended what it had. If anything does not start, all that had been started for the
change is stopped again, and what served is as before. What is wanted is recorded in Ray's own store when it is true: a
keeper that Ray starts again reads it there, finds its replicas by their names, and ends those of a change that was
not finished.

A replica that ends by itself is started again wherever there is room, for as long as it takes. Whoever asks the
replicas follows ``members``, which answers when they have changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from orchestrator.errors import OrchError, described
from orchestrator.planner.cluster import EngineSpec
from orchestrator.redaction import WITH_CREDENTIALS
from orchestrator.runtime.deploy import nodes, replica
from orchestrator.runtime.deploy.layout import EngineGroup, Layout
from orchestrator.runtime.deploy.replica import Identity, Replica

KEEPER: Final = "keeper"
PREFIX: Final = "orchestrator-deployment/"
"""What the Ray namespace of a deployment begins with; the deployment's name follows."""
POLL_S: Final = 20.0
"""``members`` answers after this also where nothing has changed."""
AGAIN_S: Final = (1.0, 30.0)
"""The first and the longest pause before what could not be started again is tried once more; it doubles."""
LEAVING: Final = "leaving"
"""Name of the tasks that drain and stop replicas."""
_RECORD: Final = b"layout"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Member:
    """A replica in service."""

    name: str
    engine: EngineSpec
    actor: Any
    node: str
    pid: int


@dataclass(frozen=True, slots=True)
class Membership:
    """The replicas in service at one time."""

    version: str
    members: tuple[Member, ...]
    is_down: bool = False
    """The deployment is being taken down: nothing will come."""


@dataclass(frozen=True, slots=True)
class Status:
    """What runs, and what is wanted."""

    layout: Layout | None
    """None: nothing was deployed yet."""
    members: tuple[Member, ...]
    leaving: int
    """Replicas that are being drained."""
    trouble: str = ""
    """Why something that is missing could not be started again; empty: nothing is missing."""


class Keeper:
    """What runs in the actor; one for each deployment."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._namespace = PREFIX + name
        self._layout: Layout | None = None
        self._replicas: list[Replica] = []
        self._version = uuid4().hex
        self._is_down = False
        self._changed = asyncio.Condition()
        self._changing = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lost = asyncio.Event()
        self._trouble = ""
        self._ready: asyncio.Task[None] | None = None

    async def apply(self, layout: Layout, drain_s: float, room_s: float) -> Status:
        """Make it so. Raises ``RunError`` ORCH-R120 to R125; then all is as it was."""
        await self._recovered()
        layout.require_startable()
        async with self._changing:
            room = nodes.bundles(layout, nodes.alive())
            started = await self._start(_missing(layout, self._replicas), room, room_s)
            self._take(started)
            self._record(layout)
            self._layout, self._trouble, self._is_down = layout, "", False
            left = self._announced(_surplus(layout, self._replicas), drain_s)
        await asyncio.shield(left)
        return await self.status()

    async def down(self, drain_s: float) -> None:
        """Drain and stop everything, what is draining already included, and forget what was wanted."""
        await self._recovered()
        async with self._changing:
            self._layout, self._is_down = None, True
            _store().put(self._namespace, None)
            left = self._announced([each for each in self._replicas if not each.is_leaving], drain_s)
            draining = [each for each in self._tasks if each.get_name() == LEAVING]
        await asyncio.shield(asyncio.gather(left, *draining, return_exceptions=True))

    async def status(self) -> Status:
        """What runs now."""
        await self._recovered()
        leaving = sum(each.is_leaving for each in self._replicas)
        return Status(self._layout, self._members(), leaving, self._trouble)

    async def members(self, seen: str | None) -> Membership:
        """The replicas in service: at once where ``seen`` is another version, else when they change."""
        await self._recovered()
        async with self._changed:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(lambda: self._version != seen), POLL_S)
        return Membership(self._version, self._members(), self._is_down)

    def _members(self) -> tuple[Member, ...]:
        by_name = {} if self._layout is None else self._layout.by_name
        return tuple(
            Member(each.identity.name, by_name[each.identity.group].engine, each.actor, each.node, each.pid)
            for each in self._replicas
            if not each.is_leaving and each.identity.group in by_name
        )

    async def _start(
        self, groups: Iterable[EngineGroup], room: Mapping[str, nodes.Bundle], room_s: float
    ) -> list[Replica]:
        """A replica for each of ``groups``, all or none."""
        tasks = [
            asyncio.create_task(replica.start(group, room[group.name], self._namespace, room_s=room_s))
            for group in groups
        ]  # fmt: skip
        try:
            return list(await asyncio.gather(*tasks))
        except BaseException:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(each.stop() for each in ended if isinstance(each, Replica)))
            raise

    def _take(self, started: Iterable[Replica]) -> None:
        for each in started:
            self._replicas.append(each)
            self._spawn(self._watch(each))

    def _announced(self, leaving: Sequence[Replica] = (), drain_s: float = 0.0) -> asyncio.Future[Any]:
        """Tell who follows that replicas have come, or are ``leaving``; done when the latter have stopped.

        It goes on where nobody waits for it any more.
        """
        for each in leaving:
            each.is_leaving = True
        self._version = uuid4().hex
        tasks = [self._spawn(self._notify())]
        tasks += [self._spawn(self._leave(each, drain_s), LEAVING) for each in leaving]
        return asyncio.gather(*tasks)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _leave(self, leaving: Replica, drain_s: float) -> None:
        """Drain and stop a replica that nobody is sent to any more."""
        if not await leaving.drain(drain_s):
            _log.warning("`%s` is stopped with calls under way: they took too long", leaving.identity.name)
        await leaving.stop()
        if leaving in self._replicas:
            self._replicas.remove(leaving)

    async def _watch(self, watched: Replica) -> None:
        """Notice that a replica has ended, and have another one started unless it was to end."""
        import ray

        with suppress(ray.exceptions.RayError):
            await watched.actor.lives.remote()
        if watched.is_leaving or watched not in self._replicas:
            return
        _log.warning("`%s` has ended, and is started again", watched.identity.name)
        self._replicas.remove(watched)
        watched.kill()
        self._announced()
        self._lost.set()

    async def _heal(self) -> None:
        """Start again what has ended, one attempt after the other."""
        pause_s = AGAIN_S[0]
        while True:
            await self._lost.wait()
            self._lost.clear()
            async with self._changing:
                try:
                    self._trouble = await self._mended()
                except Exception as error:  # noqa: BLE001 - whatever Ray raises, what is missing is tried again
                    self._trouble = described(error)
            if self._trouble:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, AGAIN_S[1])
                self._lost.set()
            else:
                pause_s = AGAIN_S[0]

    async def _mended(self) -> str:
        """Start what is missing, each by itself; why not all of it could be, or nothing."""
        if self._layout is None:
            return ""
        missing = _missing(self._layout, self._replicas)
        try:
            room = nodes.bundles(self._layout.model_copy(update={"groups": _distinct(missing)}), nodes.alive())
        except OrchError as error:
            return str(error)
        starting = (replica.start(each, room[each.name], self._namespace) for each in missing)
        ended = await asyncio.gather(*starting, return_exceptions=True)
        self._take([each for each in ended if isinstance(each, Replica)])
        self._announced()
        return next((str(each) for each in ended if isinstance(each, BaseException)), "")

    async def _recovered(self) -> None:
        """What a keeper before this one has left is known."""
        if self._ready is None:
            self._ready = asyncio.create_task(self._recover())
        await asyncio.shield(self._ready)

    async def _recover(self) -> None:
        import ray

        text = _store().get(self._namespace)
        self._layout = None if text is None else Layout.model_validate_json(text)
        for each in await asyncio.to_thread(ray.util.list_named_actors, all_namespaces=True):
            identity = Identity.read(each["name"]) if each["namespace"] == self._namespace else None
            if identity is not None:
                await self._find(identity)
        self._spawn(self._heal())
        if self._layout is not None and _missing(self._layout, self._replicas):
            self._lost.set()

    async def _find(self, identity: Identity) -> None:
        """Take a replica up again, or end it where it belongs to nothing that is wanted."""
        import ray

        try:
            actor = ray.get_actor(identity.name, namespace=self._namespace)
        except ValueError:
            return
        found = Replica(identity, actor, _room(identity.name))
        group = None if self._layout is None else self._layout.by_name.get(identity.group)
        try:
            if group is None or group.fingerprint != identity.fingerprint or await actor.is_leaving.remote():
                await found.stop()
                return
            await actor.start.remote()
            found.node, found.pid = await actor.place.remote()
        except ray.exceptions.RayError:
            found.kill()
            return
        self._take([found])

    def _record(self, layout: Layout) -> None:
        _store().put(self._namespace, layout.model_dump_json(context=WITH_CREDENTIALS))

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str | None = None) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _missing(layout: Layout, running: Iterable[Replica]) -> list[EngineGroup]:
    """The group of each replica that is to be started."""
    serving = [each.identity for each in running if not each.is_leaving]
    found = []
    for group in layout.groups:
        have = sum(each.group == group.name and each.fingerprint == group.fingerprint for each in serving)
        found += [group] * (group.replicas - have)
    return found


def _surplus(layout: Layout, running: Iterable[Replica]) -> list[Replica]:
    """Replicas that nothing wants, the youngest first where there are too many alike."""
    left = {(group.name, group.fingerprint): group.replicas for group in layout.groups}
    found = []
    for each in (one for one in running if not one.is_leaving):
        key = each.identity.group, each.identity.fingerprint
        left[key] = left.get(key, 0) - 1
        if left[key] < 0:
            found.append(each)
    return found


def _distinct(groups: Iterable[EngineGroup]) -> tuple[EngineGroup, ...]:
    return tuple({group.name: group.model_copy(update={"replicas": 1}) for group in groups}.values())


def _room(name: str) -> Any:
    import ray

    try:
        return ray.util.get_placement_group(name)
    except ValueError:  # it reserves nothing
        return None


class _Store:
    """Ray's own key-value store, which lives as long as the cluster's head."""

    def get(self, namespace: str) -> str | None:
        from ray.experimental import internal_kv

        found = internal_kv._internal_kv_get(_RECORD, namespace=namespace.encode())
        return None if found is None else found.decode()

    def put(self, namespace: str, text: str | None) -> None:
        """Write the record, or remove it."""
        from ray.experimental import internal_kv

        if text is None:
            internal_kv._internal_kv_del(_RECORD, namespace=namespace.encode())
        else:
            internal_kv._internal_kv_put(_RECORD, text.encode(), overwrite=True, namespace=namespace.encode())


def _store() -> _Store:
    return _Store()
