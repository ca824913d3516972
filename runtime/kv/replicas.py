"""An engine made of replicas: each with an admission gate, sessions routed to where their KV is.

The runtime puts every engine into a set, one of a single replica too, so that admission applies to all of them. The set
is itself an :class:`~orchestrator.runtime.engines.base.Engine`; what identifies programs and sessions is in the request
(:class:`~orchestrator.runtime.kv.hints.KvHint`). :meth:`ReplicaSet.finish` tells it that a program is over.

A call that a replica did not answer, because it stopped, cannot be reached, keeps silent or refuses, is sent to another
one, as long as nothing of the reply has been passed on; what one that kept silent may have used is billed. Later
failures are the caller's to retry, and the retry is routed elsewhere: ``LostReplyError`` where a replica stopped, which
is no fault of the call's. A replica that has stopped is left alone for a
while; so is one that fails calls in a row, which after a single one may be well.

A program keeps its slot while its tools run if the pause is expected (median forecast) to take at most ``patience``
times the mean turn there: a slot held for longer costs those that wait more turns than the holder would lose by
computing its prompt again. It needs none between the last turn of one session and the first of another.

>>> async def serve(first: Engine, second: Engine) -> None:
...     replicas = ReplicaSet("main", [first, second])
...     await replicas.start()
...     await replicas.drain(0)
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, NamedTuple

from orchestrator.errors import EngineError, LostReplyError, RunError
from orchestrator.runtime.engines.base import (
    Chunk,
    Engine,
    EngineStats,
    GenerateRequest,
    KvControl,
    Usage,
    held,
    lost,
    sent,
)
from orchestrator.runtime.engines.errors import SILENT
from orchestrator.runtime.kv.admission import AdmissionOptions, GateGroup, ProgramGate, Turn, TurnedAwayError
from orchestrator.runtime.kv.hints import NO_HINT, KvHint
from orchestrator.runtime.kv.replica_load import Call
from orchestrator.runtime.kv.returning import Returning
from orchestrator.runtime.kv.routing import RoutingOptions, StickyRouter
from orchestrator.runtime.tools.raised import faults_of

DEAD: Final = frozenset({"ORCH-E008", "ORCH-E013", "ORCH-E015"})
"""Errors after which a replica is left alone for a while, its KV gone: unreachable, stopped, not running."""
FAILING: Final = frozenset({"ORCH-E010", "ORCH-E017", "ORCH-E019", "ORCH-E021", "ORCH-E023"})
"""Errors of a replica that may be dying, or only too busy for this call: silent, refusing, broken off, failed (5xx)."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReplicaOptions:
    """How the replicas of one engine are shared."""

    admission: AdmissionOptions = field(default_factory=AdmissionOptions)
    routing: RoutingOptions = field(default_factory=RoutingOptions)
    patience: float = 4.0
    """Mean turns that a pause may last with its slot kept."""


class _Work(NamedTuple):
    request: GenerateRequest
    hint: KvHint
    call: Call
    anonymous: bool
    """Nobody will say that its program is over: it has this one call."""


class ReplicaSet:
    """An engine of one or more replicas. For one event loop."""

    def __init__(
        self,
        name: str,
        replicas: Sequence[Engine],
        options: ReplicaOptions | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock``: Unix seconds, as of program arrivals. Raises ORCH-R064 where there is no replica."""
        if not replicas:
            raise RunError("ORCH-R064", f"the engine `{name}` has no replica", fix="give at least one")
        self.name = name
        self.replicas = tuple(replicas)
        self.options = options or ReplicaOptions()
        group = GateGroup()
        many = len(self.replicas) > 1
        self.gates = tuple(
            ProgramGate(
                self.options.admission, name=f"{name}#{index}" if many else name, clock=clock, group=group
            )
            for index in range(len(self.replicas))
        )  # fmt: skip
        self.router = StickyRouter(self.gates, self.options.routing)
        self.clock = clock
        self._chars_per_token = 4.0
        self._returning = Returning()
        """Sessions with a short pause."""
        self._telling: set[asyncio.Task[None]] = set()
        self._retired: set[int] = set()
        """Indices of replicas that are gone for good; an index is never used again."""

    @property
    def model(self) -> str:
        """The model the replicas serve."""
        return self.replicas[0].model

    @property
    def simulated(self) -> bool:
        """Whether any replica makes its replies up."""
        return any(replica.simulated for replica in self.replicas)

    @property
    def answers(self) -> bool:
        """Whether some replica is in service and answers, as far as is known."""
        now_s = self.clock()
        return any(
            self.router.serves(index, now_s) and not getattr(replica, "is_restarting", False)
            for index, replica in enumerate(self.replicas)
        )

    def down(self) -> None:
        """No replica answers; each is tried again after a while."""
        for index in range(len(self.replicas)):
            self.router.down(index, self.clock())

    async def start(self) -> None:
        """Start all replicas; the first failure is raised."""
        await asyncio.gather(*(replica.start() for replica in self.replicas))
        await self.stats()

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Stream the reply of one replica, after its program has got a slot there."""
        work = self._work(request)
        tried: set[int] = set()
        try:
            while True:
                index = self._place(work.call, tried)
                try:
                    async with aclosing(self._from(index, work, tried)) as chunks:
                        async for chunk in chunks:
                            yield chunk
                    return
                except TurnedAwayError:
                    continue
                except EngineError as error:
                    tried.add(index)
                    if not self._may_go_elsewhere(index, error, work.call, tried):
                        if error.code in DEAD and self.router.can_place(tried):
                            raise LostReplyError.collect(error.diagnostics) from error
                        raise
                    if error.code in SILENT:
                        lost()
                    held()
        finally:
            if work.anonymous:
                self.finish(work.call.owner)

    async def stats(self) -> EngineStats:
        """Sums over the replicas, and the largest used share of a KV cache; tells the gates what it found."""
        there = [index for index in range(len(self.replicas)) if index not in self._retired]
        found = await asyncio.gather(*(self.replicas[index].stats() for index in there))
        for index, stats in zip(there, found, strict=True):
            gate, load = self.gates[index], self.router.loads[index]
            load.kv_tokens = stats.kv_capacity_tokens or load.kv_tokens
            gate.pressure(
                kv_tokens=stats.kv_capacity_tokens, waiting=stats.waiting, kv_used=stats.kv_used_fraction
            )  # fmt: skip
        return EngineStats.of_all(found)

    async def release(self, session: str) -> None:
        """Hint: the session's KV will not be used again. Its program may be finished already."""
        home = self.router.home(session)
        index = self.router.last_home(session) if home is None else home[1]
        if home is not None:
            program, at = home
            self.gates[at].control.forget(program, session)
            self.gates[at].deliver()
            self._returning.resumes(program, session)
            self.router.forget(session)
        told = range(len(self.replicas)) if index is None else (index,)
        there = [self.replicas[each] for each in told if each not in self._retired]
        _raise_first(await faults_of(partial(replica.release, session) for replica in there))

    async def close(self) -> None:
        """Close all replicas; a failure of one does not keep the others open."""
        for gate in self.gates:
            gate.close()
        for task in self._telling:
            task.cancel()
        there = [replica for index, replica in enumerate(self.replicas) if index not in self._retired]
        _raise_first(await faults_of(replica.close for replica in there))

    def join(self, group: GateGroup) -> None:
        """Share programs with other engines: one that waits at one of them lends out its idle slots at the others."""
        for gate in self.gates:
            gate.join(group)

    def finish(self, program: str) -> None:
        """The program is over, however it ended: its slots are free."""
        self._returning.finish(program)
        self.router.finish(program)
        for gate in self.gates:
            gate.finish(program)

    async def drain(self, index: int) -> None:
        """Take a replica out of service and return when nothing runs there; its sessions go on elsewhere.

        Raises ORCH-R063 for the last one in service, ``IndexError`` for an unknown one.
        """
        self.router.drain(index)
        await self.router.drained(index)

    def undrain(self, index: int) -> None:
        """Put a replica back into service."""
        self.router.undrain(index)

    def add(self, replica: Engine) -> int:
        """One more replica, which has been started: it is in service from now on. Its index."""
        index = len(self.replicas)
        gate = ProgramGate(
            self.options.admission, name=f"{self.name}#{index}", clock=self.clock, group=self.gates[0].group
        )  # fmt: skip
        self.replicas, self.gates = (*self.replicas, replica), (*self.gates, gate)
        self.router.add(gate)
        return index

    async def retire(self, index: int) -> None:
        """Drain a replica, then close and forget it for good. Raises as :meth:`drain` does."""
        await self.drain(index)
        if index not in self._retired:
            self._retired.add(index)
            self.gates[index].close()
            await self.replicas[index].close()

    async def _from(self, index: int, work: _Work, tried: set[int]) -> AsyncGenerator[Chunk, None]:
        load, gate, call = self.router.loads[index], self.gates[index], work.call
        turn = self._turn(index, work)
        load.queued(call)
        try:
            async with turn:
                if not self.router.is_offered(index, self.clock(), tried):
                    raise TurnedAwayError(gate.name)
                load.begun(call)
                began_s = self.clock()
                unfinished = work.request.sampling.samples
                replica = self.replicas[index]
                if not getattr(replica, "queues", False):
                    sent()
                request = self._addressed(work.request, index)
                if len(self.replicas) > 1 and self.router.can_place({*tried, index}):
                    request = replace(request, may_move=True)
                async with aclosing(replica.generate(request)) as chunks:
                    async for chunk in chunks:
                        load.received(call, chunk.tokens)
                        unfinished -= chunk.finish_reason is not None
                        if not unfinished:
                            load.learn(chunk.usage, chunk.ttft_s, self.clock() - began_s)
                            self._done(index, work, turn, chunk.usage)
                        yield chunk
        finally:
            self.router.left(index, call)

    def _turn(self, index: int, work: _Work) -> Turn:
        return self.gates[index].turn(
            work.call.owner,
            arrival_s=work.hint.program_arrival_s,
            tenant=work.hint.tenant,
            key_s=self.router.key_s(work.call, index, self.clock()),
            tokens=work.call.prompt_tokens,
        )

    def _done(self, index: int, work: _Work, turn: Turn, counted: Usage | None) -> None:
        """The reply is complete: the turn ends before whoever reads it goes on."""
        gate, load, call, hint = self.gates[index], self.router.loads[index], work.call, work.hint
        usage = counted or Usage(call.prompt_tokens)
        self.router.up(index)
        turn.used(
            call.session,
            input_tokens=usage.input_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
        )
        turn.leave()
        self.router.left(index, call)
        if work.anonymous:
            return
        if counted is not None and counted.input_tokens:
            seen = _chars(work.request) / usage.input_tokens
            self._chars_per_token += 0.05 * (seen - self._chars_per_token)
        load.remember(call, usage)
        if counted is not None:
            self.router.replied(call, usage.output_tokens / work.request.sampling.samples)
        over = (*hint.supersedes, call.session) if hint.ends or hint.pin_ttl_s == 0 else hint.supersedes
        for session in over:
            gate.control.forget(call.owner, session)
        for session in hint.supersedes:
            self.router.forget(session)
            self._returning.resumes(call.owner, session)
        gate.pause(call.owner, keep=self._keeps(call.owner, call.session, load.turn_s, hint), within_s=hint.longest_s)

    def _keeps(self, program: str, session: str, turn_s: float, hint: KvHint) -> bool:
        """Whether the program keeps its slot: for this pause, or for one of its other sessions'."""
        now_s = self.clock()
        if hint.ends or not self._is_short(hint, turn_s):
            self._returning.resumes(program, session)
            return self._returning.is_awaited(program, now_s)
        self._returning.pauses(program, session, now_s + (turn_s if hint.median_s is None else hint.median_s))
        return True

    def _is_short(self, hint: KvHint, turn_s: float) -> bool:
        """Whether a slot is kept over the pause; for one that outlasts every pin there is no forecast."""
        if hint.pin_ttl_s == 0:
            return False
        return hint.median_s is None or hint.median_s <= self.options.patience * turn_s

    def _work(self, request: GenerateRequest) -> _Work:
        hint = request.kv or NO_HINT
        session = request.session or request.request_id
        call = self.router.call(
            hint.program or session,
            session,
            self.clock(),
            prompt_tokens=int(_chars(request) / self._chars_per_token) + 1,
            hint=hint,
            step=request.op,
        )
        return _Work(request, hint, call, anonymous=request.session is None and hint.program is None)

    def _place(self, call: Call, tried: set[int]) -> int:
        before = self.router.home(call.session)
        avoid = tried
        if len(self.replicas) > 1:
            away = {n for n, replica in enumerate(self.replicas) if getattr(replica, "is_restarting", False)} | tried
            avoid = away if self.router.can_place(away) else tried
        index = self.router.place(call, self.clock(), avoid)
        if before is not None and before[1] != index:
            self._moved(call, before[1])
        return index

    def _moved(self, call: Call, before: int) -> None:
        """The session's KV is of no use any more where it was; nothing waits for the replica to hear of it."""
        gate = self.gates[before]
        gate.control.forget(call.owner, call.session)
        self._returning.resumes(call.owner, call.session)
        if self.router.leaves(call.owner, before):
            gate.pause(call.owner, keep=False)
        gate.deliver()
        task = asyncio.get_running_loop().create_task(self._let_go(before, call.session))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _let_go(self, index: int, session: str) -> None:
        try:
            await self.replicas[index].release(session)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a hint to an engine that may be dead
            _log.info("`%s` was not told that a session has moved: %s", self.gates[index].name, error)

    def _may_go_elsewhere(self, index: int, error: EngineError, call: Call, tried: set[int]) -> bool:
        if error.code in DEAD:
            self.router.down(index, self.clock())
            self.gates[index].clear()
        elif error.code in FAILING:
            self.router.failed(index, call.session, self.clock())
        else:
            return False
        return not call.prefilled and self.router.can_place(tried)

    def _addressed(self, request: GenerateRequest, index: int) -> GenerateRequest:
        """Replicas know themselves by their own names."""
        replica = self.replicas[index]
        if request.model == self.name and request.model not in (replica.name, replica.model):
            return replace(request, model=replica.model)
        return request


class KvReplicaSet(ReplicaSet):
    """A set whose replicas take hints besides turns: a :class:`~orchestrator.runtime.engines.base.KvControl` too."""

    async def prefetch(self, request: GenerateRequest) -> Usage:
        """Warm a prefix where its program is, or where it will be if there is a slot that nobody waits for.

        Under pressure only programs that hold a slot prefetch: nobody waits for the reply, and others wait for slots.
        """
        work = self._work(request)
        call, hint = work.call, work.hint
        index = self._place(call, set())
        replica, gate, load = self.replicas[index], self.gates[index], self.router.loads[index]
        held = gate.control.holds(call.owner)
        if not isinstance(replica, KvControl) or not (held or gate.control.has_room(call.prompt_tokens)):
            return Usage()
        load.begun(call)
        try:
            if held:  # without a turn, whose end would say something about the pause that the program is in
                sent()
                return await replica.prefetch(self._addressed(work.request, index))
            async with self._turn(index, work):
                sent()
                usage = await replica.prefetch(self._addressed(work.request, index))
            gate.pause(call.owner, keep=self._is_short(hint, load.turn_s), within_s=hint.longest_s)
            return usage
        finally:
            self.router.left(index, call)

    async def extend(self, session: str, hint: KvHint) -> None:
        """More is known of a pause: the program may give its slot back after all."""
        home = self.router.home(session)
        if home is None:
            return
        program, index = home
        load, gate, replica = self.router.loads[index], self.gates[index], self.replicas[index]
        if hint.pin_ttl_s == 0:
            gate.control.forget(program, session)
        gate.pause(program, keep=self._keeps(program, session, load.turn_s, hint), within_s=hint.longest_s)
        if isinstance(replica, KvControl):
            await replica.extend(session, hint)


def replicated(name: str, replicas: Sequence[Engine], options: ReplicaOptions | None = None) -> ReplicaSet:
    """The engines behind gates, offering what they offer. Raises ORCH-R064 where there is none."""
    takes_hints = all(isinstance(replica, KvControl) for replica in replicas)
    return (KvReplicaSet if takes_hints else ReplicaSet)(name, replicas, options)


def _raise_first(results: Sequence[BaseException | None]) -> None:
    for result in results:
        if result is not None:
            raise result


def _chars(request: GenerateRequest) -> int:
    return sum(len(message.content) for message in request.messages)
