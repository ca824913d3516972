"""An estimate is an interval: a low, a middle and a high figure, never a single number.

``lo`` and ``hi`` bound what is expected with the stated assumptions; ``mid`` is the figure shown first. Arithmetic
keeps ``lo <= mid <= hi`` because every quantity here (seconds, tokens, dollars, counts) is non-negative, so sums and
products are monotone in each argument.

>>> loop = Interval(0, 2, 4)
>>> Interval.exact(3) * loop + Interval.exact(1)
Interval(lo=1.0, mid=7.0, hi=13.0)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MOST: Final = 1e150
"""Where sums and products end, as loops within loops multiply without end: still a number, and so is its square."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A non-negative quantity known to lie between ``lo`` and ``hi``, most likely near ``mid``."""

    lo: float
    mid: float
    hi: float

    def __post_init__(self) -> None:
        """Raise ``ValueError`` unless ``0 <= lo <= mid <= hi < inf``."""
        if not 0 <= self.lo <= self.mid <= self.hi < math.inf:
            raise ValueError(f"an interval needs 0 <= lo <= mid <= hi < inf, got ({self.lo}, {self.mid}, {self.hi})")

    @classmethod
    def exact(cls, value: float) -> Interval:
        """A quantity known without doubt."""
        return cls(float(value), float(value), float(value))

    @classmethod
    def around(cls, mid: float, factor: float) -> Interval:
        """``mid`` known to within ``factor`` (at least 1) either way."""
        return cls(mid / factor, mid, mid * factor)

    @property
    def bounds(self) -> tuple[float, float, float]:
        return self.lo, self.mid, self.hi

    @property
    def is_exact(self) -> bool:
        return self.lo == self.hi

    def __add__(self, other: Interval) -> Interval:
        return bounded(self.lo + other.lo, self.mid + other.mid, self.hi + other.hi)

    def __mul__(self, other: Interval) -> Interval:
        return bounded(self.lo * other.lo, self.mid * other.mid, self.hi * other.hi)

    def scaled(self, factor: float) -> Interval:
        """Every bound times ``factor`` (non-negative)."""
        return bounded(self.lo * factor, self.mid * factor, self.hi * factor)

    def __contains__(self, value: float) -> bool:
        return self.lo <= value <= self.hi


def bounded(lo: float, mid: float, hi: float) -> Interval:
    """The interval, its bounds :data:`MOST` at the most."""
    if hi > MOST:
        lo, mid, hi = min(lo, MOST), min(mid, MOST), MOST
    return Interval(lo, mid, hi)


ZERO = Interval(0.0, 0.0, 0.0)
ONE = Interval(1.0, 1.0, 1.0)


def total(intervals: Iterable[Interval]) -> Interval:
    """The sum; ``ZERO`` for none."""
    lo = mid = hi = 0.0
    for each in intervals:
        lo, mid, hi = lo + each.lo, mid + each.mid, hi + each.hi
    return bounded(lo, mid, hi)


def latest(intervals: Iterable[Interval]) -> Interval:
    """When the last of several concurrent things ends: the maximum bound by bound; ``ZERO`` for none."""
    lo = mid = hi = 0.0
    for each in intervals:
        lo, mid, hi = max(lo, each.lo), max(mid, each.mid), max(hi, each.hi)
    return Interval(lo, mid, hi)


def within(interval: Interval, most: float | None) -> Interval:
    """The interval with its high end at ``most``, or at its middle if that is higher; ``None``: as it is."""
    return interval if most is None else Interval(interval.lo, interval.mid, max(interval.mid, min(interval.hi, most)))


def either(intervals: Iterable[Interval]) -> Interval:
    """One of several, unknown which: the hull, with the mean of the middles; ``ZERO`` for none."""
    options = list(intervals)
    if not options:
        return ZERO
    lo, hi = min(each.lo for each in options), max(each.hi for each in options)
    mean = math.fsum(each.mid for each in options) / len(options)
    return Interval(lo, min(max(mean, lo), hi), hi)
