"""The places that a tool may run at, priced, and the cheapest of them.

What counts is when all calls are done that run at once. ``k`` calls of a function that computes for ``d`` seconds take

=====================  ======================================================================================
thread                 ``k d``: they share the interpreter's lock; and what waits on the event loop waits for it
process, Ray task      ``ceil(k / cores) d``, the moving of arguments and results, and the start of the workers
Ray actor              ``k d``, the same besides: there is one, which keeps what the function's module has made
=====================  ======================================================================================

and of one that waits, ``d`` anywhere. Only a pure tool may leave the coordinator's process: it shows nothing to
anybody, so it may be lost and repeated. One whose seconds nobody has declared or measured stays as well.

>>> four = Work(Interval.exact(1.0), is_known=True, computes=True, at_once=4.0)
>>> cheapest(four, "pure", Cores(4, 4), ray=False).place
'process'
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from orchestrator.planner.figures import duration
from orchestrator.planner.interval import Interval
from orchestrator.planner.tools.dispatch import SWITCH_S, dispatch

PLACES: Final = ("thread", "process", "ray-task", "ray-actor")
"""In this order where the price is the same."""


@dataclass(frozen=True, slots=True)
class Work:
    """A call of a tool, as far as it is known before it has a place."""

    seconds: Interval
    """Those of the function itself."""
    is_known: bool
    """They are declared, and no guess."""
    computes: bool
    """It waits for nothing."""
    at_once: float = 1.0
    """So many such calls run at the same time."""
    others: int = 0
    """Ops that wait on the event loop meanwhile."""
    executions: float = 1.0
    """Calls in one run."""
    moved_bytes: float = 0.0
    """Arguments and result."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Those that tools may use."""

    here: int
    """Of the machine that coordinates the run."""
    everywhere: int
    """Of all machines that Ray has, this one included."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The place of a tool, what a call costs there beside its own seconds, and why it is at no other."""

    place: str
    overhead: Interval
    """Of one call: the way there and back, what moves, and the call's part of the workers' start."""
    moving_s: float
    """The part of it that the arguments and the result take."""
    workers: int | None
    """Calls that run at once; ``None``: as many as there are."""
    alternatives: tuple[str, ...]


def cheapest(work: Work, effects: str, cores: Cores, *, ray: bool, at: str | None = None) -> Chosen:
    """The place where the calls that run at once are done first, of those that the effects allow; ``at``, where it is
    one of them."""
    barred = {place: why for place in PLACES if (why := _barred(place, work, effects, ray=ray))}
    prices = {place: seconds_of_all(place, work, cores) for place in PLACES if place not in barred}
    best = at if at is not None and at in prices else min(prices, key=lambda place: prices[place])
    crowd = f" for {work.at_once:.3g} at once" if work.at_once > 1 else ""
    lost = [
        f"{place}: {duration(price - prices[best])} more than the {duration(prices[best])} of the chosen{crowd}"
        for place, price in prices.items()
        if place != best
    ]
    reasons: dict[str, list[str]] = {}
    for place, why in barred.items():
        reasons.setdefault(why, []).append(place)
    lost += [f"{', '.join(places)}: {why}" for why, places in reasons.items()]
    return Chosen(best, _overhead(best, work, cores), _moving_s(best, work), _workers(best, cores), tuple(lost))


def seconds_of_all(place: str, work: Work, cores: Cores) -> float:
    """Seconds until all calls that run at once are done at a place, and what they keep others waiting."""
    own, calls = work.seconds.mid, max(work.at_once, 1.0)
    workers = _workers(place, cores)
    if place == "ray-actor" or work.computes:
        rounds = calls if workers is None else float(math.ceil(calls / workers))
    else:
        rounds = 1.0
    held_up = min(own, SWITCH_S) * work.others if work.computes and workers is None else 0.0
    figures = dispatch(place)
    start_s = figures.start_s * min(1.0, calls / max(work.executions, 1.0))
    return rounds * (own + figures.interval.mid) + calls * _moving_s(place, work) + start_s + held_up


def _barred(place: str, work: Work, effects: str, *, ray: bool) -> str:
    """Why a place is out of the question; empty if it is not."""
    if place == "thread":
        return ""
    if effects == "once":
        return "a lost worker could repeat its side effects"
    if effects != "pure":
        return "what is not pure may need what only this process holds"
    if place != "process" and not ray:
        return "this plan is for a run without Ray"
    if not work.is_known:
        return "worth it for what computes for long; declare typical_s"
    return ""


def _workers(place: str, cores: Cores) -> int | None:
    """Calls that compute at once; ``None`` in threads, where one does, and others only wait."""
    return {"thread": None, "process": cores.here, "ray-task": cores.everywhere, "ray-actor": 1}[place]


def _moving_s(place: str, work: Work) -> float:
    return dispatch(place).moving_s(work.moved_bytes)


def _overhead(place: str, work: Work, cores: Cores) -> Interval:
    figures = dispatch(place)
    started = min(float(_workers(place, cores) or 1), max(work.at_once, 1.0))
    start_s = figures.start_s * min(1.0, started / max(work.executions, 1.0))
    moving_s = _moving_s(place, work)
    lo, mid, hi = figures.interval.bounds
    return Interval(lo, mid + moving_s + start_s, max(hi, mid) + 4 * moving_s + figures.start_s)
