"""Amounts as people write them: durations, numbers of tokens, dollars.

>>> seconds("2 min"), seconds("1h30m"), tokens("400k tokens"), usd("2 cents")
(120.0, 5400.0, 400000, 0.02)
>>> parts("$1,000, 1.5M tokens and 30s")
['$1,000', '1.5M tokens', '30s']

Each function gives None for a text that is no such amount. Whether an amount makes sense as a bound is not asked here.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_NUMBER: Final = r"(?:\d{1,3}(?:,\d{3})+|\d+(?:_\d+)*)(?:\.\d*)?(?:[eE][+-]?\d{1,3})?|\.\d+"
_SECONDS: Final = {
    "µs": "0.000001", "us": "0.000001", "ms": "0.001", "s": "1", "sec": "1", "secs": "1", "second": "1", "seconds": "1",
    "m": "60", "min": "60", "mins": "60", "minute": "60", "minutes": "60",
    "h": "3600", "hr": "3600", "hrs": "3600", "hour": "3600", "hours": "3600",
    "d": "86400", "day": "86400", "days": "86400",
}  # fmt: skip
_TIMES: Final = {
    "": 1, "k": 10**3, "thousand": 10**3, "m": 10**6, "mio": 10**6, "million": 10**6, "b": 10**9, "billion": 10**9,
}  # fmt: skip
_UNITS: Final = "|".join(sorted(_SECONDS, key=len, reverse=True))
_MULTIPLES: Final = "|".join(sorted(filter(None, _TIMES), key=len, reverse=True))
_DURATION: Final = re.compile(rf"(?:({_NUMBER})\s*({_UNITS})(?![a-z])\s*)+")
_DURATION_PART: Final = re.compile(rf"({_NUMBER})\s*({_UNITS})(?![a-z])")
_TOKENS: Final = re.compile(rf"({_NUMBER})\s*({_MULTIPLES})?\s*(?:tok|toks|token|tokens)", re.IGNORECASE)
_DOLLARS: Final = re.compile(rf"(?:us)?\$\s*({_NUMBER})\s*({_MULTIPLES})?(?:\s*usd)?", re.IGNORECASE)
_WORDED_DOLLARS: Final = re.compile(rf"({_NUMBER})\s*({_MULTIPLES})?\s*(?:\$|usd|dollars?)", re.IGNORECASE)
_CENTS: Final = re.compile(rf"({_NUMBER})\s*(?:¢|cents?)", re.IGNORECASE)
_BETWEEN: Final = re.compile(r"(?<!\d),|,(?!\d{3}(?!\d))|;|\sand\s|\s\+\s")
"""What stands between amounts; a comma before exactly three digits belongs to a number."""


def parts(text: str) -> list[str]:
    """The amounts of an enumeration."""
    return [part.strip() for part in _BETWEEN.split(text)]


def seconds(text: str) -> float | None:
    """Seconds of ``500ms``, ``5s``, ``2 min``, ``1h30m``."""
    text = text.strip()
    if _DURATION.fullmatch(text) is None:
        return None
    return float(sum(_number(number) * Decimal(_SECONDS[unit]) for number, unit in _DURATION_PART.findall(text)))


def tokens(text: str) -> int | float | None:
    """Tokens of ``2000 tokens``, ``400k tokens``, ``1.5M tok``; a fraction stays one."""
    found = _TOKENS.fullmatch(text.strip())
    if found is None:
        return None
    count = _number(found[1]) * _TIMES[(found[2] or "").lower()]
    return int(count) if count == count.to_integral_value() else float(count)


def usd(text: str) -> float | None:
    """Dollars of ``$0.02``, ``0.02 USD``, ``2 cents``."""
    text = text.strip()
    if found := _CENTS.fullmatch(text):
        return float(_number(found[1]) / 100)
    found = _DOLLARS.fullmatch(text) or _WORDED_DOLLARS.fullmatch(text)
    return None if found is None else float(_number(found[1]) * _TIMES[(found[2] or "").lower()])


def _number(text: str) -> Decimal:
    return Decimal(text.replace(",", "").replace("_", ""))
