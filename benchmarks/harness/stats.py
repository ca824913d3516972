"""Small statistics: medians with their range, Wilson intervals, paired bootstrap, growth exponent."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence

Z95 = 1.959964
"""Two-sided 95 % quantile of the normal distribution."""


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, minimum and maximum."""
    return statistics.median(values), min(values), max(values)


def wilson(successes: int, n: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (E. B. Wilson, JASA 22, 1927); exact ends at 0 and n."""
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}")
    share = successes / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else (centre - half) / scale
    high = 1.0 if successes == n else (centre + half) / scale
    return low, high


def error_ratio(ours: Sequence[bool], base: Sequence[bool]) -> float:
    """Errors of `ours` over errors of `base`, question by question; infinite where only ours errs."""
    if len(ours) != len(base) or not ours:
        raise ValueError("the arms must have answered the same questions")
    mine, theirs = ours.count(False), base.count(False)
    if theirs == 0:
        return 0.0 if mine == 0 else math.inf
    return mine / theirs


def error_ratio_interval(
    ours: Sequence[bool],
    base: Sequence[bool],
    groups: Sequence[object] | None = None,
    *,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """95 % paired bootstrap interval of `error_ratio`.

    Both arms' answers to one question stay together. With `groups` whole groups are drawn (questions over one schema
    are not independent); without, single questions are.
    """
    keys = list(groups) if groups is not None else list(range(len(ours)))
    members: dict[object, list[int]] = {}
    for position, key in enumerate(keys):
        members.setdefault(key, []).append(position)
    units = list(members.values())
    rng = random.Random(seed)
    ratios: list[float] = []
    for _ in range(draws):
        drawn = [position for unit in rng.choices(units, k=len(units)) for position in unit]
        ratio = error_ratio([ours[p] for p in drawn], [base[p] for p in drawn])
        if math.isfinite(ratio):
            ratios.append(ratio)
    if not ratios:
        return 0.0, math.inf
    ratios.sort()
    return ratios[int(0.025 * (len(ratios) - 1))], ratios[math.ceil(0.975 * (len(ratios) - 1))]


def growth_exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Slope of log(seconds) over log(size) by least squares: 1 is linear, 2 quadratic."""
    xs, ys = [math.log(s) for s in sizes], [math.log(t) for t in seconds]
    slope, _ = statistics.linear_regression(xs, ys)
    return slope
