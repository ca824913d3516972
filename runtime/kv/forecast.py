"""How long a pause will last: a small discrete distribution of seconds, possibly with mass at infinity.

Pauses have heavy tails (the slowest tenth of tool calls holds half to nine tenths of tool time), and some never end, so
a forecast is a distribution function and nothing is ever asked of its mean, only of E[min(D, t)], which always exists::

    >>> bimodal = Forecast.of([1.0, 1.0, 1.0, 1.0, 60.0])
    >>> bimodal.probability_by(2.0), bimodal.quantile(0.5), bimodal.mean_within(2.0)
    (0.8, 1.0, 1.2)
    >>> bimodal.given(2.0).quantile(0.5)  # still away after 2 s: 58 s more
    58.0

Schedulers ask on their hot path, so every question is one binary search over tuples; numpy is not needed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import ceil, exp, inf, isfinite
from statistics import NormalDist
from typing import Final, Literal

Source = Literal["features", "tool", "workflow", "global", "prior", "hint"]

MOST_POINTS: Final = 128
MOST_ENCODED: Final = 33
SHORTEST_S: Final = 1e-3
"""Shorter pauses need not be told apart."""
ROUNDING: Final = 1e-9
"""Probabilities that differ by less are the same: sums of floats must not move a quantile by an observation."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """P(D <= t) of a pause D in seconds: a step function that rises to ``cdf[i]`` at ``times_s[i]``.

    ``times_s`` ascends strictly and is finite; ``cdf`` ascends within (0, 1] and has the same length. What is missing
    to 1 at the end is the probability that the pause never ends. Both may be empty: it never ends.
    """

    times_s: tuple[float, ...]
    cdf: tuple[float, ...]
    source: Source = "hint"
    """Where it comes from: the most specific level of the duration model that had seen pauses, or a caller's hint."""
    count: int = 0
    """Pauses seen at that level."""
    means_s: tuple[float, ...] = field(init=False, repr=False, compare=False)
    """E[min(D, t)] at each of ``times_s``."""

    def __post_init__(self) -> None:
        before = (0.0, *self.times_s)
        alive = (1.0, *(1.0 - p for p in self.cdf))
        spans = (still * (t - since) for t, since, still in zip(self.times_s, before, alive, strict=False))
        object.__setattr__(self, "means_s", tuple(accumulate(spans)))

    @classmethod
    def of(cls, durations_s: Iterable[float], source: Source = "hint") -> Forecast:
        """The empirical distribution of pauses seen, each equally likely; ``inf`` is one that never ended."""
        seen = sorted(durations_s)
        n = len(seen)
        last = {t: (i + 1) / n for i, t in enumerate(seen) if isfinite(t)}  # the last of equal times has their cdf
        return cls(*thinned(tuple(last), tuple(last.values())), source, n)

    @classmethod
    def lognormal(cls, median_s: float, sigma: float, source: Source = "prior") -> Forecast:
        """A lognormal pause: ``sigma`` is the standard deviation of its logarithm, in nats."""
        normal = NormalDist()
        deviations = [-3.0 + 6.0 * i / 63 for i in range(64)]  # 0.1 % of the pauses are longer yet: they never end
        return cls(
            tuple(median_s * exp(sigma * z) for z in deviations), tuple(normal.cdf(z) for z in deviations), source
        )

    @classmethod
    def decoded(cls, quantiles_s: Sequence[float]) -> Forecast:
        """The inverse of ``encoded``."""
        return cls.of(quantiles_s)

    def encoded(self) -> list[float]:
        """At most ``MOST_ENCODED`` equally likely quantiles in ascending order; ``inf`` for "may never end".

        The midpoints of equal shares, so encoding what was decoded changes nothing.
        """
        if len(self.times_s) == 1 and self.cdf[0] >= 1.0 - ROUNDING:
            return [self.times_s[0]]
        return [self.quantile((i + 0.5) / MOST_ENCODED) for i in range(MOST_ENCODED)]

    @property
    def never(self) -> float:
        """The probability that the pause never ends."""
        return 1.0 - self.cdf[-1] if self.cdf else 1.0

    def probability_by(self, t_s: float) -> float:
        """P(D <= t)."""
        i = bisect_right(self.times_s, t_s)
        return self.cdf[i - 1] if i else 0.0

    def quantile(self, p: float) -> float:
        """The smallest time by which the pause has ended with probability ``p``; ``inf`` if there is none."""
        i = bisect_left(self.cdf, p - ROUNDING)
        return self.times_s[i] if i < len(self.times_s) else inf

    def mean_within(self, t_s: float) -> float:
        """E[min(D, t)]: the seconds for which something kept until the pause ends, but at most ``t``, is held."""
        i = bisect_right(self.times_s, t_s)
        if not i:
            return t_s
        rest = (1.0 - self.cdf[i - 1]) * (t_s - self.times_s[i - 1]) if self.cdf[i - 1] < 1.0 else 0.0
        return self.means_s[i - 1] + rest

    def upper(self, coverage: float) -> float:
        """A bound that the next pause stays under with probability ``coverage``, whatever the distribution.

        Split conformal: the ceil((n+1) * coverage)-th smallest of n pauses seen (Lei et al. 2018, arXiv 1604.04173);
        ``inf`` when n is too small for that or the rank falls among those that never ended. Exact for exchangeable
        pauses and a forecast made of them alone (``of``); a forecast that leans on others' pauses covers as well as
        they resemble its own.
        """
        rank = ceil((self.count + 1) * coverage - ROUNDING)
        return self.quantile(rank / self.count) if 0 < rank <= self.count else inf

    def given(self, elapsed_s: float) -> Forecast:
        """The forecast of the *rest* of a pause that has lasted ``elapsed_s`` and is not over.

        Where nothing is known to last as long, the pause is expected never to end: keeping wrongly costs more than
        discarding wrongly.
        """
        if elapsed_s <= 0.0:
            return self
        i = bisect_right(self.times_s, elapsed_s)
        gone = self.cdf[i - 1] if i else 0.0
        alive = 1.0 - gone
        if alive <= ROUNDING:
            return Forecast((), (), self.source, self.count)
        times_s = tuple(t - elapsed_s for t in self.times_s[i:])
        return Forecast(times_s, tuple((p - gone) / alive for p in self.cdf[i:]), self.source, self.count)


def thinned(times_s: Sequence[float], cdf: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """At most ``MOST_POINTS`` of the points, merged where they are closest in ratio: later, never earlier.

    A merged point moves by less than a factor of (longest / shortest)^(1/126), 6 % for pauses from 10 ms to 20 s: the
    edge of a mode, where a TTL wants to be, stays where it is.
    """
    if len(times_s) <= MOST_POINTS:
        return tuple(times_s), tuple(cdf)
    shortest_s = max(times_s[0], SHORTEST_S)
    ratio = max(times_s[-1] / shortest_s, 1.0) ** (1 / (MOST_POINTS - 2))
    kept, limit_s = [], shortest_s * ratio
    for i, t in enumerate(times_s):
        if t >= limit_s and i:
            kept.append(i - 1)
            limit_s = t * ratio
    kept.append(len(times_s) - 1)
    return tuple(times_s[i] for i in kept), tuple(cdf[i] for i in kept)
