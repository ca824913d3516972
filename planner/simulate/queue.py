"""The queue of a replica: by key, but for preempted requests, which are at its head, and turns that are held back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from math import inf

from orchestrator.planner.simulate.request import Request


class RequestQueue:
    """Requests that wait for memory or for a place in the batch."""

    __slots__ = ("_heap", "_prepended", "held")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Request]] = []
        self._prepended = 0
        self.held: dict[int, Request] = {}
        """It has those without a place, by sequence number."""

    def __len__(self) -> int:
        """Requests with a place."""
        return len(self._heap)

    def __iter__(self) -> Iterator[tuple[float, Request]]:
        """All with their keys, those held back too, in no order."""
        for key, _, request in self._heap:
            yield key, request
        for request in self.held.values():
            yield inf, request

    @property
    def total(self) -> int:
        """Requests, those held back too."""
        return len(self._heap) + len(self.held)

    @property
    def first(self) -> Request:
        """The one that is next; there must be one."""
        return self._heap[0][2]

    def push(self, request: Request, key: float) -> None:
        """Give a request its place: least key first, then in order of readiness."""
        request.key = key
        heappush(self._heap, (key, request.sequence, request))

    def prepend(self, request: Request) -> None:
        """Put a request before all others."""
        self._prepended += 1
        heappush(self._heap, (-inf, -self._prepended, request))

    def pop(self) -> Request:
        """Take the next one out."""
        key, _, request = heappop(self._heap)
        request.key = key
        return request

    def sort(self, key_of: Callable[[Request], float]) -> None:
        """Order them by new keys; those that were prepended stay first."""
        self._heap = [(key if key == -inf else key_of(r), place, r) for key, place, r in self._heap]
        heapify(self._heap)
