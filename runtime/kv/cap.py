"""How many programs may share a replica: learned from what happens to their KV, as TCP learns a window from loss.

A session that comes back for its next turn expects its prompt of the turn before in the prefix cache. What is missing
was evicted in the meantime: that is the *loss* signal, and any engine that reports cached tokens gives it. A *round* is
as many turns as programs were active at its start. At the end of each round, once::

    loss = tokens missing / tokens expected, of the sessions that came back during the round
    loss > tolerated             cap = min(cap, active) * (1 - decrease * loss)      and never below 1
    otherwise, if someone waited cap = cap * 2 until the first loss ever (slow start), then cap + increase

The decrease is proportional to the loss (as in DCTCP, Alizadeh et al., SIGCOMM 2010), so a cap that is a little too
large is corrected a little. Evictions that happened before a decrease say nothing about the cap after it and are not
counted against it. Nobody waits at light load, so nothing changes there whatever the cap is.

An engine that never reports a cached token cannot be told from one that evicts everything. The cap then falls round by
round; a session that comes back to a nearly idle engine and still finds nothing settles it: after ``blind_after`` such
turns the cap is given up (:attr:`AdaptiveCap.blind`) until a cached token is seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite

from orchestrator.errors import RunError


@dataclass(frozen=True, slots=True)
class CapOptions:
    """How the cap moves; counts of programs, shares in [0, 1]."""

    initial: float = 8.0
    """Where slow start begins: a burst that is smaller never waits."""
    least: float = 1.0
    most: float = inf
    increase: float = 1.0
    """Programs more per round without loss in which someone waited."""
    decrease: float = 0.5
    """Share of the cap given up when everything was lost."""
    tolerated: float = 0.1
    """Loss up to which more programs at once are worth what is computed again."""
    adaptive: bool = True
    """False: the cap stays at ``initial``, whatever is observed."""
    granule_tokens: int = 64
    """Tokens that may be missing without meaning anything: caches hold whole blocks."""
    blind_after: int = 16

    def __post_init__(self) -> None:
        wrong = []
        if not 1 <= self.least <= self.initial <= self.most:
            wrong.append("1 <= least <= initial <= most must hold")
        if not (0 < self.decrease < 1 and 0 <= self.tolerated < 1):
            wrong.append("decrease must be in (0, 1) and tolerated in [0, 1)")
        if not (isfinite(self.increase) and self.increase > 0 and self.granule_tokens >= 0 and self.blind_after >= 1):
            wrong.append("increase and blind_after must be positive, granule_tokens not negative")
        if wrong:
            raise RunError("ORCH-R061", "the admission options are wrong", why="; ".join(wrong))


class AdaptiveCap:
    """The cap of one replica. Pure state: it knows no clock and no engine."""

    __slots__ = (
        "_expected",
        "_held",
        "_lost",
        "_peak",
        "_turns_left",
        "_waited",
        "_zeros",
        "blind",
        "decreases",
        "epoch",
        "increases",
        "options",
        "slow_start",
        "value",
    )

    def __init__(self, options: CapOptions | None = None) -> None:
        self.options = options or CapOptions()
        self.value = self.options.initial
        self.slow_start = True
        self.blind = False
        """Whether the engine seems to report no cached tokens, so that the cap is given up."""
        self.epoch = 0
        """Decreases so far; what a session left behind in an earlier epoch says nothing about this cap."""
        self.increases = self.decreases = 0
        self._zeros: int | None = 0
        """Turns in a row that found nothing in the cache; ``None`` once any has found something."""
        self._turns_left = 1
        self._expected = self._lost = self._peak = 0
        self._waited = self._held = False

    @property
    def whole(self) -> float:
        """The cap in whole programs; ``inf`` for an engine that cannot be observed."""
        return inf if self.blind else float(int(self.value)) if isfinite(self.value) else inf

    def observe(self, expected_cached: int, cached: int, epoch: int | None = None) -> None:
        """A session came back: tokens of it that should be cached, and those that were.

        ``epoch``: :attr:`epoch` at the end of its last turn; ``None``: this one.
        """
        if expected_cached <= self.options.granule_tokens:
            return
        if cached > 0:
            self._sighted()
        elif self._zeros is not None:
            self._zeros += 1
            self.blind = self.blind or self._zeros >= self.options.blind_after
        if epoch is None or epoch == self.epoch:
            self._expected += expected_cached
            missing = expected_cached - cached
            self._lost += missing if missing > self.options.granule_tokens else 0

    def preempted(self, requests: int = 1) -> None:
        """The engine put running requests back to its queue for lack of memory: counts as a round of loss."""
        if requests > 0:
            self._expected += 1
            self._lost += self._expected

    def crowded(self) -> None:
        """The engine's own queue is not empty for lack of memory: more programs would not run sooner."""
        self._held = True

    def turn_over(self, active: int, waiting: int) -> bool:
        """A turn is done, with ``active`` programs holding slots, itself included; whether the cap fell."""
        self._peak = max(self._peak, active)
        self._waited = self._waited or waiting > 0
        self._turns_left -= 1
        if self._turns_left > 0:
            return False
        fell = self.options.adaptive and not self.blind and self._decide()
        self._new_round(active)
        return fell

    def _decide(self) -> bool:
        options = self.options
        loss = min(self._lost / self._expected, 1.0) if self._expected else 0.0
        if loss > options.tolerated:
            self.value = max(options.least, min(self.value, self._peak) * (1 - options.decrease * loss))
            self.slow_start = False
            self.epoch += 1
            self.decreases += 1
            return True
        if self._waited and not self._held:
            grown = self.value * 2 if self.slow_start else self.value + options.increase
            self.value = min(grown, options.most)
            self.increases += 1
        return False

    def _sighted(self) -> None:
        self._zeros = None
        if self.blind:
            self.blind = False
            self.value, self.slow_start = self.options.initial, True

    def _new_round(self, active: int) -> None:
        self._turns_left = max(active, 1)
        self._expected = self._lost = self._peak = 0
        self._waited = self._held = False
