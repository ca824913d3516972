"""Programs that wait before a replica: the protocol of an admission control, and a fixed cap as the simplest one.

A program asks at each of its turns. The first waits until the gate names the program, those after it pass as long as
the gate lets the program keep its place; when it is done, others may begin. Waiting is part of a program's latency and
of no request's. :class:`Gates` calls in this order::

    gate.request("7", now, arrival_s=..., key_s=...)      a turn wants to run; False: it waits
    gate.used("7", session, input_tokens=..., cached_tokens=..., output_tokens=...)     it is done
    gate.end("7", now)
    gate.pause("7", now, keep=True)     tools run           or      gate.finish("7", now)       the program is over
    gate.admitted()                     after each of these: the programs all whose waiting turns run now
    gate.expire(now)                    at ``next_expiry_s``, while any wait
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from orchestrator.errors import PlanError
from orchestrator.planner.simulate.request import Request


class Gate(Protocol):
    """Decides which programs run on one replica. Programs and sessions are named by strings."""

    @property
    def next_expiry_s(self) -> float | None:
        """When to call :meth:`expire` at the latest; ``None``: never."""

    def request(
        self, program: str, now_s: float, *, arrival_s: float | None = None, tenant: str | None = None,
        key_s: float | None = None,
    ) -> bool:  # fmt: skip
        """Whether a turn may run now; if not it waits until :meth:`admitted` names its program."""

    def admitted(self) -> Sequence[str]:
        """Programs let in since it was asked last."""

    def withdraw(self, program: str) -> None:
        """A turn that waits will not run."""

    def used(
        self, program: str, session: str, *, input_tokens: int, cached_tokens: int, output_tokens: int = 0
    ) -> None:
        """What a turn took, and found in the cache."""

    def end(self, program: str, now_s: float, *, failed: bool = False) -> None:
        """A turn is over."""

    def pause(self, program: str, now_s: float, *, keep: bool, within_s: float | None = None) -> None:
        """The program's tools run; whether it keeps its place."""

    def finish(self, program: str, now_s: float) -> None:
        """The program is over."""

    def expire(self, now_s: float) -> None:
        """Time has passed."""


class FixedCap:
    """First come, first served, ``cap`` programs at a time: a semaphore. Raises :class:`PlanError` ORCH-P111."""

    next_expiry_s = None

    def __init__(self, cap: int) -> None:
        if cap < 1:
            raise PlanError(
                "ORCH-P111", f"a cap of {cap} programs", why="none could ever run", fix="give a cap of 1 or more"
            )
        self.cap = cap
        self._active: set[str] = set()
        self._line: OrderedDict[str, None] = OrderedDict()
        self._news: list[str] = []

    def request(
        self, program: str, now_s: float, *, arrival_s: float | None = None, tenant: str | None = None,
        key_s: float | None = None,
    ) -> bool:  # fmt: skip
        """At once for an active program or below the cap; else at the end of the line."""
        if program in self._active:
            return True
        if len(self._active) < self.cap:
            self._active.add(program)
            return True
        self._line.setdefault(program)
        return False

    def admitted(self) -> Sequence[str]:
        """Those whose turn it was."""
        news, self._news = self._news, []
        return news

    def withdraw(self, program: str) -> None:
        """Out of the line."""
        self._line.pop(program, None)

    def used(
        self, program: str, session: str, *, input_tokens: int, cached_tokens: int, output_tokens: int = 0
    ) -> None:
        """Learns nothing."""

    def end(self, program: str, now_s: float, *, failed: bool = False) -> None:
        """Its place is kept."""

    def pause(self, program: str, now_s: float, *, keep: bool, within_s: float | None = None) -> None:
        """Its place is kept."""

    def finish(self, program: str, now_s: float) -> None:
        """The next in line takes its place."""
        self._active.discard(program)
        if self._line and len(self._active) < self.cap:
            following, _ = self._line.popitem(last=False)
            self._active.add(following)
            self._news.append(following)

    def expire(self, now_s: float) -> None:
        """Nothing does."""


class Gates:
    """The gates of a cluster's replicas, and who waits before them; a call looks at no replica it does not concern."""

    __slots__ = ("_asked", "_gates", "_passed", "_waiting")

    def __init__(self, gates: Sequence[Gate]) -> None:
        self._gates = gates
        self._waiting: dict[int, dict[str, list[Request]]] = {}
        """It has those that wait by replica and program; nothing for a replica where none waits."""
        self._passed: dict[str, set[int]] = {}
        """It has, by program, the replicas at whose gates it was."""
        self._asked: set[int] = set()
        """Replicas whose gates may have let somebody in since :meth:`let_in`."""

    @property
    def waits(self) -> int:
        """Programs that wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def next_due_s(self) -> float | None:
        """When :meth:`expire` has something to do; ``None``: not while nobody waits, or never."""
        due_s = (self._gates[replica].next_expiry_s for replica in self._waiting)
        return min((at_s for at_s in due_s if at_s is not None), default=None)

    def passes(self, request: Request, replica: int, key_s: float, now: float) -> bool:
        """Whether a request, in its policy's order at ``key_s``, may go on to its replica; if not, :meth:`let_in`
        returns it later."""
        request.gate, name = replica, str(request.run.number)
        self._asked.add(replica)
        self._passed.setdefault(name, set()).add(replica)
        if self._gates[replica].request(name, now, arrival_s=request.started_s, key_s=key_s):
            return True
        self._waiting.setdefault(replica, {}).setdefault(name, []).append(request)
        return False

    def ended(self, request: Request, now: float) -> None:
        """A request is done, and perhaps its program."""
        gate, name = self._gates[request.gate], str(request.run.number)
        self._asked.add(request.gate)
        gate.used(
            name, request.session, input_tokens=request.prompt_tokens, cached_tokens=max(request.cached_tokens, 0),
            output_tokens=request.output_tokens,
        )  # fmt: skip
        gate.end(name, now)
        if request.run.left and not request.run.failed:
            gate.pause(name, now, keep=True)
        else:
            self.over(name, now)

    def over(self, program: str, now: float) -> None:
        """A program is done, or was rejected."""
        for replica in sorted(self._passed.pop(program, ())):
            self._asked.add(replica)
            for _ in self._left(replica, program):
                self._gates[replica].withdraw(program)
            self._gates[replica].finish(program, now)

    def expire(self, now: float) -> None:
        """Time has passed."""
        for replica in self._waiting:
            self._asked.add(replica)
            self._gates[replica].expire(now)

    def let_in(self) -> list[Request]:
        """Requests that waited and may go on to the replica of their ``gate`` now."""
        asked, self._asked = sorted(self._asked), set()
        return [
            request
            for replica in asked
            for name in self._gates[replica].admitted()
            for request in self._left(replica, name)
        ]

    def _left(self, replica: int, program: str) -> list[Request]:
        """The requests of a program that waited there and do not any more."""
        there = self._waiting.get(replica, {})
        requests = there.pop(program, [])
        if not there:
            self._waiting.pop(replica, None)
        return requests
