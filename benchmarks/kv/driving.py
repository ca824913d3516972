"""Play the jobs of a seed against an engine, as agents would, and measure them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from math import inf
from typing import Protocol

from benchmarks.kv.capacity import Order, TokenCapacity
from benchmarks.kv.serving import VOCABULARY, Reply
from benchmarks.kv.workload import BLOCK_TOKENS, Case, Job, tokens_of
from orchestrator.runtime.kv.admission import ProgramGate
from orchestrator.runtime.kv.hints import SESSION_ARGUMENT, KvHint


class Engine(Protocol):
    """What is driven."""

    async def generate(self, prompt: Sequence[int], output_tokens: int, hint: Mapping[str, object]) -> Reply: ...
    async def release(self, session: str) -> None: ...


@dataclass(slots=True)
class Played:
    """Figures of one seed."""

    jct_s: list[float] = field(default_factory=list)
    """Job completion times, from arrival to the end of the last turn, in the order in which jobs ended."""
    chat_s: list[float] = field(default_factory=list)
    makespan_s: float = 0.0
    hit_tokens: int = 0
    recomputed_tokens: int = 0
    """Prompt tokens computed that an infinite cache would have had."""


HintOf = Callable[[Job, int, float], KvHint | None]
"""(job, number of the turn, Unix time of the job's arrival) to the hint of that turn."""


class Admission(Protocol):
    """Decides when a program's turn may go to the engine."""

    def room(self, kv_tokens: int) -> None: ...
    def turn(self, job: Job, place: int, prompt_tokens: int) -> AbstractAsyncContextManager[None]: ...
    def ended(self, job: Job, place: int, prompt_tokens: int, reply: Reply) -> None: ...
    def finished(self, job: Job) -> None: ...


class Open:
    """No admission: every turn goes to the engine at once."""

    def room(self, kv_tokens: int) -> None:
        pass

    @asynccontextmanager
    async def turn(self, job: Job, place: int, prompt_tokens: int) -> AsyncIterator[None]:
        yield

    def ended(self, job: Job, place: int, prompt_tokens: int, reply: Reply) -> None:
        pass

    def finished(self, job: Job) -> None:
        pass


class Cap(Open):
    """At most ``programs`` at the same time, first come first served: what a careful user can do with any engine."""

    def __init__(self, programs: int) -> None:
        self._slots = asyncio.Semaphore(programs)

    @asynccontextmanager
    async def turn(self, job: Job, place: int, prompt_tokens: int) -> AsyncIterator[None]:
        if place == 0:
            await self._slots.acquire()
        yield

    def finished(self, job: Job) -> None:
        self._slots.release()


class Capacity(Open):
    """Programs whose contexts fit ``share`` of the KV together; see :mod:`benchmarks.kv.capacity`."""

    def __init__(self, share: float, order: Order) -> None:
        self._share, self._order = share, order
        self._control = TokenCapacity(inf, order)
        self._waiting: dict[str, asyncio.Event] = {}

    def room(self, kv_tokens: int) -> None:
        self._control = TokenCapacity(self._share * kv_tokens or inf, self._order)

    @asynccontextmanager
    async def turn(self, job: Job, place: int, prompt_tokens: int) -> AsyncIterator[None]:
        program = str(job.number)
        waits = self._waiting[program] = asyncio.Event()
        if self._control.request(program, 0.0, tokens=prompt_tokens):
            waits.set()
        self._let_in()
        await waits.wait()
        yield

    def ended(self, job: Job, place: int, prompt_tokens: int, reply: Reply) -> None:
        program, cached = str(job.number), reply.cached_tokens
        self._control.used(
            program, program, input_tokens=prompt_tokens, cached_tokens=cached, output_tokens=len(reply.tokens)
        )
        self._control.end(program, 0.0)
        self._let_in()

    def finished(self, job: Job) -> None:
        self._control.finish(str(job.number), 0.0)
        self._let_in()

    def _let_in(self) -> None:
        for program in self._control.admitted():
            self._waiting[program].set()


class Gate:
    """The runtime's own admission, which needs nothing of the engine."""

    def __init__(self) -> None:
        self._gate = ProgramGate()
        self._arrived: dict[int, float] = {}

    def room(self, kv_tokens: int) -> None:
        self._gate.pressure(kv_tokens=kv_tokens)

    @asynccontextmanager
    async def turn(self, job: Job, place: int, prompt_tokens: int) -> AsyncIterator[None]:
        assert job.kind is not None
        arrival_s = self._arrived.setdefault(job.number, time.time())
        key_s = arrival_s + job.turns_left(place) * job.turn_s
        async with self._gate.turn(f"run-{job.number}", arrival_s=arrival_s, key_s=key_s, tokens=prompt_tokens):
            yield

    def ended(self, job: Job, place: int, prompt_tokens: int, reply: Reply) -> None:
        self._gate.used(
            f"run-{job.number}",
            f"s-{job.number}",
            input_tokens=prompt_tokens,
            cached_tokens=reply.cached_tokens,
            output_tokens=len(reply.tokens),
        )

    def finished(self, job: Job) -> None:
        self._gate.finish(f"run-{job.number}")


def no_hints(_job: Job, _place: int, _arrival_s: float) -> KvHint | None:
    """What stock vLLM gets."""
    return None


def known(job: Job, place: int, arrival_s: float) -> KvHint:
    """What the compiler knows: the program, the tool that runs next, about how many turns are left."""
    assert job.kind is not None
    left = job.turns_left(place)
    return KvHint(
        program=f"run-{job.number}-{arrival_s:.3f}",
        program_arrival_s=arrival_s,
        turns_left=left,
        critical_path_s=left * job.turn_s,
        workflow=job.kind.workflow,
        tool=job.turns[place + 1].tool if place + 1 < len(job.turns) else None,
    )


def oracle(job: Job, place: int, arrival_s: float) -> KvHint:
    """``known``, and how long the tool will really take."""
    hint = known(job, place, arrival_s)
    if place + 1 == len(job.turns):
        return hint
    return replace(hint, pause_s=(job.turns[place + 1].tool_s * 1.1 + 0.05,))


@dataclass(frozen=True, slots=True)
class Client:
    """The hints that a client gives, and when its turns go to the engine."""

    hint_of: HintOf
    admission: Admission


async def play(engine: Engine, case: Case, seed: int, client: Client) -> Played:
    """All jobs of a seed."""
    played = Played()
    client.admission.room(case.kv_blocks * BLOCK_TOKENS)
    jobs = case.draw(seed)
    texts = {job.number: tokens_of(seed, job, VOCABULARY) for job in jobs}
    started = time.monotonic()
    await asyncio.gather(*(_play_job(engine, job, texts[job.number], client, played, started=started) for job in jobs))
    played.makespan_s = time.monotonic() - started
    return played


async def _play_job(
    engine: Engine, job: Job, texts: list[list[int]], client: Client, played: Played, *, started: float
) -> None:
    await asyncio.sleep(max(0.0, started + job.arrival_s - time.monotonic()))
    arrived, arrival_unix = time.monotonic(), time.time()
    if job.kind is None:
        await engine.generate(texts[0], job.turns[0].output_tokens, {})
        played.chat_s.append(time.monotonic() - arrived)
        return
    session = f"s-{job.number}"
    prompt: list[int] = []
    before = 0
    for place, turn in enumerate(job.turns):
        await asyncio.sleep(turn.tool_s)
        prompt += texts[place]
        async with client.admission.turn(job, place, len(prompt)):
            hint = client.hint_of(job, place, arrival_unix)
            args = {} if hint is None else {SESSION_ARGUMENT: session, **hint.to_args()}
            reply = await engine.generate(prompt, turn.output_tokens, args)
            client.admission.ended(job, place, len(prompt), reply)
        played.hit_tokens += reply.cached_tokens
        played.recomputed_tokens += max(before - reply.cached_tokens, 0)
        prompt += reply.tokens
        before = (len(prompt) - 1) // BLOCK_TOKENS * BLOCK_TOKENS
    played.jct_s.append(time.monotonic() - arrived)
    client.admission.finished(job)
    await engine.release(session)
