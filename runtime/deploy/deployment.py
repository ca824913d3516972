"""A deployment seen from outside: found or begun in the connected Ray, changed, looked at and taken down.

>>> with connect("auto"):                                                                # doctest: +SKIP
...     status = await Deployment.begun("answer").apply(layout_of(plan))
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Self

from orchestrator.errors import RunError
from orchestrator.runtime.deploy import errors
from orchestrator.runtime.deploy.keeper import KEEPER, PREFIX, Keeper, Membership, Status
from orchestrator.runtime.deploy.layout import Layout
from orchestrator.runtime.deploy.replica import ROOM_S
from orchestrator.runtime.engines.hosted import coded_in, last_line

DRAIN_S: Final = 600.0
"""Calls that are under way have so long to end before their replica is stopped."""
MOST_CALLS: Final = 10_000
RETRIES: Final = 3
"""What a keeper was told is told again to the one that Ray starts in its place: all of it may be done twice."""


HEAD: Final = "node:__internal_head__"
"""The resource of the node that no deployment outlives: its keeper lives there."""
BACK_S: Final = 60.0
"""Ray has so long to start a keeper again whose node has died, with what notices that its node has."""
AGAIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """A handle of a deployment's keeper."""

    name: str
    keeper: Any

    @classmethod
    def begun(cls, name: str) -> Self:
        """The deployment of that name; where there is none, one of nothing yet."""
        import ray

        keeper = ray.remote(Keeper).options(
            name=KEEPER,
            namespace=PREFIX + name,
            lifetime="detached",
            num_cpus=0,
            resources={HEAD: 0.001},
            max_restarts=-1,
            max_task_retries=RETRIES,
            max_concurrency=MOST_CALLS,
            get_if_exists=True,
        ).remote(name)  # fmt: skip
        return cls(name, keeper)

    @classmethod
    def found(cls, name: str) -> Self:
        """The deployment of that name. Raises ``RunError`` ORCH-R126."""
        import ray

        try:
            return cls(name, ray.get_actor(KEEPER, namespace=PREFIX + name))
        except ValueError:
            raise errors.nothing_runs(name, names()) from None

    async def apply(self, layout: Layout, *, drain_s: float = DRAIN_S, room_s: float = ROOM_S) -> Status:
        """Make what runs what the layout says. Raises ``RunError`` ORCH-R120 to R125, and R127.

        Calls get ``drain_s`` to end before their replica is stopped, and a replica ``room_s`` to find a place.
        Cancelling it takes back what was begun. A deployment that was never made is not left behind.
        """
        begun: list[Any] = []
        try:
            applied: Status = await self._told("apply", layout, drain_s, room_s, begun=begun)
        except asyncio.CancelledError:
            import ray

            ray.cancel(begun[-1])
            await asyncio.shield(self._end_if_empty())
            raise
        except RunError:
            await self._end_if_empty()
            raise
        return applied

    async def down(self, drain_s: float = DRAIN_S) -> None:
        """Drain and stop all of it, and end the keeper."""
        import ray

        await self._told("down", drain_s)
        ray.kill(self.keeper)

    async def status(self) -> Status:
        """What runs now."""
        found: Status = await self._told("status")
        return found

    async def members(self, seen: str | None) -> Membership:
        """The replicas in service, when they are others than at ``seen``."""
        found: Membership = await self._told("members", seen)
        return found

    async def _end_if_empty(self) -> None:
        import ray

        status = await self.status()
        if status.layout is None and not status.members:
            ray.kill(self.keeper)

    async def _told(self, method: str, *args: Any, begun: list[Any] | None = None) -> Any:
        """What the keeper answers; one that Ray is starting again, as its node has died, is waited for.

        ``begun`` gets the reference of each call.
        """
        import ray

        patient_until = monotonic() + BACK_S
        while True:
            reference = getattr(self.keeper, method).remote(*args)
            if begun is not None:
                begun.append(reference)
            try:
                return await reference
            except ray.exceptions.ActorUnavailableError as error:
                if monotonic() > patient_until:
                    raise errors.keeper_lost(self.name, last_line(error)) from error
                await asyncio.sleep(AGAIN_S)
            except ray.exceptions.RayError as error:
                coded = coded_in(error)
                if coded is not None:
                    raise coded from error
                raise errors.keeper_lost(self.name, last_line(error)) from error


def names() -> list[str]:
    """The deployments of the connected Ray."""
    import ray

    actors = ray.util.list_named_actors(all_namespaces=True)
    keepers = (each["namespace"] for each in actors if each["name"] == KEEPER)
    return sorted(each.removeprefix(PREFIX) for each in keepers if each.startswith(PREFIX))
