"""The forecast of a pause from everything that is known of it: what was learned, and what the user has declared."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from math import log
from typing import TYPE_CHECKING, Final

from orchestrator.runtime.kv.forecast import Forecast

if TYPE_CHECKING:
    from orchestrator.runtime.kv.durations import DurationModel
    from orchestrator.runtime.kv.hints import PauseKey

DECLARED_SIGMA: Final = log(3.0) / 1.2816
"""A declared time is taken within a factor of three in 80 % of the calls, as the planner takes it."""
MOST_FEATURE_CHARS: Final = 64
MOST_FEATURE_BITS: Final = 512
_OF_THIS_TOOL: Final = frozenset({"features", "tool"})


def forecast_of(
    durations: DurationModel | None, key: PauseKey, typical_s: float | None, elapsed_s: float = 0.0
) -> Forecast | None:
    """Of the rest of a pause that has lasted ``elapsed_s``; None where nothing is known.

    What was seen of the tool comes first, then what the user has declared, then what was seen of other tools.
    """
    learned = None if durations is None else durations.forecast(key, elapsed_s)
    if typical_s is None or typical_s <= 0 or (learned is not None and learned.source in _OF_THIS_TOOL):
        return learned
    return Forecast.lognormal(median_s=typical_s, sigma=DECLARED_SIGMA, source="hint").given(elapsed_s)


def features(names: Sequence[str], values: Sequence[object]) -> tuple[str, ...]:
    """``name=value`` for each value that is a scalar, cut to ``MOST_FEATURE_CHARS``: what the user named, no more."""
    found = []
    for name, value in zip(names, values, strict=True):
        plain = value.value if isinstance(value, Enum) else value
        if isinstance(plain, int) and plain.bit_length() > MOST_FEATURE_BITS:
            continue  # Python refuses to write the longest of them out
        if isinstance(plain, (str, int, float)):
            found.append(f"{name}={str(plain)[:MOST_FEATURE_CHARS]}")
    return tuple(found)
