"""Chats without hints beside programs with hints, in time: how long the chats take.

The model of time: a step takes 4 ms, and 0.1 ms more for every token beyond one for each request (so for prefill), as
an engine does that reads its weights once a step and prefills 10,000 tokens/s. Chats arrive at random, whatever the
engine does; half of them come back with their whole conversation. Programs run one turn after the other, with pauses;
those that are *gone* ran one before the first chat, and hold what they pinned.
"""

from __future__ import annotations

import random
from heapq import heappop, heappush
from itertools import count
from typing import Any

from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler

from orchestrator.runtime.kv.hints import SESSION_ARGUMENT, KvHint
from tests.runtime.engines.vllm.engine_loop import EngineLoop
from tests.runtime.engines.vllm.programs import tokens
from tests.runtime.engines.vllm.schedulers import Shape, request_of

STEP_S = 0.004
TOKEN_S = 0.0001


def step_s(output: SchedulerOutput) -> float:
    """The model of time."""
    prefill = output.total_num_scheduled_tokens - len(output.num_scheduled_tokens)
    return STEP_S + TOKEN_S * prefill


class Mixture:
    """Plays one seed; ``latencies_s`` are those of the chats."""

    def __init__(
        self, scheduler: Scheduler, shape: Shape, seed: int, *, chats: int, chat_gap_s: float, programs: int, gone: int
    ) -> None:
        self.loop = EngineLoop(scheduler, shape, step_s=step_s, checked=50)
        self.rng = random.Random(seed)
        self.latencies_s: list[float] = []
        self._programs = programs
        self._due: list[tuple[float, int, Any]] = []
        self._numbers = count()
        self._then: dict[str, Any] = {}
        self._leave_pins(gone)
        self._at(0.0, self._programs_begin)
        at_s = 0.0
        for _ in range(chats):
            at_s += self.rng.expovariate(1 / chat_gap_s)
            self._chat_at(at_s)

    def play(self) -> None:
        """Until everything has ended."""
        loop = self.loop
        while self._due or loop.busy:
            while self._due and (self._due[0][0] <= loop.clock.now_s or not loop.busy):
                at_s, _, begin = heappop(self._due)
                loop.clock.now_s = max(loop.clock.now_s, at_s)
                begin()
            for name in loop.step():
                self._then.pop(name)(name)

    def _leave_pins(self, gone: int) -> None:
        rng = random.Random(0)
        for number in range(gone):
            args: dict[str, Any] = {**KvHint(turns_left=1.0).to_args(), SESSION_ARGUMENT: f"gone{number}"}
            self.loop.submit(request_of(self.loop.shape, f"gone{number}", tokens(rng, 70), 2, args=args))
            self.loop.drain()

    def _at(self, after_s: float, begin: Any) -> None:
        heappush(self._due, (self.loop.clock.now_s + after_s, next(self._numbers), begin))

    def _chat_at(self, after_s: float) -> None:
        """Random numbers are drawn here, so that both arms get the same chats."""
        rng = self.rng
        text, answer = tokens(rng, rng.randint(60, 200)), rng.randint(10, 30)
        more = (tokens(rng, rng.randint(10, 40)), rng.uniform(0.2, 1.0)) if rng.random() < 0.5 else None
        self._at(after_s, lambda: self._chat(text, answer, more))

    def _chat(self, text: list[int], answer: int, more: tuple[list[int], float] | None) -> None:
        began_s = self.loop.clock.now_s
        name = f"chat{next(self._numbers)}"

        def ended(name: str) -> None:
            self.latencies_s.append(self.loop.clock.now_s - began_s)
            if more is not None:
                whole = [*self.loop.finished[name].all_token_ids, *more[0]]
                self._at(more[1], lambda: self._chat(whole, answer, None))

        self._then[name] = ended
        self.loop.submit(request_of(self.loop.shape, name, text, answer, arrival_s=began_s))

    def _programs_begin(self) -> None:
        for number in range(self._programs):
            rng = random.Random(f"{self.rng.random()} {number}")
            self._at(rng.uniform(0.0, 1.0), lambda rng=rng, number=number: self._turn(rng, number, tokens(rng, 100), 6))

    def _turn(self, rng: random.Random, number: int, text: list[int], left: int) -> None:
        loop = self.loop
        left -= 1
        pause_s = rng.lognormvariate(-1.0, 0.7)
        hint = KvHint(program=f"run-{number}", turns_left=float(left), tool="run_sql", pause_s=(0.2, 0.4, 0.7))
        name = f"run-{number}.{left}"

        def ended(name: str) -> None:
            if left:
                longer = [*loop.finished[name].all_token_ids, *tokens(rng, 30)]
                self._at(pause_s, lambda: self._turn(rng, number, longer, left))

        self._then[name] = ended
        args: dict[str, Any] = {**hint.to_args(), SESSION_ARGUMENT: f"s{number}"}
        loop.submit(request_of(loop.shape, name, text, 16, args=args, arrival_s=loop.clock.now_s))
