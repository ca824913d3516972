"""The load: agent programs of several turns with tools between them, scaled from published traces.

SWE-bench agents make about 11 turns of 70k tokens in all, with tools of 0.9 s on average and a standard deviation of
3.6 s (Continuum, arXiv 2511.02230, section 2). An 8B model on an H100 prefills about 20k tokens/s, so recomputing half of
such a context takes about 1.8 s, twice a mean tool. The engine here is a small model on a CPU core, which prefills as
fast, so the contexts are shorter and the tools with them: ``tool_median_s`` keeps the ratio. Prompts are random tokens
after a beginning that all programs share; a turn's prompt is the whole conversation so far, reply included.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import exp, log

SHORT, LONG = "search", "build"
"""Names of the tools: what a compiler knows of a call."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One model call of a program, and the tool that runs before it."""

    new_tokens: int
    """Added to the conversation before this call."""
    output_tokens: int
    tool: str = ""
    """Runs between the turn before and this one; none before the first."""
    tool_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Job:
    """One program; a chat is one of a single turn without hints."""

    number: int
    arrival_s: float
    turns: tuple[Turn, ...]
    chat: bool = False

    @property
    def context_tokens(self) -> int:
        """At its end."""
        return sum(turn.new_tokens + turn.output_tokens for turn in self.turns)


@dataclass(frozen=True, slots=True)
class Case:
    """A load on an engine with ``kv_blocks`` blocks of KV."""

    name: str
    jobs: int = 24
    turns: tuple[int, int] = (5, 7)
    first_tokens: tuple[int, int] = (1200, 2200)
    new_tokens: tuple[int, int] = (200, 600)
    output_tokens: tuple[int, int] = (12, 36)
    shared_tokens: int = 128
    tool_median_s: float = 0.1
    tool_sigma: float = 1.0
    long_share: float = 0.0
    """Of the tool calls, that run the long tool."""
    long_factor: float = 10.0
    spread_s: float = 2.0
    """Programs arrive at random within this time."""
    kv_blocks: int = 512
    chats: int = 0
    """Single requests without hints among them."""
    chat_tokens: tuple[int, int] = (64, 256)

    def draw(self, seed: int) -> list[Job]:
        """The jobs of a seed, in order of arrival; the same for every arm."""
        rng = random.Random(f"{self.name}-{seed}")
        arrivals = sorted(rng.uniform(0.0, self.spread_s) for _ in range(self.jobs))
        jobs = [Job(number, arrival_s, self._turns(rng)) for number, arrival_s in enumerate(arrivals)]
        for number in range(self.jobs, self.jobs + self.chats):
            turn = Turn(rng.randint(*self.chat_tokens), rng.randint(*self.output_tokens))
            jobs.append(Job(number, rng.uniform(0.0, 3 * self.spread_s), (turn,), chat=True))
        return sorted(jobs, key=lambda job: job.arrival_s)

    def _turns(self, rng: random.Random) -> tuple[Turn, ...]:
        made = [Turn(self.shared_tokens + rng.randint(*self.first_tokens), rng.randint(*self.output_tokens))]
        for _ in range(rng.randint(*self.turns) - 1):
            long = rng.random() < self.long_share
            median_s = self.tool_median_s * (self.long_factor if long else 1.0)
            tool_s = exp(rng.gauss(log(median_s), self.tool_sigma))
            made.append(
                Turn(rng.randint(*self.new_tokens), rng.randint(*self.output_tokens), LONG if long else SHORT, tool_s)
            )
        return tuple(made)


def tokens_of(seed: int, job: Job, shared_tokens: int, vocabulary: int) -> list[list[int]]:
    """Random tokens that each turn adds; the first ``shared_tokens`` of a program are those of every program."""
    common = random.Random(f"shared-{seed}")
    rng = random.Random(f"tokens-{seed}-{job.number}")
    added = [[rng.randrange(3, vocabulary) for _ in range(turn.new_tokens)] for turn in job.turns]
    if not job.chat:
        added[0][:shared_tokens] = [common.randrange(3, vocabulary) for _ in range(shared_tokens)]
    return added
