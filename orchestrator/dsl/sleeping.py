"""Sleeping: an op that is over at a moment, which the journal knows, and not after a pause of some process."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from orchestrator.dsl.declared.policy import Opts, PolicyError, is_number, parse_seconds
from orchestrator.dsl.options import option
from orchestrator.dsl.tracing.constants import is_symbolic, named, shown
from orchestrator.dsl.tracing.lifting import feed, waited_for
from orchestrator.dsl.tracing.tracer import Result, Tracer, Value, require_tracer
from orchestrator.dsl.types.typing import assignable
from orchestrator.ir.durations import LONGEST_SLEEP_S

__all__ = ["sleep"]

_FIX = 'write seconds, "90s", "2 days" or a timedelta; a moment is sleep(until=moment)'


def sleep(
    duration: float | str | timedelta | None = None,
    *,
    until: datetime | None = None,
    name: str | None = None,
    after: Any = None,
) -> None:
    """Go on after a while, or at a moment: ``sleep(2.5)``, ``sleep("14 days")``, ``sleep(until=deadline)``.

    What is behind it, model calls too, waits for it, and it begins when what is before it is done; pure tools alone are
    free. The moment at which it is over is recorded before it begins, so a run that is resumed waits for the rest, or
    not at all. A moment that is past is no wait. ``name`` is the id of the op, and ``after`` a value, or several, that
    it waits for.

    A duration is 0 or more, and 100 years at most, and a moment has a time zone: another one is an error when the
    workflow is compiled, or, where it is a value, a ``ValueError`` of the run.
    """
    tracer = require_tracer("sleep")
    if (duration is None) == (until is None):
        given = "a duration and until=" if until is not None else "neither a duration nor until="
        tracer.report("ORCH-D041", f"sleep gets {given}", fix=_FIX)
        return None
    operands, opts = _until(tracer, until) if duration is None else _for(tracer, duration)
    name = option(tracer, "name", name)
    if after is not None:
        opts["after"] = waited_for(tracer, after)
    return tracer.op("sleep", operands, [Result(type(None))], {}, opts, name=name)[0]  # type: ignore[return-value]


def _for(tracer: Tracer, duration: object) -> tuple[list[Value[Any]], Opts]:
    """The op's operands and options for a duration."""
    if isinstance(duration, Value):
        if duration._type is not Any and assignable(duration._type, timedelta):
            duration = tracer.builtin("date.total_seconds", {"span": tracer.usable(duration)}, float)
        return [feed(tracer, duration, float, "the duration of sleep")], {}
    return [], {"seconds": _seconds(tracer, duration)}


def _seconds(tracer: Tracer, duration: Any) -> float:
    """The seconds of a duration that is known; 0 after reporting that it is none."""
    if is_symbolic(duration):
        said = f"the duration of sleep is {named(duration)}"
        tracer.report("ORCH-D041", said, fix="give the number itself: sleep(60 * minutes)")
        return 0.0
    try:
        seconds = parse_seconds(duration)
    except PolicyError as error:
        tracer.report("ORCH-D041", str(error), fix=_FIX)
        return 0.0
    if is_number(seconds) and 0 <= seconds <= LONGEST_SLEEP_S:
        return float(seconds)
    fix = "sleep for 0 seconds or more, 100 years at most"
    tracer.report("ORCH-D041", f"a sleep of {shown(duration)}", fix=fix)
    return 0.0


def _until(tracer: Tracer, until: object) -> tuple[list[Value[Any]], Opts]:
    """The op's operands and options for a moment."""
    if isinstance(until, datetime) and until.utcoffset() is None:
        fix = "say in which: until=moment.astimezone(UTC), or datetime(..., tzinfo=UTC)"
        tracer.report("ORCH-D041", f"sleep until {shown(until)}, which is in no time zone", fix=fix)
    return [feed(tracer, until, datetime, "until= of sleep")], {}
