"""How many programs are under way at once: the protocol of a gate before the cluster, and a fixed cap.

A program waits at the gate before its first call, in a client or a runtime, and is *active* until its last call is
done; the wait counts as part of its latency. The simulation calls ``offered`` when a program arrives, ``ended`` when
one is done, and after each of these, and every ``poll_s`` seconds while any is active, ``admit``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from orchestrator.errors import PlanError
from orchestrator.planner.policies.view import ReplicaView
from orchestrator.planner.simulate.program import Program


class Gate(Protocol):
    """Decides which programs begin."""

    @property
    def poll_s(self) -> float | None:
        """How often it looks at the load; ``None``: only when a program arrives or ends."""

    def offered(self, program: Program, now: float) -> None:
        """A program arrived."""

    def ended(self, program: Program, now: float) -> None:
        """A program it let in is done, or was rejected."""

    def admit(self, replicas: Sequence[ReplicaView], now: float) -> Sequence[Program]:
        """Those that begin now, of the ones offered; each once."""


class FixedCap:
    """First come, first served, ``cap`` at a time: a semaphore. Raises :class:`PlanError` ORCH-P111."""

    poll_s = None

    def __init__(self, cap: int) -> None:
        if cap < 1:
            raise PlanError(
                "ORCH-P111", f"a cap of {cap} programs", why="none could ever run", fix="give a cap of 1 or more"
            )
        self.cap = cap
        self._active = 0
        self._waiting: deque[Program] = deque()

    def offered(self, program: Program, now: float) -> None:
        """At the end of the line."""
        self._waiting.append(program)

    def ended(self, program: Program, now: float) -> None:
        """One fewer is active."""
        self._active -= 1

    def admit(self, replicas: Sequence[ReplicaView], now: float) -> Sequence[Program]:
        """As many as are below the cap."""
        begin = [self._waiting.popleft() for _ in range(min(self.cap - self._active, len(self._waiting)))]
        self._active += len(begin)
        return begin
