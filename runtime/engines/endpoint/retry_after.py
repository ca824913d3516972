"""When an endpoint that refuses says it takes requests again.

``Retry-After`` comes as seconds or as an HTTP date (RFC 9110, section 10.2.3); Azure and OpenAI add ``retry-after-ms``;
OpenAI and those who copy it tell when a limit that is used up is renewed (``x-ratelimit-reset-requests: 6m0s``), others
when it is (``x-ratelimit-reset``, seconds or a Unix time).

>>> retry_after_s({"retry-after": "7"}, now_s=0.0), retry_after_s({"retry-after": "soon"}, now_s=0.0)
(7.0, None)
>>> retry_after_s({"retry-after": "Thu, 01 Jan 1970 00:00:20 GMT"}, now_s=5.0)
15.0
>>> retry_after_s({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m2.5s"}, now_s=0.0)
62.5
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import Final

_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LEAST_UNIX_S: Final = 1e9
"""A number above this is a time, not a duration."""


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """Seconds from ``now_s`` (Unix time) until the endpoint takes requests again, 0 for a time that has passed; None:
    it does not say. ``headers`` has lower-case names."""
    told = _number(headers.get("retry-after-ms"), 0.001)
    if told is None:
        told = _number(headers.get("retry-after"), 1.0)
    if told is None:
        told = _date(headers.get("retry-after"), now_s)
    if told is None:
        used_up = (
            _duration(headers.get(f"x-ratelimit-reset-{what}"), now_s)
            for what in ("requests", "tokens")
            if headers.get(f"x-ratelimit-remaining-{what}") == "0"
        )
        resets = (_duration(headers.get(name), now_s) for name in ("x-ratelimit-reset", "ratelimit-reset"))
        told = max((each for each in (*used_up, *resets) if each is not None), default=None)
    return None if told is None else max(told, 0.0)


def _number(text: str | None, unit_s: float) -> float | None:
    try:
        found = float((text or "").strip())
    except ValueError:
        return None
    return found * unit_s if isfinite(found) else None


def _date(text: str | None, now_s: float) -> float | None:
    try:
        at = parsedate_to_datetime((text or "").strip())
    except (ValueError, OverflowError):
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - now_s


def _duration(text: str | None, now_s: float) -> float | None:
    plain = _number(text, 1.0)
    if plain is not None:
        return plain - now_s if plain > LEAST_UNIX_S else plain
    parts = _PART.findall((text or "").strip())
    if not parts or "".join(number + unit for number, unit in parts) != (text or "").strip():
        return None
    total_s = sum(float(number) * _UNITS[unit] for number, unit in parts)
    return total_s if isfinite(total_s) else None
