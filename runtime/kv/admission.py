"""Program-level admission in front of any engine: at most as many programs at once as its KV cache holds.

A program asks once per turn. The first turn waits for a slot, those after it pass at once, until the program gives its
slot back (:mod:`orchestrator.runtime.kv.slots` has the rules). The engine need not cooperate: the gate learns from the
cached tokens in its replies.

>>> async def agent(gate: ProgramGate, run: str) -> None:
...     for _ in range(3):
...         async with gate.turn(run, arrival_s=0.0) as turn:
...             turn.used("session", input_tokens=800, cached_tokens=700, output_tokens=50)
...         gate.pause(run, keep=True)
...     gate.finish(run)

However a turn ends, by an error, by cancellation or because the client closed its stream, nothing is left behind: the
``async with`` ends it. A program whose client is gone without :meth:`ProgramGate.finish` loses its slot when it has
done nothing for ``idle_s`` seconds (or for as long as its pause was said to take); a timer sees to that while others
wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from math import inf
from types import TracebackType
from typing import Final, Self

from orchestrator.holding import Holding
from orchestrator.runtime.engines.base import held
from orchestrator.runtime.kv.cap import CapOptions
from orchestrator.runtime.kv.slots import AdmissionControl, AdmissionOptions, AdmissionState

__all__ = [
    "AdmissionControl",
    "AdmissionOptions",
    "AdmissionState",
    "CapOptions",
    "GateGroup",
    "ProgramGate",
    "Turn",
    "TurnedAwayError",
    "enclosing",
]

FULL: Final = 0.95
"""Share of the KV space from which a queue inside the engine is put down to memory."""

_log = logging.getLogger(__name__)
_enclosing: ContextVar[tuple[str, ...]] = ContextVar("orchestrator_enclosing_programs", default=())


def enclosing(program: str) -> AbstractContextManager[None]:
    """Programs that begin in here are waited for by ``program``, which lends out its idle slots while they wait."""
    return Holding(_enclosing, (*_enclosing.get(), program))


class GateGroup:
    """Gates that the same programs pass. A program that waits at one lends out its idle slots at the others, and so do
    the programs it is a part of.

    Otherwise two programs could each hold the slot the other one waits for.
    """

    def __init__(self) -> None:
        self._gates: list[ProgramGate] = []
        self._waiting: dict[str, int] = {}

    def add(self, gate: ProgramGate) -> None:
        """Make a gate one of the group."""
        self._gates.append(gate)

    def remove(self, gate: ProgramGate) -> None:
        """Take a gate out."""
        if gate in self._gates:
            self._gates.remove(gate)

    def is_waiting(self, program: str) -> bool:
        """Whether a turn of the program, or of a program that it waits for, waits at some gate."""
        return program in self._waiting

    def begin(self, program: str) -> None:
        """A turn of the program waits at one of the gates."""
        for each in {program, *_enclosing.get()}:
            self._waiting[each] = self._waiting.get(each, 0) + 1
            for gate in self._gates:
                gate.lend(each)

    def end(self, program: str) -> None:
        """It does not wait any more; called in the context in which it began to."""
        for each in {program, *_enclosing.get()}:
            left = self._waiting.pop(each) - 1
            if left:
                self._waiting[each] = left
                continue
            for gate in self._gates:
                gate.control.reclaim(each)


class TurnedAwayError(Exception):
    """The gate closes (:meth:`ProgramGate.turn_away`): whoever waits goes elsewhere."""


class Turn:
    """One turn of a program at a gate: ``async with`` it around the model call."""

    __slots__ = (
        "_arrival_s",
        "_gate",
        "_granted",
        "_key_s",
        "_runs",
        "_tenant",
        "_tokens",
        "program",
        "queued_s",
    )

    def __init__(
        self,
        gate: ProgramGate,
        program: str,
        *,
        arrival_s: float | None,
        tenant: str | None,
        key_s: float | None,
        tokens: int | None,
    ) -> None:
        self.program = program
        self.queued_s = 0.0
        """How long the turn waited for a slot."""
        self._gate = gate
        self._arrival_s = arrival_s
        self._tenant = tenant
        self._key_s = key_s
        self._tokens = tokens
        self._granted: asyncio.Future[None] | None = None
        self._runs = False

    def used(self, session: str, *, input_tokens: int, cached_tokens: int | None, output_tokens: int = 0) -> None:
        """The turn's usage; what its session finds in the cache next time is compared with it."""
        self._gate.used(
            self.program,
            session,
            input_tokens=input_tokens,
            cached_tokens=cached_tokens,
            output_tokens=output_tokens,
        )

    async def __aenter__(self) -> Self:
        gate = self._gate
        now_s = gate.clock()
        try:
            runs = gate.control.request(
                self.program,
                now_s,
                arrival_s=self._arrival_s,
                tenant=self._tenant,
                key_s=self._key_s,
                tokens=self._tokens,
            )
        finally:
            gate.deliver()
        if not runs:
            await self._wait(now_s)
        self._runs = True
        return self

    def leave(self, *, failed: bool = False) -> None:
        """The turn is over; does nothing the second time. Leaving the ``async with`` calls it."""
        if self._runs:
            self._runs = False
            self._gate.end(self.program, failed=failed)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave(failed=kind is not None)

    async def _wait(self, since_s: float) -> None:
        gate = self._gate
        group = gate.group  # the gate may join another one in the meantime
        self._granted = gate.enqueue(self.program)
        try:
            held()
            await self._granted
        except BaseException:
            if gate.dequeue(self.program, self._granted):
                gate.control.withdraw(self.program)
                gate.deliver()
            else:  # the slot came in the same moment as the cancellation
                gate.end(self.program, failed=True)
            raise
        finally:
            group.end(self.program)
            self.queued_s = gate.clock() - since_s
            gate.queued_s += self.queued_s


class ProgramGate:
    """Bounds the programs that are active on one replica. For one event loop."""

    def __init__(
        self,
        options: AdmissionOptions | None = None,
        *,
        name: str = "engine",
        clock: Callable[[], float] = time.time,
        group: GateGroup | None = None,
    ) -> None:
        """``clock``: seconds, the clock of ``arrival_s`` too. ``name`` is what messages call the replica."""
        self.name = name
        self.clock = clock
        self.control = AdmissionControl(options)
        self.queued_s = 0.0
        """Seconds all turns together waited here."""
        self.group = group or GateGroup()
        self.group.add(self)
        self._waiting: dict[str, dict[asyncio.Future[None], None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._rings_s = inf
        self._said_open = False

    @property
    def state(self) -> AdmissionState:
        """A snapshot of cap, slots and queue."""
        return self.control.state

    def turn(
        self,
        program: str,
        *,
        arrival_s: float | None = None,
        tenant: str | None = None,
        key_s: float | None = None,
        tokens: int | None = None,
    ) -> Turn:
        """A turn of ``program``, to be entered with ``async with``; entering may raise ORCH-R060 (queue full).

        ``arrival_s``: when the program arrived, the same for all its turns; ``key_s``: where the policy's order puts
        this one; ``tokens``: length of the prompt. Without an arrival, a program arrives with each turn for
        which it has no slot.
        """
        return Turn(self, program, arrival_s=arrival_s, tenant=tenant, key_s=key_s, tokens=tokens)

    def used(
        self, program: str, session: str, *, input_tokens: int, cached_tokens: int | None, output_tokens: int = 0
    ) -> None:
        """The usage of a turn that runs; :meth:`Turn.used`."""
        control = self.control
        control.used(
            program, session, input_tokens=input_tokens, cached_tokens=cached_tokens, output_tokens=output_tokens
        )
        if control.cap.open and not self._said_open:
            self._said_open = True
            _log.warning(
                "`%s` reports no cached tokens, or forgets even what a single program leaves in its cache, so programs "
                "are admitted to it without a limit; an engine with a prefix cache should report hits in its usage",
                self.name,
            )

    def end(self, program: str, *, failed: bool) -> None:
        """A turn is over; leaving a :class:`Turn` calls this."""
        self.control.end(program, self.clock(), failed=failed)
        if self.group.is_waiting(program):
            self.control.lend(program)
        self.deliver()

    def observe(self, expected_cached: int, cached: int) -> None:
        """A session came back and found ``cached`` tokens where ``expected_cached`` should have been.

        For callers that keep track themselves; :meth:`used` does it for them.
        """
        self.control.cap.observe(expected_cached, cached)

    def pressure(
        self,
        *,
        kv_tokens: int | None = None,
        preemptions: int = 0,
        waiting: int | None = None,
        kv_used: float | None = None,
    ) -> None:
        """What else the engine tells: the size of its KV cache, preemptions since it last said, requests in its own
        queue, the used share of its KV cache."""
        if kv_tokens:
            self.control.cap.room(kv_tokens)
        self.control.cap.preempted(preemptions)
        if waiting and kv_used is not None and kv_used >= FULL:
            self.control.cap.crowded()

    def pause(self, program: str, *, keep: bool = True, within_s: float | None = None) -> None:
        """After a turn: the program runs tools. ``keep=False``: its KV is not kept, so it gives its slot back."""
        self.control.pause(program, self.clock(), keep=keep, within_s=within_s)
        self.deliver()

    def lend(self, program: str) -> None:
        """Others may have the program's slot until its next turn here."""
        self.control.lend(program)
        self.deliver()

    def finish(self, program: str) -> None:
        """The program is over."""
        self.control.finish(program, self.clock())
        self.deliver()

    def enqueue(self, program: str) -> asyncio.Future[None]:
        """What completes when the program gets a slot."""
        granted = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(program, {})[granted] = None
        self.group.begin(program)
        self.deliver()
        return granted

    def dequeue(self, program: str, granted: asyncio.Future[None]) -> bool:
        """Forget a waiter; False if it has been let in."""
        waiters = self._waiting.get(program)
        if waiters is None or granted not in waiters:
            return False
        del waiters[granted]
        if not waiters:
            del self._waiting[program]
        return True

    def deliver(self) -> None:
        """Let in whoever has got a slot, and see to it that slots of the idle are taken back."""
        for program in self.control.admitted():
            for granted in self._waiting.pop(program, {}):
                if not granted.done():
                    granted.set_result(None)
        if self._waiting:
            at_s = self.control.next_expiry_s
            if at_s is not None and at_s < self._rings_s:
                self._stop_timer()
                self._rings_s = at_s
                self._timer = asyncio.get_running_loop().call_later(max(at_s - self.clock(), 0.0), self._expire)

    def join(self, group: GateGroup) -> None:
        """Belong to another group from now on."""
        self.group.remove(self)
        self.group = group
        group.add(self)

    def turn_away(self) -> None:
        """Everybody who waits gets a :class:`TurnedAwayError`; slots that programs hold stay theirs."""
        for waiters in self._waiting.values():
            for granted in waiters:
                if not granted.done():
                    granted.set_exception(TurnedAwayError(self.name))

    def clear(self) -> None:
        """The replica died: every slot whose program runs nothing there is free, and nothing is cached."""
        self.control.clear()
        self.deliver()

    def close(self) -> None:
        """Stop the timer and leave the group; whoever waits goes on waiting until cancelled."""
        self._stop_timer()
        self.group.remove(self)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._rings_s = None, inf

    def _expire(self) -> None:
        self._timer, self._rings_s = None, inf
        self.control.expire(self.clock())
        self.deliver()
