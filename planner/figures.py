"""Figures as people read them: short, with units, never more digits than are known.

>>> duration(0.0171), duration(95.0), tokens(13147.6), dollars(0.000625)
('17ms', '1.6min', '13k', '$0.00063')
"""

from __future__ import annotations

import math
from collections.abc import Callable

from orchestrator.planner.interval import Interval

_SCALES_S = ((3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def two_digits(value: float) -> str:
    """Two significant digits, in full below a thousand."""
    if value == 0:
        return "0"
    return f"{value:.0f}" if value >= 9.95 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """Seconds with the unit that keeps the number small."""
    if seconds == 0:
        return "0s"
    scale, unit = next(((s, u) for s, u in _SCALES_S if seconds >= 0.9995 * s), _SCALES_S[-1])
    return f"{two_digits(seconds / scale)}{unit}"


def at_least(seconds: float) -> str:
    """A duration to ask for: short, never less than ``seconds``, and in a unit that users can write.

    >>> duration(3.04), at_least(3.04), at_least(3.0)
    ('3s', '3.1s', '3.0s')
    """
    writable = _SCALES_S[:-1]
    scale, unit = next(((s, u) for s, u in writable if seconds >= s), writable[-1])
    count = seconds / scale
    decimals = max(1 - math.floor(math.log10(count)), 0) if count > 0 else 0
    return f"{math.ceil(count * 10**decimals - 1e-9) / 10**decimals:.{decimals}f}{unit}"


def tokens(count: float) -> str:
    """A count of tokens, in thousands or millions when there are as many."""
    for scale, unit in ((1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * scale:
            return f"{two_digits(count / scale)}{unit}"
    return f"{count:.0f}"


def dollars(usd: float) -> str:
    """US dollars: cents from one dollar up, below that two significant digits, down to a hundredth of a cent."""
    if usd >= 1:
        return f"${usd:,.2f}"
    return f"${usd:.2g}" if usd == 0 or usd >= 1e-4 else "<$0.0001"


def spread(interval: Interval, form: Callable[[float], str]) -> str:
    """``mid (lo-hi)``, or just ``mid`` when that says it all."""
    lo, mid, hi = (form(bound) for bound in interval.bounds)
    return mid if lo == hi else f"{mid} ({lo}-{hi})"


def times(count: Interval) -> str:
    """How often something runs: ``5`` or ``0-4``."""
    lo, hi = (f"{bound:g}" for bound in (count.lo, count.hi))
    return lo if lo == hi else f"{lo}-{hi}"


def share(part: float, whole: float) -> str:
    """A percentage; ``<1%`` rather than nothing."""
    percent = 100 * part / whole if whole > 0 else 0.0
    return "<1%" if 0 < percent < 1 else f"{percent:.0f}%"
