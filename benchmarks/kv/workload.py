"""The load: agent programs of several turns with tools between them, scaled down from published traces.

Continuum (arXiv 2511.02230, section 2) reports two kinds of agents::

                turns a program   tokens a program   a tool call
    SWE-bench   10.9 +- 2.1       70k +- 20k          925 +- 3550 ms
    BFCL v4      6.3 +- 2.3       93k +- 69k         1923 +- 2133 ms

A case mixes both in equal parts. On a CPU core the small model prefills about as many tokens a second as an 8B model
on an H100; contexts are divided by ``token_scale`` and tools by ``time_scale``, which is less: tools are longer here
than there, compared with the prefill of the context, and keeping a cache is worth less. On a GPU nothing is scaled.
Tool times are lognormal with those means and deviations. Half of a program's tokens are its first prompt, the rest
arrives in equal parts on average. Prompts are random tokens after a beginning that all programs of a kind share; a
turn's prompt is the whole conversation so far, the reply included.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import exp, log, sqrt

SHARED_TOKENS = 128
LONGEST_SHARE = 0.7
"""Of the KV space, that a program may fill at most."""
BLOCK_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of agent: a workflow with one tool that is sometimes slow, which then has a name of its own."""

    workflow: str
    tool: str
    long_tool: str
    turns: tuple[float, float]
    """Mean and standard deviation, as all pairs here."""
    tokens: tuple[float, float]
    tool_s: tuple[float, float]


SWE = Kind("swe", "shell", "test_suite", (10.9, 2.1), (70e3, 20e3), (0.925, 3.55))
BFCL = Kind("bfcl", "search", "crawl", (6.3, 2.3), (93e3, 69e3), (1.923, 2.133))


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
    kind: Kind | None = None
    """None: a chat."""
    turn_s: float = 0.0
    """About what a turn and its tool take: what a plan would say."""

    def turns_left(self, place: int) -> float:
        """What a compiler expects after that turn: how many turns such an agent has on average, at least one more."""
        return max((self.kind.turns[0] if self.kind else 1.0) - place - 1, 1.0)


@dataclass(frozen=True, slots=True)
class Case:
    """A load on an engine with ``kv_blocks`` blocks of KV."""

    name: str
    jobs: int = 18
    spread_s: float = 2.0
    """Programs arrive at random within this time."""
    long_share: float = 0.0
    """Of the tool calls, that run the long tool."""
    long_factor: float = 10.0
    kv_blocks: int = 640
    """0: all that the engine has room for."""
    chats: int = 0
    """Single requests without hints among them."""
    token_scale: float = 16.0
    time_scale: float = 6.0
    longest_tokens: int = 32768

    def draw(self, seed: int) -> list[Job]:
        """The jobs of a seed, in order of arrival; the same for every arm."""
        rng = random.Random(f"{self.name}-{seed}")
        arrivals = sorted(rng.uniform(0.0, self.spread_s) for _ in range(self.jobs))
        jobs = [self._program(rng, number, arrival_s) for number, arrival_s in enumerate(arrivals)]
        for number in range(self.jobs, self.jobs + self.chats):
            turn = Turn(rng.randint(64, 256), rng.randint(12, 36))
            jobs.append(Job(number, rng.uniform(0.0, 3 * min(self.spread_s, 8.0)), (turn,)))
        return sorted(jobs, key=lambda job: job.arrival_s)

    def _program(self, rng: random.Random, number: int, arrival_s: float) -> Job:
        kind = SWE if number % 2 else BFCL
        turns = max(2, round(rng.gauss(*kind.turns)))
        most = LONGEST_SHARE * min(self.kv_blocks * BLOCK_TOKENS or self.longest_tokens, self.longest_tokens)
        total = min(_lognormal(rng, *kind.tokens) / self.token_scale, most)
        first = max(int(total / 2), SHARED_TOKENS + 32)
        each = max(int(total / 2 / turns), 32)
        made = [Turn(first, rng.randint(12, 36))]
        for _ in range(turns - 1):
            long = rng.random() < self.long_share
            tool_s = _lognormal(rng, *kind.tool_s) / self.time_scale * (self.long_factor if long else 1.0)
            new_tokens = rng.randint(each // 2, each + each // 2)
            made.append(Turn(new_tokens, rng.randint(12, 36), kind.long_tool if long else kind.tool, tool_s))
        return Job(number, arrival_s, tuple(made), kind, kind.tool_s[0] / self.time_scale + 0.15)


def tokens_of(seed: int, job: Job, vocabulary: int) -> list[list[int]]:
    """Random tokens that each turn adds; a program begins with those of every program of its kind."""
    rng = random.Random(f"tokens-{seed}-{job.number}")
    added = [[rng.randrange(3, vocabulary) for _ in range(turn.new_tokens)] for turn in job.turns]
    if job.kind is not None:
        common = random.Random(f"shared-{seed}-{job.kind.workflow}")
        added[0][:SHARED_TOKENS] = [common.randrange(3, vocabulary) for _ in range(SHARED_TOKENS)]
    return added


def _lognormal(rng: random.Random, mean: float, deviation: float) -> float:
    sigma = sqrt(log(1 + (deviation / mean) ** 2))
    return exp(rng.gauss(log(mean) - sigma * sigma / 2, sigma))
