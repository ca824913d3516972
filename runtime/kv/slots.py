"""The slots of a replica: which programs may be active on it at the same time. No clock, no asyncio.

An agent that runs its turns between those of too many others finds its KV evicted each time it comes back. So a program
takes a *slot* of its replica with its first turn and keeps it while its tools run, and slots are given only as long as
the contexts of the programs that have one fit the replica's KV (:mod:`orchestrator.runtime.kv.cap`). Later turns of a
program that holds a slot pass at once. The others wait, tenants sharing fairly
(:mod:`orchestrator.runtime.kv.fairness`), within a tenant by ::

    key = what an order of the planner's policies says, from arrival to arrival + longest_s        least first

which is for least laxity the latest moment to start a turn of a program that has a deadline, and without one puts short
remaining programs first, ageing. Of several turns of a program that wait the most urgent one counts. *Nobody starves*:
a program is overtaken, within its tenant, only by programs that arrived less than ``longest_s`` after it
(:mod:`orchestrator.planner.policies.overtaking`).

A slot is given back when the program ends; when a turn fails; when a pause will be so long that the KV is not kept
(``pause(keep=False)``); when the cap falls, by the programs last in the order, at the end of their turn; when the
program does nothing for ``idle_s`` or the time its pause was said to take at most; and, if somebody waits for it, while
its program waits for another replica (:meth:`AdmissionControl.lend`; so no two programs wait for each other's slots). A
program that comes back after that waits at its old place in the order.

The state machine is driven with explicit times, by :class:`~orchestrator.runtime.kv.admission.ProgramGate` and by
simulations::

    if control.request("run-1", now):                 # may start; else when admitted() names it
        control.used("run-1", "session", input_tokens=900, cached_tokens=0, output_tokens=80)
        control.end("run-1", now + 1)
        control.pause("run-1", now + 1, keep=True)
    control.finish("run-1", now + 9)
    for program in control.admitted(): ...            # all waiting turns of these may start
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from typing import Final

from orchestrator.errors import RunError
from orchestrator.planner.policies.overtaking import kept_in_bounds
from orchestrator.runtime.kv.cap import AdaptiveCap, CapOptions
from orchestrator.runtime.kv.fairness import FairQueue, Place

GROWTH: Final = 2.0
"""Tokens that a program is taken to hold on average, over those of the prompt it comes with: contexts grow."""


@dataclass(frozen=True, slots=True)
class AdmissionOptions:
    """How programs are admitted to a replica."""

    cap: CapOptions = field(default_factory=CapOptions)
    idle_s: float = 60.0
    """A slot whose program does nothing for so long is given back, unless its pause was announced to be longer."""
    longest_pause_s: float = 600.0
    """The longest pause over which a slot can be kept: a client that is gone must not hold it for ever."""
    longest_s: float = 120.0
    """By how much a program may be overtaken, whatever deadlines say."""
    most_waiting: int = 10_000
    """Programs that may wait at a replica; one more is refused with ORCH-R060."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Shares of tenants; 1 where not said."""


@dataclass(frozen=True, slots=True)
class AdmissionState:
    """A snapshot, for metrics."""

    cap_programs: float
    cap_tokens: float
    """Each ``inf`` while it does not bind; both are void while ``open``."""
    held_tokens: float
    """Contexts of the active programs."""
    active: int
    waiting: int
    open: bool
    admitted: int
    """Slots given since the start."""
    expired: int
    """Slots taken back from programs that did nothing."""
    returned: int
    """Slots given back for a pause, a lower cap or another program."""


class _Program:
    __slots__ = (
        "active", "evidence", "idle_until_s", "key", "lent", "listed_s", "name", "over", "paid", "place", "reserve",
        "running", "size", "tenant", "used", "waiting", "yielding",
    )  # fmt: skip

    def __init__(self, name: str, tenant: str, key: float) -> None:
        self.name = name
        self.tenant = tenant
        self.key = key
        self.active = False
        self.running = 0
        self.waiting = 0
        self.place: Place[_Program] | None = None
        self.idle_until_s = inf
        self.listed_s = inf
        """Its entry in the heap of deadlines, not later than when it idles out; others are stale. ``inf``: none."""
        self.lent = self.yielding = self.over = False
        self.paid = self.used = 0.0
        self.evidence: dict[str, tuple[int, int, int, int]] = {}
        """It has, by session, the prompt tokens of its last turn, those of its context after it, the cap's epoch and
        the number of slots given until then."""
        self.size = 0
        """Tokens of the contexts of its sessions."""
        self.reserve = 0.0
        """Tokens counted for it at least."""

    @property
    def held(self) -> float:
        return max(self.size, self.reserve)


class AdmissionControl:
    """The admission state of one replica. Memory follows the programs that wait or hold slots."""

    def __init__(self, options: AdmissionOptions | None = None) -> None:
        self.options = options or AdmissionOptions()
        self.cap = AdaptiveCap(self.options.cap)
        self._programs: dict[str, _Program] = {}
        self._queue: FairQueue[_Program] = FairQueue(self.options.weights)
        self._deadlines: list[tuple[float, int, _Program]] = []
        self._lent: dict[_Program, None] = {}
        self._news: list[str] = []
        self._sequence = count()
        self._active = 0
        self._held = 0.0
        self._mean_size = 0.0
        self._mean_cost = 1.0
        self._admitted = self._expired = self._returned = 0

    @property
    def active(self) -> int:
        """Programs that hold a slot."""
        return self._active

    @property
    def waiting(self) -> int:
        """Programs that wait for a slot."""
        return len(self._queue)

    @property
    def state(self) -> AdmissionState:
        """A snapshot."""
        return AdmissionState(
            self.cap.programs, self.cap.tokens, self._held, self._active, self.waiting, self.cap.open,
            self._admitted, self._expired, self._returned,
        )  # fmt: skip

    def holds(self, program: str) -> bool:
        """Whether the program has a slot, so that its next turn passes at once."""
        found = self._programs.get(program)
        return found is not None and found.active

    def has_room(self, tokens: int) -> bool:
        """Whether a program that comes with a prompt of so many tokens would get a slot at once, and nobody's."""
        reserve = max(GROWTH * tokens, self._mean_size)
        return not self.waiting and self.cap.allows(self._active, self._held, reserve)

    def request(
        self,
        program: str,
        now_s: float,
        *,
        arrival_s: float | None = None,
        tenant: str | None = None,
        key_s: float | None = None,
        tokens: int | None = None,
    ) -> bool:
        """A turn wants to start: True if it may, False if it waits until :meth:`admitted` names its program.

        ``arrival_s``: when the program arrived, on the clock of ``now_s``; default: now, at its first turn.
        ``key_s``: where the policy's order puts the turn; default: at its arrival. ``tokens``: length of its prompt, if
        known. Raises ORCH-R060 when too many programs wait.
        """
        self.expire(now_s)
        entry = self._programs.get(program)
        if entry is not None and entry.active:
            entry.running += 1
            if entry.lent:
                entry.lent = False
                self._lent.pop(entry, None)
            return True
        started_s = now_s if arrival_s is None else arrival_s
        key = started_s if key_s is None else kept_in_bounds(key_s, started_s, self.options.longest_s)
        if entry is not None:
            entry.waiting += 1
            if key < entry.key and entry.place is not None:
                self._queue.remove(entry.place)
                entry.key = key
                entry.place = self._queue.push(entry.tenant, key, entry)
            return False
        if self.waiting >= self.options.most_waiting:
            raise _full(self.options.most_waiting)
        entry = self._programs[program] = _Program(program, tenant or "", key)
        entry.waiting = 1
        entry.reserve = GROWTH * (tokens or 0)
        entry.place = self._queue.push(entry.tenant, key, entry)
        self._admit()
        if entry.active:
            self._news.remove(program)
        return entry.active

    def withdraw(self, program: str) -> None:
        """A turn that waits will not start."""
        entry = self._programs[program]
        entry.waiting -= 1
        if not entry.waiting:
            assert entry.place is not None
            self._queue.remove(entry.place)
            del self._programs[program]
            self._admit()

    def admitted(self) -> tuple[str, ...]:
        """The programs that got a slot since this was asked last: every waiting turn of theirs runs now."""
        if not self._news:
            return ()
        news, self._news = tuple(self._news), []
        return news

    def used(
        self, program: str, session: str, *, input_tokens: int, cached_tokens: int | None, output_tokens: int = 0
    ) -> None:
        """What a turn that runs used; ``cached_tokens`` is None where the engine does not say.

        Its prompt is what the session's next turn should find in the cache.
        """
        entry = self._programs.get(program)
        if entry is None or not entry.active:
            return
        before = entry.evidence.get(session)
        if before is not None and cached_tokens is not None:
            alone = self._active == 1 and before[3] == self._admitted
            self.cap.observe(min(before[0], input_tokens - 1), cached_tokens, before[2], alone=alone)
        context = input_tokens + output_tokens
        self._resize(entry, entry.size + context - (0 if before is None else before[1]))
        self._mean_size += 0.05 * (entry.size - self._mean_size) if self._mean_size else entry.size
        entry.evidence[session] = (input_tokens, context, self.cap.epoch, self._admitted)
        entry.used += input_tokens - (cached_tokens or 0) + output_tokens
        if entry.used > entry.paid:
            self._queue.charge(entry.tenant, entry.used - entry.paid)
            entry.paid = entry.used

    def forget(self, program: str, session: str) -> None:
        """The session is over, or its KV was given up on purpose: its next turn is no evidence of eviction."""
        entry = self._programs.get(program)
        gone = None if entry is None else entry.evidence.pop(session, None)
        if entry is not None and gone is not None:
            self._resize(entry, entry.size - gone[1])
            self._admit()

    def end(self, program: str, now_s: float, *, failed: bool = False) -> None:
        """A turn is over. After one that failed or was cancelled, a program that runs nothing loses its slot."""
        entry = self._programs[program]
        entry.running -= 1
        if self.cap.turn_over(self._active, self._held, self.waiting):
            self._shed()
        if entry.active and not entry.running:
            if failed or entry.over or (entry.yielding and self.cap.exceeded(self._active, self._held)):
                self._release(entry, returned=entry.yielding)
            else:
                self._idle(entry, now_s + self.options.idle_s)
        self._admit()

    def pause(self, program: str, now_s: float, *, keep: bool, within_s: float | None = None) -> None:
        """The program runs tools now. ``keep``: it keeps its slot, ``within_s`` seconds at most."""
        entry = self._programs.get(program)
        if entry is None or not entry.active or entry.running:
            return
        if keep:
            self._idle(entry, now_s + min(max(within_s or 0.0, self.options.idle_s), self.options.longest_pause_s))
            return
        self._release(entry, returned=True)
        self._admit()

    def lend(self, program: str) -> None:
        """The program waits elsewhere: until its next turn here, whoever waits may have its slot."""
        entry = self._programs.get(program)
        if entry is not None and entry.active and not entry.lent:
            entry.lent = True
            if not entry.running:
                self._lent[entry] = None
                self._admit()

    def reclaim(self, program: str) -> None:
        """The program does not wait elsewhere any more: what it lent out and nobody took is its own again."""
        entry = self._programs.get(program)
        if entry is not None and entry.lent:
            entry.lent = False
            self._lent.pop(entry, None)

    def finish(self, program: str, now_s: float) -> None:
        """The program is over. Turns of it that still run or wait end as usual, and take nothing with them."""
        self.cap.finished()
        entry = self._programs.get(program)
        if entry is not None and entry.active and not entry.running:
            self._release(entry, returned=False)
            self._admit()
        elif entry is not None:
            entry.over = True

    def expire(self, now_s: float) -> None:
        """Take back the slots of programs that did nothing for too long."""
        if not self._deadlines or self._deadlines[0][0] > now_s:
            return
        while (deadlines := self._deadlines) and deadlines[0][0] <= now_s:
            listed_s, _, entry = heappop(deadlines)
            if not entry.active or listed_s != entry.listed_s:
                continue
            entry.listed_s = inf
            if entry.running:
                continue  # it is listed again when its turn ends
            if entry.idle_until_s > now_s:
                self._list(entry, entry.idle_until_s)
            else:
                self._expired += 1
                self._release(entry, returned=False)
        self._admit()

    @property
    def next_expiry_s(self) -> float | None:
        """When :meth:`expire` has something to do next, at the earliest; ``None``: nothing idles."""
        return self._deadlines[0][0] if self._deadlines else None

    def clear(self) -> None:
        """The replica lost its KV (it died, or its cache was reset): programs that run nothing lose their slots."""
        for entry in [each for each in self._programs.values() if each.active]:
            entry.evidence.clear()
            self._resize(entry, 0)
            if not entry.running:
                self._release(entry, returned=False)
        self._admit()

    def _admit(self) -> None:
        while len(self._queue):
            entry = self._queue.first()
            entry.reserve = max(entry.reserve, self._mean_size)
            if not self._make_room(entry.reserve):
                return
            self._queue.pop()
            entry.place, entry.active = None, True
            entry.running, entry.waiting = entry.waiting, 0
            self._held += entry.held
            entry.paid, entry.used = self._mean_cost, 0.0
            self._queue.charge(entry.tenant, entry.paid)
            self._active += 1
            self._admitted += 1
            self._news.append(entry.name)

    def _make_room(self, tokens: float) -> bool:
        """Whether a program of so many tokens may be active; takes lent slots if that helps."""
        allows = self.cap.allows
        if not allows(self._active, self._held, tokens):
            lent = sum(each.held for each in self._lent)
            if not self._lent or not allows(self._active - len(self._lent), self._held - lent, tokens):
                return False
            while not allows(self._active, self._held, tokens):
                self._release(next(iter(self._lent)), returned=True)
        return True

    def _shed(self) -> None:
        """The cap fell: the programs last in the order give their slots back, those in a pause at once."""
        holding = sorted((each for each in self._programs.values() if each.active), key=lambda each: -each.key)
        active, held = len(holding), self._held
        for entry in holding:
            entry.yielding = self.cap.exceeded(active, held)
            if entry.yielding:
                active -= 1
                held -= entry.held
                if not entry.running:
                    self._release(entry, returned=True)

    def _resize(self, entry: _Program, size: int) -> None:
        before = entry.held
        entry.size = size
        self._held += entry.held - before

    def _idle(self, entry: _Program, until_s: float) -> None:
        entry.idle_until_s = until_s
        if until_s < entry.listed_s:
            self._list(entry, until_s)
        if entry.lent:
            self._lent[entry] = None

    def _list(self, entry: _Program, until_s: float) -> None:
        entry.listed_s = until_s
        heappush(self._deadlines, (until_s, next(self._sequence), entry))
        if len(self._deadlines) > 2 * self._active + 64:
            self._deadlines = [each for each in self._deadlines if each[2].active and each[0] == each[2].listed_s]
            heapify(self._deadlines)

    def _release(self, entry: _Program, *, returned: bool) -> None:
        del self._programs[entry.name]
        self._lent.pop(entry, None)
        entry.active = False
        self._active -= 1
        self._held = self._held - entry.held if self._active else 0.0
        self._returned += returned
        if entry.used < entry.paid:
            self._queue.charge(entry.tenant, entry.used - entry.paid)
        self._mean_cost += 0.1 * (entry.used - self._mean_cost)


def _full(most: int) -> RunError:
    return RunError(
        "ORCH-R060",
        f"{most} programs wait for this engine already",
        why="programs arrive faster than the engine serves them, and each one that waits takes memory",
        fix="start fewer runs at once, add a replica (`replicas` of the engine in the cluster file), or raise "
        "`most_waiting`",
    )
