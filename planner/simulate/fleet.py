"""The replicas of one model, the requests kept back for them, and what a stage takes on an average one."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from orchestrator.planner.simulate.replica import Replica
from orchestrator.planner.simulate.request import Request


class Fleet:
    """Replicas that can stand in for each other."""

    __slots__ = ("_held", "_kinds", "position", "replicas")

    def __init__(self, replicas: Sequence[Replica]) -> None:
        self.replicas = list(replicas)
        self.position = {replica.index: i for i, replica in enumerate(self.replicas)}
        counts: dict[object, tuple[Replica, int]] = {}
        for replica in self.replicas:
            kind = (replica.speed, replica.spec.step_tokens)
            counts[kind] = (replica, counts.get(kind, (replica, 0))[1] + 1)
        self._kinds = [(replica.alone_s, count / len(self.replicas)) for replica, count in counts.values()]
        self._held: list[tuple[float, int, Request]] = []

    def alone_s(self, prompt_tokens: float, output_tokens: float) -> float:
        """Mean over the replicas of a call's seconds with nothing beside it."""
        return sum(share * alone_s(prompt_tokens, output_tokens) for alone_s, share in self._kinds)

    def hold(self, request: Request, key: float) -> None:
        """Keep a request back."""
        heappush(self._held, (key, request.sequence, request))

    @property
    def first_held(self) -> Request | None:
        """The one with the least key."""
        return self._held[0][2] if self._held else None

    def release_first(self) -> Request:
        """Take it out."""
        return heappop(self._held)[2]
