"""What pauses seen so far say about the next one, when some were not seen to the end.

A pause that still lasts, or whose session was dropped, is *censored*: it says "longer than this" and no more. Kaplan
and Meier (1958) estimate the distribution by walking along the times seen: of those still at risk, the share that ends.
And a tool that was seen three times is better described with some help from its *parent* (the workflow's pauses, or
all): Susarla and Van Ryzin (1976) give the mean of a Dirichlet process with base measure ``strength * parent``
(Ferguson 1973) after censored observations. It is the same walk, over the parent's points too, which weigh ``strength``
observations together::

    S(t) = prod over times u <= t of  1 - ended(u) / at_risk(u)

With nothing censored it is (strength * parent + n * empirical) / (strength + n); with nothing seen it is the parent;
with ``strength = 0`` it is Kaplan-Meier. No threshold decides when a tool is known: its own pauses simply outweigh::

    >>> parent = Forecast.of([1.0])
    >>> posterior(parent, 1.0, [5.0, 5.0, 5.0], []).cdf
    (0.25, 1.0)
    >>> posterior(parent, 1.0, [5.0], [2.0, 3.0]).cdf  # two still last after 2 s and 3 s: they go the way of the third
    (0.25, 1.0)
"""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.runtime.kv.forecast import ROUNDING, Forecast, Source, thinned


def posterior(
    parent: Forecast,
    strength: float,
    ended_s: Sequence[float],
    censored_s: Sequence[float],
    *,
    source: Source = "hint",
    count: int = 0,
) -> Forecast:
    """The forecast after pauses that ended after ``ended_s`` and others that outlasted ``censored_s`` (ascending).

    What was censored after the last time seen never ends, as far as anyone knows. O(n log n) in the points.
    """
    ending = _weights(parent, strength)
    for t in ended_s:
        ending[t] = ending.get(t, 0.0) + 1.0
    at_risk = strength + len(ended_s) + len(censored_s)
    alive, gone, left = 1.0, 0, len(censored_s)
    times_s, cdf = [], []
    for t in sorted(ending):
        while gone < left and censored_s[gone] < t:
            gone += 1
            at_risk -= 1.0
        if at_risk <= ROUNDING:
            break
        weight = ending[t]
        alive *= max(1.0 - weight / at_risk, 0.0)
        at_risk -= weight
        times_s.append(t)
        cdf.append(1.0 - alive)
    return Forecast(*thinned(times_s, cdf), source, count)


def _weights(parent: Forecast, strength: float) -> dict[float, float]:
    before = (0.0, *parent.cdf)
    return (
        {t: strength * (p - q) for t, p, q in zip(parent.times_s, parent.cdf, before, strict=False)} if strength else {}
    )
