"""Play the jobs of a seed against an engine, as agents would, and measure them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from benchmarks.kv.serving import VOCABULARY, Reply
from benchmarks.kv.workload import Case, Job, tokens_of
from orchestrator.runtime.kv.hints import SESSION_ARGUMENT, KvHint


class Engine(Protocol):
    """What is driven."""

    async def generate(self, prompt: Sequence[int], output_tokens: int, hint: Mapping[str, object]) -> Reply: ...
    async def release(self, session: str) -> None: ...


@dataclass(slots=True)
class Played:
    """Figures of one seed."""

    jct_s: list[float] = field(default_factory=list)
    """Job completion times, from arrival to the end of the last turn."""
    chat_s: list[float] = field(default_factory=list)
    makespan_s: float = 0.0
    hit_tokens: int = 0
    recomputed_tokens: int = 0
    """Prompt tokens computed that an infinite cache would have had."""
    prompt_tokens: int = 0


HintOf = Callable[[Job, int, float], KvHint | None]
"""(job, number of the turn, its Unix time of arrival) to the hint of that turn."""


class Admission(Protocol):
    """Decides when a program's turn may go to the engine."""

    def turn(self, job: Job, place: int) -> AbstractAsyncContextManager[None]: ...
    def ended(self, job: Job, place: int, expected: int, cached: int) -> None: ...
    def finished(self, job: Job) -> None: ...


class Open:
    """No admission: every turn goes to the engine at once."""

    @asynccontextmanager
    async def turn(self, job: Job, place: int) -> AsyncIterator[None]:
        yield

    def ended(self, job: Job, place: int, expected: int, cached: int) -> None:
        pass

    def finished(self, job: Job) -> None:
        pass


class Cap:
    """At most ``programs`` at the same time, first come first served: what a careful user can do with any engine."""

    def __init__(self, programs: int) -> None:
        self._slots = asyncio.Semaphore(programs)

    @asynccontextmanager
    async def turn(self, job: Job, place: int) -> AsyncIterator[None]:
        if place == 0:
            await self._slots.acquire()
        yield

    def ended(self, job: Job, place: int, expected: int, cached: int) -> None:
        pass

    def finished(self, job: Job) -> None:
        self._slots.release()


def no_hints(job: Job, place: int, arrival_s: float) -> KvHint | None:
    """What stock vLLM gets."""
    return None


def known(job: Job, place: int, arrival_s: float) -> KvHint:
    """What the compiler knows: the program, the tool that runs next, how many turns are left."""
    last = place + 1 == len(job.turns)
    assert job.kind is not None
    left = job.turns_left(place)
    return KvHint(
        program=f"run-{job.number}",
        program_arrival_s=arrival_s,
        turns_left=left,
        critical_path_s=left * job.kind.turn_s,
        workflow=job.kind.workflow,
        tool=None if last else job.turns[place + 1].tool,
    )


def oracle(job: Job, place: int, arrival_s: float) -> KvHint:
    """``known``, and how long the tool will really take."""
    hint = known(job, place, arrival_s)
    if place + 1 == len(job.turns):
        return hint
    return KvHint(**{**_as_dict(hint), "pause_s": (job.turns[place + 1].tool_s * 1.1 + 0.05,)})


def _as_dict(hint: KvHint) -> dict[str, Any]:
    return {name: getattr(hint, name) for name in KvHint.__slots__}


@dataclass(frozen=True, slots=True)
class Policy:
    """What a client does: the hints that it gives, and when its turns go to the engine."""

    hint_of: HintOf
    admission: Admission


async def play(engine: Engine, case: Case, seed: int, policy: Policy) -> Played:
    """All jobs of a seed."""
    played = Played()
    started = time.monotonic()
    jobs = case.draw(seed)
    texts = {job.number: tokens_of(seed, job, VOCABULARY) for job in jobs}
    await asyncio.gather(*(_play_job(engine, job, texts[job.number], policy, played, started=started) for job in jobs))
    played.makespan_s = time.monotonic() - started
    return played


async def _play_job(
    engine: Engine, job: Job, texts: list[list[int]], policy: Policy, played: Played, *, started: float
) -> None:
    await asyncio.sleep(max(0.0, started + job.arrival_s - time.monotonic()))
    arrived, arrival_unix = time.monotonic(), time.time()
    if job.kind is None:
        await engine.generate(texts[0], job.turns[0].output_tokens, {})
        played.chat_s.append(time.monotonic() - arrived)
        return
    prompt: list[int] = []
    before = 0
    try:
        for place, turn in enumerate(job.turns):
            if turn.tool_s:
                await asyncio.sleep(turn.tool_s)
            prompt += texts[place]
            async with policy.admission.turn(job, place):
                hint = policy.hint_of(job, place, arrival_unix)
                args = {} if hint is None else {SESSION_ARGUMENT: f"s-{job.number}", **hint.to_args()}
                reply = await engine.generate(prompt, turn.output_tokens, args)
            played.prompt_tokens += len(prompt)
            played.hit_tokens += reply.cached_tokens
            played.recomputed_tokens += max(before - reply.cached_tokens, 0)
            policy.admission.ended(job, place, before, reply.cached_tokens)
            prompt += reply.tokens
            before = (len(prompt) - 1) // 32 * 32
    finally:
        policy.admission.finished(job)
    played.jct_s.append(time.monotonic() - arrived)
    await engine.release(f"s-{job.number}")
