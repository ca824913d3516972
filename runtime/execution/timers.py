"""When a sleep is over: at a moment of the wall clock, which is set once.

A run that is resumed waits for what is left until then, also in another process or after an upgrade, and never longer
than the sleep was to be, where a clock was set back meanwhile. Within a process the wait is by the monotonic clock, so
that a clock that is set does not end it early or late.
"""

from __future__ import annotations

from datetime import datetime
from time import monotonic, time

from orchestrator.ir.durations import LONGEST_SLEEP_S
from orchestrator.runtime.journal.events import TimerSet


def timer(frame: str, op: str, given: float | datetime) -> TimerSet:
    """The timer of a sleep that begins now, for so many seconds or until a moment; raises ``ValueError`` where that is
    none."""
    at = time()
    return TimerSet(frame, op, _wake_at(given, at), at)


def ends_s(timer: TimerSet) -> float:
    """When the timer is over, by this process's monotonic clock."""
    return monotonic() + min(timer.wake_at - time(), timer.wake_at - timer.at)


def left_s(ends: float) -> float:
    """The seconds until then; 0 if it is past."""
    return max(ends - monotonic(), 0.0)


def _wake_at(given: float | datetime, at: float) -> float:
    """The moment, in Unix seconds, at which a sleep is over that begins at ``at``."""
    if isinstance(given, datetime):
        if given.utcoffset() is None:
            raise ValueError(f"sleep until {given}, which is in no time zone")
        return given.timestamp()
    if not 0 <= given <= LONGEST_SLEEP_S:  # NaN, too
        raise ValueError(f"a sleep of {given} seconds: it takes 0 or more, and 100 years at most")
    return at + given
