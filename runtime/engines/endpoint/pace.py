"""How many requests an endpoint is sent at once: learned from its refusals, as TCP learns from loss.

Calls wait in one queue, here and nowhere else: tenants get equal shares, within a tenant so do programs. The limit
starts at ``FIRST`` and doubles each round in which others waited (slow start) until the first refusal. From then on
(AIMD, Chiu and Jain 1989)::

    an answer while others wait              limit = limit + 1 / limit
    a refusal (HTTP 429, 503, 529)           limit = max(1, KEPT * requests in flight), once a round

A *round* is what was sent before the latest decrease: its further refusals are of the same cause. After a refusal
nothing is sent until the time the endpoint named, or for a wait that doubles with each round that was refused; then
what was refused goes first. So a refusal costs nobody an attempt.

>>> import asyncio
>>> async def ask(pace: Pace) -> None:
...     permit = await pace.enter("tenant", "run-7")
...     try:
...         permit.answered()                       # or permit.refused(retry_after_s)
...     finally:
...         permit.leave()
>>> asyncio.run(ask(Pace()))
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Final
from weakref import WeakKeyDictionary

from orchestrator.runtime.kv.fairness import FairQueue, Place

FIRST: Final = 32.0
MOST: Final = 512
"""Requests at once, by default: each is a socket, and processes may have 1,024 of those."""
KEPT: Final = 0.7
"""Share of the requests in flight that stays after a refusal."""
SPARE: Final = 64
"""Places of programs that may be remembered beyond twice the calls that wait."""
LEAST_WAIT_S: Final = 0.001
"""After any refusal, so that what was refused is back in the queue before others are sent."""
SHORTEST_WAIT_S: Final = 0.25
LONGEST_WAIT_S: Final = 8.0
"""Waits where the endpoint names none."""


class HeldError(Exception):
    """The endpoint takes no requests for longer than a call has patience."""

    def __init__(self, for_s: float, words: str) -> None:
        super().__init__(words)
        self.for_s = for_s
        self.words = words
        """These are the words of the refusal that named the time."""


class Permit:
    """The right to one request; :meth:`leave` gives it back."""

    __slots__ = ("_epoch", "_is_answered", "_is_inside", "_pace", "key")

    def __init__(self, pace: Pace, key: float) -> None:
        self.key = key
        """Its place among its tenant's calls; given to :meth:`Pace.enter` again, it keeps it."""
        self._pace = pace
        self._epoch = pace.epoch
        self._is_answered, self._is_inside = False, True

    def answered(self) -> None:
        """The endpoint took the request; does nothing the second time."""
        if not self._is_answered:
            self._is_answered = True
            self._pace.answered()

    def refused(self, retry_after_s: float | None, words: str = "") -> None:
        """It takes no more now; it named a time to wait, or none."""
        self._pace.refused(self._epoch, retry_after_s, words)

    def leave(self) -> None:
        """The request is over; does nothing the second time."""
        if self._is_inside:
            self._is_inside = False
            self._pace.left()


class Pace:
    """The limit and the queue of one model at an endpoint. For one event loop."""

    def __init__(self, most: int = MOST, first: float = FIRST, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = min(first, float(most))
        """Requests at once; never below 1."""
        self.most = most
        self.in_flight = 0
        self.epoch = 0
        """Decreases so far."""
        self.refused_rounds = 0
        """It counts the rounds that were refused since the last answer."""
        self.refused_since_s: float | None = None
        """When the first of those was refused."""
        self.clock = clock
        self._is_learning = True
        """Whether nothing was refused yet."""
        self._held_until_s = -inf
        self._held_for = ""
        """The words of the refusal that it is held for."""
        self._queue: FairQueue[tuple[float, asyncio.Future[Permit]]] = FairQueue()
        self._patience_s: dict[asyncio.Future[Permit], float] = {}
        """It has how long each of those in the queue will wait."""
        self._keys: dict[str, float] = {}
        """It has, for each program, the place of the latest of its calls that waits."""
        self._served = 0.0
        self._will_resume = False
        """Whether a timer is set; it is not kept, as it would keep its event loop alive."""

    @property
    def waiting(self) -> int:
        """Calls in the queue."""
        return len(self._queue)

    async def enter(self, tenant: str, program: str, key: float | None = None, *, patience_s: float = inf) -> Permit:
        """Wait for a place; ``key``: of a permit that the same call had before.

        Raises :class:`HeldError` as soon as the endpoint has named a time that is longer than ``patience_s`` from now.
        """
        if (held_s := self._held_until_s - self.clock()) > patience_s:
            raise HeldError(held_s, self._held_for)
        if key is None:
            key = max(self._served, self._keys.get(program, 0.0)) + 1.0
        if not len(self._queue) and self._has_room(self.clock()):
            return self._grant(key)
        self._keys[program] = max(key, self._keys.get(program, 0.0))
        if len(self._keys) > 2 * len(self._queue) + SPARE:  # most are of calls that were served
            self._keys = {name: latest for name, latest in self._keys.items() if latest > self._served}
        granted: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        place = self._queue.push(tenant, key, (key, granted))
        self._patience_s[granted] = patience_s
        self._deliver()
        try:
            return await granted
        except BaseException:
            self._withdraw(place, granted)
            raise
        finally:
            del self._patience_s[granted]

    @asynccontextmanager
    async def place(self, tenant: str, program: str) -> AsyncIterator[None]:
        """A place for as long as the context lasts."""
        permit = await self.enter(tenant, program)
        try:
            yield
        finally:
            permit.leave()

    def answered(self) -> None:
        """A request was taken."""
        self.refused_rounds, self.refused_since_s = 0, None
        if len(self._queue):
            self.limit = min(self.limit + (1.0 if self._is_learning else 1.0 / self.limit), float(self.most))
            self._deliver()

    def refused(self, epoch: int, retry_after_s: float | None, words: str = "") -> None:
        """A request that was sent in ``epoch`` was refused."""
        now_s = self.clock()
        if self.refused_since_s is None:
            self.refused_since_s = now_s
        if epoch == self.epoch:
            self.epoch += 1
            self.refused_rounds += 1
            self._is_learning = False
            self.limit = max(1.0, KEPT * min(self.limit, self.in_flight))
        if retry_after_s is None:
            retry_after_s = _untold_wait_s(self.refused_rounds)
        elif retry_after_s == 0.0 and self.refused_rounds > 1:  # it named now, and refuses again
            retry_after_s = _untold_wait_s(self.refused_rounds - 1)
        until_s = now_s + max(retry_after_s, LEAST_WAIT_S)
        if until_s > self._held_until_s:
            self._held_until_s, self._held_for = until_s, words
            for granted, patience_s in self._patience_s.items():
                if until_s - now_s > patience_s and not granted.done():
                    granted.set_exception(HeldError(until_s - now_s, words))

    def left(self) -> None:
        """A request is over."""
        self.in_flight -= 1
        self._deliver()

    def _has_room(self, now_s: float) -> bool:
        return self.in_flight < int(self.limit) and now_s >= self._held_until_s

    def _grant(self, key: float) -> Permit:
        self.in_flight += 1
        self._served = max(self._served, key)
        return Permit(self, key)

    def _deliver(self) -> None:
        """Let in whoever's turn it is, and come back when the endpoint takes requests again.

        The clock is read once: between two readings that time may come, and nobody would be let in, then or later.
        """
        now_s = self.clock()
        while len(self._queue) and self._has_room(now_s):
            tenant, (key, granted) = self._queue.pop()
            if granted.done():  # and about to withdraw
                continue
            self._queue.charge(tenant, 1.0)
            granted.set_result(self._grant(key))
        if not len(self._queue):
            self._keys.clear()
        elif not self._will_resume and now_s < self._held_until_s:
            self._will_resume = True
            asyncio.get_running_loop().call_later(self._held_until_s - now_s, self._resume)

    def _resume(self) -> None:
        self._will_resume = False
        self._deliver()

    def _withdraw(self, place: Place[tuple[float, asyncio.Future[Permit]]], granted: asyncio.Future[Permit]) -> None:
        if granted.done() and not granted.cancelled() and granted.exception() is None:  # cancelled in the same moment
            granted.result().leave()
        else:
            self._queue.remove(place)


def _untold_wait_s(rounds: int) -> float:
    return min(SHORTEST_WAIT_S * 2.0 ** min(rounds - 1, 30), LONGEST_WAIT_S)


_paces: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str, str], Pace]] = WeakKeyDictionary()


def shared_pace(url: str, key: str, model: str, most: int) -> Pace:
    """The pace of an endpoint for all who ask this model with this key in the running event loop; the largest ``most``
    rules. Hosts limit each model by itself.

    Whoever wants less has a :func:`gate` of its own in front.
    """
    paces = _paces.setdefault(asyncio.get_running_loop(), {})
    pace = paces.setdefault((url, key, model), Pace(most))
    pace.most = max(pace.most, most)
    return pace


def gate(most: int) -> Pace:
    """A pace that learns nothing: so many at once, in fair turns."""
    return Pace(most, float(most))
