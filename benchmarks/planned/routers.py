"""The arms of the experiment on routing: what routers do that know queues and caches, and nothing of programs.

Each arm is a policy as the simulator takes it, so that it is simulated and measured by the same functions. A call is a
turn of nothing there: it is placed by itself each time, and engines get no hints.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any, Final

from orchestrator.planner.policies import DEFAULT_POLICY, POLICIES
from orchestrator.planner.policies.fcfs import fcfs
from orchestrator.planner.policies.round_robin import round_robin
from orchestrator.planner.policies.view import Policy, ReplicaView, RequestView
from orchestrator.runtime.engines.base import Chunk, Engine, EngineStats, GenerateRequest
from orchestrator.runtime.kv.admission import AdmissionOptions, CapOptions
from orchestrator.runtime.kv.replicas import ReplicaOptions
from orchestrator.runtime.kv.routing import RoutingOptions

WORTH: Final = 0.5
"""Share of a prompt that must be cached for a call to follow its cache."""
BALANCED: Final = 4
"""Requests by which loads may differ while calls follow caches."""


def cache_aware(request: RequestView, replicas: Sequence[ReplicaView], now: float) -> int:
    """The replica with most of the prompt in its cache while loads are balanced, else the one with fewest requests."""
    loads = [replica.running_count + replica.waiting_count for replica in replicas]
    cached = [replica.cached_tokens(request, now) for replica in replicas]
    most = max(range(len(replicas)), key=cached.__getitem__)
    if max(loads) - min(loads) <= BALANCED and cached[most] > WORTH * request.prompt_tokens:
        return most
    return min(range(len(replicas)), key=lambda at: (loads[at], -cached[at], at))


OURS: Final = DEFAULT_POLICY
RIVAL: Final = "cache-aware+least-loaded"
FLOOR: Final = "round-robin+fcfs"
ARMS: Final[dict[str, Policy]] = {
    OURS: POLICIES[DEFAULT_POLICY](),
    RIVAL: Policy(RIVAL, cache_aware, fcfs, migrate=cache_aware),
    FLOOR: Policy(FLOOR, round_robin, fcfs, migrate=round_robin),
}


def options_of(arm: str) -> ReplicaOptions:
    """How an arm shares the engines: the others have no admission in front of them."""
    if arm == OURS:
        return ReplicaOptions()
    open_to_all = AdmissionOptions(CapOptions(programs=100_000, fixed=True))
    return ReplicaOptions(open_to_all, RoutingOptions(ARMS[arm]))


class Told:
    """An engine whose replies are cut, and which is told of programs only if ``hinted``."""

    simulated = False

    def __init__(self, engine: Any, most_tokens: int, *, hinted: bool) -> None:
        self.engine: Engine = engine
        self.name, self.model = engine.name, engine.model
        self.most_tokens, self.hinted = most_tokens, hinted

    async def start(self) -> None:
        """It has been started."""

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """The reply, of at most as many tokens."""
        asked = request.sampling
        sampling = replace(asked, max_tokens=min(asked.max_tokens or self.most_tokens, self.most_tokens))
        told = replace(request, sampling=sampling, model=self.model)
        if not self.hinted:
            told = replace(told, session=None, kv=None)
        async for chunk in self.engine.generate(told):
            yield chunk

    async def stats(self) -> EngineStats:
        """The engine's."""
        return await self.engine.stats()

    async def release(self, session: str) -> None:
        """A hint."""
        if self.hinted:
            await self.engine.release(session)

    async def close(self) -> None:
        """Whoever made the engine closes it."""
