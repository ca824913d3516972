"""One attempt of an op: its number, its clock, and whether its work has begun.

An op that waits for its turn, at an engine's gate, for a thread or in a client's queue, does nothing yet. So its
timeout does not run there, and an attempt that is given up there has done nothing: it is not billed, and a tool that
must run at most once was not started. Whoever lets it go on calls :meth:`Attempt.begin`. The seconds of a budget count
all the time: they bound how long somebody waits for the result.

A structured op begins when the first op inside it does, or when it computes for long itself, and its timeout runs on
from there.
"""

from __future__ import annotations

import asyncio
from asyncio import timeout
from collections.abc import Coroutine
from contextlib import AbstractContextManager
from contextvars import ContextVar
from math import inf
from typing import Any, TypeVar

from orchestrator.holding import Holding
from orchestrator.runtime import failures
from orchestrator.runtime.program.program import Op

T = TypeVar("T")

_current: ContextVar[Attempt | None] = ContextVar("orchestrator_attempt", default=None)


def begin_enclosing() -> None:
    """Something begins that has no attempt of its own: what is around it has begun."""
    attempt = _current.get()
    if attempt is not None:
        attempt.begin()


def retried() -> Op | None:
    """An op around what runs here that has a retry."""
    attempt = _current.get()
    while attempt is not None and attempt.op.policy.attempts < 2:
        attempt = attempt._outer
    return None if attempt is None else attempt.op


def unattended() -> AbstractContextManager[None]:
    """What runs in here belongs to no attempt outside."""
    return Holding(_current, None)


class Attempt:
    """See the module's docstring. ``left_s`` is what is left of the seconds that all attempts may take."""

    __slots__ = (
        "_all_left_s", "_ends_s", "_left_s", "_now", "_outer", "_running_since_s", "_scope", "began", "cut",
        "has_returned", "number", "op", "waiting",
    )  # fmt: skip

    def __init__(self, op: Op, number: int, *, left_s: float = inf) -> None:
        self.op = op
        self.number = number
        self.began = False
        """Whether something of it may have happened."""
        self.has_returned = False
        """Whether it has happened, and its result is being checked."""
        self.waiting = True
        """Whether it waits for its turn now."""
        self.cut = False
        """Whether it was ended from here, without an outcome of its own."""
        self._outer = _current.get()
        self._scope: asyncio.Timeout | None = None
        """Its clock, while it has one; most attempts have none."""
        self._left_s = inf if op.policy.timeout_s is None else op.policy.timeout_s
        self._all_left_s = left_s

    @property
    def before_s(self) -> float:
        """So much of the op's own budget of seconds was used up before it; 0 where it has none."""
        budget = self.op.policy.budget
        if budget is None or budget.seconds is None:
            return 0.0
        return round(budget.seconds - self._all_left_s, 3)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work`` as this attempt; raises ORCH-R004 or ORCH-R010 when its time is over."""
        before = _current.set(self)
        try:
            if self._left_s == inf and self._all_left_s == inf:
                return await work
            return await self._within(work)
        finally:
            _current.reset(before)

    async def _within(self, work: Coroutine[Any, Any, T]) -> T:
        policy = self.op.policy
        seconds = None if policy.budget is None else policy.budget.seconds
        if self._all_left_s <= 0.0 and seconds is not None:  # of a resumed run, say: nothing may begin any more
            work.close()
            self.cut = True
            raise failures.out_of_time(self.op.id, seconds, self.op.where)
        self._now = asyncio.get_running_loop().time
        self._ends_s = self._now() + self._all_left_s
        try:
            async with timeout(None) as scope:
                self._scope = scope
                self._schedule(scope)
                return await work
        except TimeoutError:
            if not scope.expired():
                raise
        finally:
            self._scope = None
        self.cut = True
        if self._now() >= self._ends_s and seconds is not None:
            raise failures.out_of_time(self.op.id, seconds, self.op.where)
        assert policy.timeout_s is not None
        raise failures.timed_out(
            self.op.id,
            policy.timeout_s,
            self.op.where,
            has_returned=self.has_returned,
            may_repeat=self.op.may_repeat,
        )

    def begin(self) -> None:
        """Its turn has come; does nothing while it goes on."""
        self.began = True
        if not self.waiting:
            return
        self.waiting = False
        if self._outer is not None:
            self._outer.begin()
        if self._scope is not None:
            self._running_since_s = self._now()
            self._schedule(self._scope)

    def wait(self) -> None:
        """It waits for its turn from now on."""
        if self.waiting:
            return
        self.waiting = True
        if self._scope is not None:
            self._left_s -= self._now() - self._running_since_s
            self._schedule(self._scope)

    def _schedule(self, scope: asyncio.Timeout) -> None:
        if scope.expired():
            return
        until_s = self._ends_s if self.waiting else min(self._ends_s, self._running_since_s + self._left_s)
        scope.reschedule(None if until_s == inf else until_s)
