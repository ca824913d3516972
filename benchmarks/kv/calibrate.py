"""How long the steps of the engine under test take: what the simulator needs to know of a machine.

Ten to twenty seconds of calls against an idle engine, without hints. From outside, a call's time is::

    prompts        of one token, with and without a cached beginning: the time of the call
    decodes        b equal replies at once: the difference between long and short ones, a step
    prompts beside decodes    how much longer b replies take when other prompts are prefilled meanwhile, a prompt

The last two leave the time of a call outside the engine out, so that the fit can tell it from the time of a step
(:mod:`orchestrator.planner.simulate.measured_speed`).
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from benchmarks.kv.serving import VOCABULARY, Reply
from benchmarks.kv.workload import BLOCK_TOKENS
from orchestrator.planner.simulate.measured_speed import MeasuredStep, SpeedFit, fit_speed

REPEATS = 3
PROMPTS = ((64, 0), (256, 0), (512, 0), (1024, 0), (2048, 0), (128, 1024), (512, 2048), (128, 4096))
"""(new tokens, cached tokens before them); none longer than a step."""
DECODES = ((1, 256), (1, 2048), (4, 1024), (8, 1024), (32, 256))
"""(replies at once, tokens of context of each)."""
BESIDE = ((4, 1024, 256), (4, 1024, 768))
"""(replies at once, tokens of context of each, new tokens of each prompt beside them)."""
SHORT, LONG = 4, 36
PROMPTS_BESIDE = 6
BESIDE_TOKENS = 64
"""Of the replies beside which prompts are prefilled."""
RESET_TRIES = 500
LARGEST_SHARE = 0.7
"""Of the KV space, that a measurement may fill."""


class Engine(Protocol):
    """What is measured."""

    kv_blocks: int

    async def generate(self, prompt: Sequence[int], output_tokens: int, hint: Mapping[str, object]) -> Reply: ...
    async def reset(self) -> bool: ...


class _Caller:
    """Calls with random prompts; keeps no state but the random numbers."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine = engine
        self._random = random.Random(f"calibrate-{seed}")

    def text(self, tokens: int) -> list[int]:
        return [self._random.randrange(3, VOCABULARY) for _ in range(tokens)]

    async def call_s(self, prompts: Iterable[list[int]], output_tokens: int) -> float:
        """Seconds until all replies to prompts sent at once are there."""
        began_s = time.perf_counter()
        await asyncio.gather(*(self.engine.generate(prompt, output_tokens, {}) for prompt in prompts))
        return time.perf_counter() - began_s

    async def prompt(self, new: int, cached: int) -> MeasuredStep:
        known = self.text(cached)
        if cached:
            await self.call_s([known], 1)
        seconds = await self.call_s([known + self.text(new)], 1)
        return MeasuredStep(new, 0, 0, seconds, cached_tokens=cached, calls=1)

    async def decode(self, replies: int, context: int) -> MeasuredStep:
        prompts = [self.text(context) for _ in range(replies)]
        await self.call_s(prompts, 1)
        short_s = await self.call_s(prompts, SHORT)
        long_s = await self.call_s(prompts, LONG)
        mean = context + (SHORT + LONG) / 2
        return MeasuredStep(0, replies, replies * mean, (long_s - short_s) / (LONG - SHORT))

    async def beside(self, replies: int, context: int, new: int) -> MeasuredStep:
        """The step in which a prompt is prefilled beside decodes: an ordinary one and what the prompt adds."""
        prompts = [self.text(context) for _ in range(replies)]
        await self.call_s(prompts, 1)
        short_s = await self.call_s(prompts, SHORT)
        alone_s = await self.call_s(prompts, BESIDE_TOKENS)
        replying = asyncio.ensure_future(self.call_s(prompts, BESIDE_TOKENS))
        await asyncio.sleep(short_s)
        for _ in range(PROMPTS_BESIDE):
            await self.call_s([self.text(new)], 1)
        both_s = await replying
        step_s = (alone_s - short_s) / (BESIDE_TOKENS - SHORT)
        read = replies * (context + BESIDE_TOKENS / 2)
        return MeasuredStep(new, replies, read, step_s + (both_s - alone_s) / PROMPTS_BESIDE)


async def calibrate(engine: Engine, seed: int = 0) -> list[MeasuredStep]:
    """Rows, each kind several times, on an idle engine whose cache is empty then and afterwards."""
    room = LARGEST_SHARE * engine.kv_blocks * BLOCK_TOKENS
    rows: list[MeasuredStep] = []
    for repeat in range(REPEATS):
        caller = _Caller(engine, seed * REPEATS + repeat)
        rows += [await caller.prompt(new, cached) for new, cached in PROMPTS if new + cached <= room]
        rows += [await caller.decode(*each) for each in DECODES if each[0] * (each[1] + LONG) <= room]
        rows += [
            await caller.beside(replies, context, new)
            for replies, context, new in BESIDE
            if replies * (context + BESIDE_TOKENS) + new * PROMPTS_BESIDE <= room
        ]
        await _emptied(engine)
    return rows


async def _emptied(engine: Engine) -> None:
    for _ in range(RESET_TRIES):
        if await engine.reset():
            return
        await asyncio.sleep(0.02)
    raise RuntimeError("the engine is not idle")


def fitted(rows: Iterable[MeasuredStep]) -> SpeedFit:
    """The speed that explains the medians of equal measurements best."""
    alike: defaultdict[tuple[float, ...], list[float]] = defaultdict(list)
    for row in rows:
        key = (row.prefill_tokens, row.decodes, row.context_tokens, row.cached_tokens, row.calls)
        alike[key].append(row.seconds)
    medians = [
        MeasuredStep(prefill, decodes, context, statistics.median(seconds), cached_tokens=cached, calls=calls)
        for (prefill, decodes, context, cached, calls), seconds in alike.items()
    ]
    return fit_speed([row for row in medians if row.seconds > 0])
