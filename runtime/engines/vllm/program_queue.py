"""The waiting queue in program order: a turn of a program that is under way goes before a program that is not.

Requests without hints keep exactly the place that first-come-first-served gives them. The places between them belong to
turns with hints, and each such place is taken by the most urgent of these. So their order never costs a request without
hints a place.

A turn whose session holds no memory is *held* back, without a place, until :meth:`ProgramQueue.release` gives it one:
whoever calls that knows whether the session will fit beside those that are under way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush
from typing import Any

from vllm.v1.core.sched.request_queue import RequestQueue


class ProgramQueue(RequestQueue):  # type: ignore[misc]
    """``urgency`` gives a request's key, least first, or None for a request without hints; ``holds`` whether a turn is
    held back."""

    def __init__(self, urgency: Callable[[Any], float | None], holds: Callable[[Any], bool]) -> None:
        self._urgency = urgency
        self._holds = holds
        self._front: deque[Any] = deque()
        """Preempted and skipped requests: they were at the head already."""
        self._places: deque[Any] = deque()
        """It has, in order of arrival, a request without hints, or None, a place for a turn."""
        self._turns: list[tuple[float, int, Any]] = []
        self._held: list[tuple[float, int, Any]] = []
        self._added = 0

    def add_request(self, request: Any) -> None:
        """Queue a request that has just arrived."""
        urgency = self._urgency(request)
        if urgency is None:
            self._places.append(request)
            return
        self._added += 1
        if self._holds(request):
            heappush(self._held, (urgency, self._added, request))
        else:
            self._places.append(None)
            heappush(self._turns, (urgency, self._added, request))

    @property
    def held(self) -> Any:
        """The most urgent request that is held back; None if none is."""
        return self._held[0][2] if self._held else None

    @property
    def held_count(self) -> int:
        """Requests that are held back."""
        return len(self._held)

    @property
    def unhinted_count(self) -> int:
        """Requests without hints that have a place."""
        in_front = sum(self._urgency(request) is None for request in self._front)
        return in_front + len(self._places) - len(self._turns)

    def placed(self) -> Iterator[Any]:
        """The requests that have a place, in no order."""
        yield from self._front
        yield from (place for place in self._places if place is not None)
        yield from (entry[2] for entry in self._turns)

    def release(self) -> Any:
        """Give the most urgent request that is held back a place, the last one, and return it."""
        _, number, request = heappop(self._held)
        self._places.append(None)
        heappush(self._turns, (self._urgency(request) or 0.0, number, request))
        return request

    def peek_request(self) -> Any:
        """The request that is next."""
        if self._front:
            return self._front[0]
        if not self._places:
            raise IndexError("peek from an empty queue")
        place = self._places[0]
        return place if place is not None else self._turns[0][2]

    def pop_request(self) -> Any:
        """Take the next request out."""
        if self._front:
            return self._front.popleft()
        if not self._places:
            raise IndexError("pop from an empty queue")
        place = self._places.popleft()
        return place if place is not None else heappop(self._turns)[2]

    def prepend_request(self, request: Any) -> None:
        """Put a request before all others."""
        self._front.appendleft(request)

    def prepend_requests(self, requests: Iterable[Any]) -> None:
        """Put requests before all others, the last one first."""
        self._front.extendleft(requests)

    def remove_request(self, request: Any) -> None:
        """Take one request out; raises ValueError if it is not there."""
        if not self.remove_requests((request,)):
            raise ValueError("the request is not in the queue")

    def remove_requests(self, requests: Iterable[Any]) -> int:
        """Take out those of ``requests`` that are here; returns how many."""
        gone = set(requests)
        before = len(self)
        self._front = deque(request for request in self._front if request not in gone)
        turns = [entry for entry in self._turns if entry[2] not in gone]
        surplus = len(self._turns) - len(turns)
        kept: deque[Any] = deque()
        for place in reversed(self._places):
            if place is None and surplus:
                surplus -= 1
            elif place is None or place not in gone:
                kept.appendleft(place)
        self._places = kept
        heapify(turns)
        self._turns = turns
        self._held = [entry for entry in self._held if entry[2] not in gone]
        heapify(self._held)
        return before - len(self)

    def __bool__(self) -> bool:
        """Whether a request is next; those held back do not count."""
        return bool(self._front or self._places)

    def __len__(self) -> int:
        """All requests, those held back too."""
        return len(self._front) + len(self._places) + len(self._held)

    def __iter__(self) -> Iterator[Any]:
        yield from self._front
        turns = iter(sorted(self._turns, key=lambda entry: entry[:2]))
        for place in self._places:
            yield place if place is not None else next(turns)[2]
        yield from (entry[2] for entry in sorted(self._held, key=lambda entry: entry[:2]))
