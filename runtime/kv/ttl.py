"""How long to keep a session's KV cache while it pauses: for as long as that is worth more than the room it takes.

Continuum (arXiv 2511.02230) keeps it for τ* = argmax P(D <= τ)·(T·η + R) − τ, over 0 and the pauses seen: D is the
pause, R the prefill or reload that a hit saves, T the queueing delay it avoids, and η how much of that delay the
session would really see. Two things differ here. A pin ends when the session comes back, so keeping costs E[min(D, τ)]
and not τ; and a second of it costs what it makes others wait, ``rent``, which is nothing while memory is free::

    worth(τ) = P(D <= τ)·benefit − rent·E[min(D, τ)]

Between two pauses seen, the worth only falls: the optimum is one of them, or 0. So a tool that is mostly quick gets a
TTL just past its quick mode, and one that is always slow gets none::

    >>> from orchestrator.runtime.kv.forecast import Forecast
    >>> best_ttl(Forecast.of([1.0] * 8 + [60.0] * 2), benefit_s=4.0, rent=0.5, longest_s=600.0)
    Ttl(ttl_s=1.0, worth_s=2.7, hit_probability=0.8)
    >>> best_ttl(Forecast.of([60.0] * 10), benefit_s=4.0, rent=0.5, longest_s=600.0)
    Ttl(ttl_s=0.0, worth_s=0.0, hit_probability=0.0)
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from orchestrator.runtime.kv.forecast import ROUNDING, Forecast


@dataclass(frozen=True, slots=True)
class Ttl:
    """How long to keep the KV cache from now on, and what that is expected to bring."""

    ttl_s: float
    worth_s: float
    """Expected seconds of delay saved, less those it causes; never negative."""
    hit_probability: float
    """That the session is back within ``ttl_s``."""


NOT_WORTH_IT = Ttl(0.0, 0.0, 0.0)


def best_ttl(forecast: Forecast, *, benefit_s: float, rent: float, longest_s: float, elapsed_s: float = 0.0) -> Ttl:
    """The TTL in [0, ``longest_s``] of greatest worth; of equals, the shorter. Without rent it is ``longest_s``.

    ``benefit_s`` is T·η + R, the seconds a hit saves; ``rent`` the seconds that others are delayed by for each second
    that the blocks are held. ``forecast`` is of the whole pause, of which ``elapsed_s`` have passed; the TTL counts
    from now. One pass over the forecast's support.
    """
    if benefit_s <= 0.0 or longest_s <= 0.0:
        return NOT_WORTH_IT
    cdf, means_s = forecast.cdf, forecast.means_s
    gone, past_s = forecast.probability_by(elapsed_s), forecast.mean_within(elapsed_s)
    alive = 1.0 - gone
    first = bisect_right(forecast.times_s, elapsed_s)
    end = bisect_right(forecast.times_s, elapsed_s + longest_s)
    if rent <= 0.0:
        hit = (forecast.probability_by(elapsed_s + longest_s) - gone) / alive if alive > ROUNDING else 0.0
        return Ttl(longest_s, hit * benefit_s, hit)
    # given D > elapsed, both terms are differences divided by P(D > elapsed): the argmax needs neither
    best, at = gone * benefit_s - rent * past_s, -1
    for i in range(first, end):
        worth = cdf[i] * benefit_s - rent * means_s[i]
        if worth > best + ROUNDING:
            best, at = worth, i
    if at < 0 or alive <= ROUNDING:
        return NOT_WORTH_IT
    worth_s = (best - gone * benefit_s + rent * past_s) / alive
    return Ttl(forecast.times_s[at] - elapsed_s, worth_s, (cdf[at] - gone) / alive)
