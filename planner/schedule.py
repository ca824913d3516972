"""When things are ready: how the seconds of ops add up to the seconds of a region.

Two rules. An op starts when the latest of the values it reads is there, so a region takes as long as its longest
chain. And what a device can only do one at a time (:class:`Busy`) takes at least the sum of it, however parallel the
graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.planner.interval import ZERO, Interval, latest


@dataclass(frozen=True, slots=True)
class Busy:
    """Seconds of one device's time that cannot overlap, by device name."""

    seconds: dict[str, Interval]

    def times(self, count: Interval) -> Busy:
        return Busy({device: each * count for device, each in self.seconds.items()})

    def most(self) -> Interval:
        return latest(self.seconds.values())


@dataclass(frozen=True, slots=True)
class Outcome:
    """One execution of an op or a region."""

    seconds: Interval
    busy: Busy
    path: tuple[str, ...] = ()
    """Ids of the ops of a region that decide its seconds."""


NO_TIME = Outcome(ZERO, Busy({}))


@dataclass(frozen=True, slots=True)
class Ready:
    """When a value is there, and which ops made it."""

    at: Interval
    makers: tuple[str, ...]
    last: Step | None


@dataclass(frozen=True, slots=True)
class Step:
    """An op on the longest chain, linked to the one before it."""

    id: str
    before: Step | None


def latest_of(found: Sequence[Ready]) -> Ready:
    """When all of these are there; the chain is that of the one latest in the middle."""
    if not found:
        return Ready(ZERO, (), None)
    if len(found) == 1:
        return found[0]
    last = max(found, key=lambda each: each.at.mid).last
    makers = dict.fromkeys(maker for each in found for maker in each.makers)
    return Ready(latest(each.at for each in found), tuple(makers), last)


def chain(last: Step | None) -> tuple[str, ...]:
    ids: list[str] = []
    while last is not None:
        ids.append(last.id)
        last = last.before
    return tuple(reversed(ids))


def merged(seconds: Interval, *parts: Busy) -> Outcome:
    busy: dict[str, Interval] = {}
    for part in parts:
        for device, each in part.seconds.items():
            busy[device] = busy.get(device, ZERO) + each
    return Outcome(seconds, Busy(busy))
