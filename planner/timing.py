"""How long everything that is not a model call takes: tools and people.

A tool that declares ``typical_s`` is taken at its word within a factor of three. Any other gets a default by its
effects, wide on purpose and reported as a guess: what observes or changes the world usually talks to another machine.
"""

from __future__ import annotations

from typing import Final

from orchestrator.planner.interval import Interval

TYPICAL_FACTOR: Final = 3.0

TOOL_S: Final = {
    "pure": Interval(1e-4, 1e-2, 1.0),
    "reads": Interval(1e-3, 0.2, 5.0),
    "idempotent": Interval(1e-3, 0.2, 5.0),
    "once": Interval(1e-3, 0.5, 10.0),
}
RETRIEVE_S: Final = Interval(5e-3, 0.1, 2.0)
HUMAN_S: Final = Interval(5.0, 120.0, 3600.0)
SLEEP_S: Final = Interval(0.0, 60.0, 3600.0)
"""A sleep of which only the run knows how long it takes."""
BUILTIN_S: Final = Interval(1e-6, 5e-6, 1e-4)
"""A projection, a comparison, filling a template: what runs inline and is not a tool."""
INLINE_TOOL_S: Final = Interval(1e-6, 1e-4, 1e-3)
"""A pure tool that is declared cheap, which means less than a millisecond."""


def tool_s(place: str, effects: str, *, retrieve: bool, typical_s: float | None) -> tuple[Interval, bool]:
    """Seconds of a tool's function, without the way to ``place``, and whether they are a guess."""
    if typical_s is not None:
        return Interval.around(typical_s, TYPICAL_FACTOR), False
    if place == "inline":
        return INLINE_TOOL_S, True
    return RETRIEVE_S if retrieve else TOOL_S[effects], True


def capped(seconds: Interval, timeout_s: float | None) -> Interval:
    """What is left of ``seconds`` under a timeout, at which the op fails."""
    if timeout_s is None:
        return seconds
    return Interval(min(seconds.lo, timeout_s), min(seconds.mid, timeout_s), min(seconds.hi, timeout_s))
