"""Quantiles of a stream in fixed memory: buckets whose borders grow by a constant factor (DDSketch, VLDB 2019).

A value v falls into bucket ``ceil(log_g v)`` with ``g = (1 + e) / (1 - e)``; answering with ``2 g^i / (g + 1)`` is off
by at most ``e`` of the value. Values from 1 microsecond to about 4 months are told apart; smaller ones count as 0.
"""

from __future__ import annotations

from itertools import accumulate
from math import ceil, log
from typing import Final

RELATIVE_ERROR: Final = 0.005
SMALLEST_S: Final = 1e-6
LARGEST_S: Final = 1e7

_GROWTH: Final = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_PER_LOG: Final = 1 / log(_GROWTH)
_OFFSET: Final = 1 - ceil(log(SMALLEST_S) * _PER_LOG)
_BUCKETS: Final = ceil(log(LARGEST_S) * _PER_LOG) + _OFFSET + 1


class Quantiles:
    """Counts, the exact sum, and quantiles within ``RELATIVE_ERROR``."""

    __slots__ = ("_buckets", "count", "largest", "total")

    def __init__(self) -> None:
        self._buckets = [0] * _BUCKETS
        self.count = 0
        self.total = 0.0
        self.largest = 0.0

    def add(self, value: float) -> None:
        """Count one value, in seconds."""
        self.count += 1
        self.total += value
        self.largest = max(self.largest, value)
        if value <= SMALLEST_S:
            self._buckets[0] += 1
        else:
            index = ceil(log(value) * _PER_LOG) + _OFFSET
            self._buckets[index if index < _BUCKETS else -1] += 1

    @property
    def mean(self) -> float | None:
        """``None`` without values."""
        return self.total / self.count if self.count else None

    def quantile(self, share: float) -> float | None:
        """The value at rank ``floor(share * (count - 1))``, within the relative error; ``None`` without values."""
        if not self.count:
            return None
        rank = int(share * (self.count - 1))
        index = next(i for i, seen in enumerate(accumulate(self._buckets)) if seen > rank)
        if index == 0:
            return 0.0
        return min(2 * _GROWTH ** (index - _OFFSET) / (_GROWTH + 1), self.largest)

    def merge(self, other: Quantiles) -> None:
        """Count all of ``other``'s values too."""
        self.count += other.count
        self.total += other.total
        self.largest = max(self.largest, other.largest)
        self._buckets = [a + b for a, b in zip(self._buckets, other._buckets, strict=True)]
