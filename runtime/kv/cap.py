"""How much KV the programs on a replica may hold together: learned from what is evicted, as TCP learns from loss.

A session that comes back for its next turn expects its prompt of the turn before in the prefix cache. What is missing
was evicted in the meantime: that is the *loss* signal, and any engine that reports cached tokens gives it. Programs
differ in size, so what is bounded is not their number but the tokens of their contexts, their *working sets* (Denning
1968: admit a program while the working sets fit memory). A *round* is as many turns as programs were active at its
start. At the end of each round, once::

    loss = tokens missing / tokens expected, of the sessions that came back during the round
    loss > tolerated             tokens = min(tokens, most held in the round) * (1 - decrease * loss)
    otherwise, if someone waited tokens = tokens + increase * what one program holds

Before the first loss the bound is what the engine says its cache holds; if it does not say, the number of programs is
bounded, and doubles each round in which someone waited (slow start). The decrease is proportional to the loss (as in
DCTCP, Alizadeh et al., SIGCOMM 2010), so a bound that is a little too large is corrected a little. After a decrease
nothing is decided until no more is held than the bound allows, and evictions from before that are not counted. Nobody
waits at light load, so nothing changes there. One program is always let in.

Not every loss is due to programs: an engine may report no cached tokens at all, or forget for reasons of its own (a
balancer behind one URL, other clients). Then even a program that has the engine to itself comes back and misses its KV;
``deaf_after`` such turns settle it, and the bound is given up (:attr:`AdaptiveCap.open`) for ``DEAF_TURNS`` turns, and
for twice as many each time it happens again.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from typing import Final

from orchestrator.errors import RunError

DEAF_TURNS: Final = 500
LEAST_SHARE: Final = 0.5
"""The bound does not fall below this share of the room an engine says it has, whatever others than programs take."""


@dataclass(frozen=True, slots=True)
class CapOptions:
    """How the bound moves; counts of programs, shares in [0, 1]."""

    programs: float = 8.0
    """Where slow start begins: a burst that is smaller never waits."""
    fixed: bool = False
    """There are at most ``programs`` at once, whatever is observed."""
    increase: float = 0.2
    """Programs' worth of tokens more per round without loss in which someone waited."""
    decrease: float = 0.3
    """Share of the tokens given up when everything was lost."""
    tolerated: float = 0.1
    """Loss up to which more programs at once are worth what is computed again."""
    granule_tokens: int = 64
    """Tokens that may be missing without meaning anything: caches hold whole blocks."""
    deaf_after: int = 4

    def __post_init__(self) -> None:
        wrong = []
        if not self.programs >= 1:
            wrong.append("programs must be at least 1")
        if not (0 < self.decrease < 1 and 0 <= self.tolerated < 1):
            wrong.append("decrease must be in (0, 1) and tolerated in [0, 1)")
        if not (isfinite(self.increase) and self.increase > 0 and self.granule_tokens >= 0 and self.deaf_after >= 1):
            wrong.append("increase and deaf_after must be positive, granule_tokens not negative")
        if wrong:
            raise RunError("ORCH-R061", "the admission options are wrong", why="; ".join(wrong))


class AdaptiveCap:
    """The bound of one replica. Pure state: it knows no clock and no engine."""

    __slots__ = (
        "_alone", "_expected", "_held", "_lost", "_open_for", "_open_turns", "_peak", "_recovering", "_room", "_told",
        "_turns_left", "_waited", "decreases", "epoch", "increases", "open", "options", "programs", "tokens",
    )  # fmt: skip

    def __init__(self, options: CapOptions | None = None) -> None:
        self.options = options or CapOptions()
        self.programs = self.options.programs
        """Programs at once; ``inf`` once the tokens rule."""
        self.tokens = inf
        """Tokens the programs may hold together; ``inf`` until some were evicted."""
        self.open = False
        """Whether there is no bound, because what is lost is not lost to programs."""
        self.epoch = 0
        """Decreases so far; what a session left behind in an earlier epoch says nothing about this bound."""
        self.increases = self.decreases = 0
        self._room = inf
        self._alone = (0, 0, 0)
        """Turns of programs that had the engine to themselves: how many, tokens expected, tokens missing."""
        self._open_for = DEAF_TURNS
        self._open_turns = 0
        self._recovering = False
        self._turns_left = 1
        self._expected = self._lost = 0
        self._peak = 0.0
        self._waited = self._held = self._told = False

    def allows(self, active: int, held_tokens: float, more_tokens: float) -> bool:
        """Whether one program more may be active, which will hold ``more_tokens``; 0: nobody knows."""
        if not active or self.open:
            return True
        if self.tokens < inf and more_tokens > 0:
            return held_tokens + more_tokens <= self.tokens
        return active < self.programs

    def exceeded(self, active: int, held_tokens: float) -> bool:
        """Whether fewer programs should be active."""
        return active > 1 and not self.open and held_tokens > self.tokens

    def observe(self, expected_cached: int, cached: int, epoch: int | None = None, *, alone: bool = False) -> None:
        """A session came back: tokens of it that should be cached, and those that were.

        ``epoch``: :attr:`epoch` at the end of its last turn; ``None``: this one. ``alone``: no other program was
        active since then.
        """
        if expected_cached <= self.options.granule_tokens:
            return
        missing = expected_cached - cached
        missing = missing if missing > self.options.granule_tokens else 0
        if alone:
            self._listen(expected_cached, missing)
        if epoch is None or epoch == self.epoch:
            self._told = True
            self._expected += expected_cached
            self._lost += missing

    def preempted(self, requests: int = 1) -> None:
        """The engine put running requests back to its queue for lack of memory: counts as a round of loss."""
        if requests > 0:
            self._expected += 1
            self._lost = self._expected

    def finished(self) -> None:
        """A program ended: if nothing comes back, nothing can be lost."""
        self._told = True

    def room(self, kv_tokens: int) -> None:
        """The engine says how many tokens its KV cache holds: where to begin, before anything was evicted."""
        if self._room == inf and not self.options.fixed:
            self._room = float(kv_tokens)
            self.tokens = min(self.tokens, self._room)

    def crowded(self) -> None:
        """The engine's own queue is not empty for lack of memory: more programs would not run sooner."""
        self._held = True

    def turn_over(self, active: int, held_tokens: float, waiting: int) -> bool:
        """A turn is done, while ``active`` programs hold slots, itself included; whether the bound fell."""
        self._peak = max(self._peak, held_tokens)
        self._waited = self._waited or waiting > 0
        self._turns_left -= 1
        if self.open:
            self._open_turns -= 1
            if self._open_turns <= 0:
                self.open = False
        if self._turns_left > 0:
            return False
        fell = not self.options.fixed and not self.open and self._decide(active, held_tokens)
        self._turns_left = max(active, 1)
        self._expected = self._lost = 0
        self._peak = 0.0
        self._waited = self._held = self._told = False
        return fell

    def _decide(self, active: int, held_tokens: float) -> bool:
        options = self.options
        if self._recovering:
            self._recovering = self.exceeded(active, held_tokens)
            self.epoch += 1
            return False
        loss = self._lost / self._expected if self._expected else 0.0
        if loss > options.tolerated:
            floor = LEAST_SHARE * self._room if self._room < inf else 0.0
            self.tokens = max(floor, min(self.tokens, self._peak) * (1 - options.decrease * loss))
            self.programs = inf
            self.decreases += 1
            self.epoch += 1
            self._recovering = True
            return True
        if self._waited and not self._held and self._told:
            self.programs *= 2
            self.tokens += options.increase * held_tokens / max(active, 1)
            self.increases += 1
        return False

    def _listen(self, expected: int, missing: int) -> None:
        turns, before, lost = self._alone
        turns, before, lost = turns + 1, before + expected, lost + missing
        if turns >= self.options.deaf_after:
            if lost > self.options.tolerated * before and not self.options.fixed:
                self.open, self._open_turns = True, self._open_for
                self._open_for *= 2
                self.programs, self.tokens = self.options.programs, self._room
                self.epoch += 1
            turns = before = lost = 0
        self._alone = (turns, before, lost)
