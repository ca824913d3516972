"""Workflows that call themselves: a call is inlined, so how deep they go has to be known while tracing.

Where the condition to stop is concrete, as one on a static parameter, Python's own recursion ends by itself. Otherwise
``@workflow(max_depth=3)`` says how many calls are within each other, and the one too many fails when the workflow runs,
should the data ever lead there.
"""

from __future__ import annotations

from typing import Any, Final

from orchestrator.dsl.regions.alternatives import trace_arm
from orchestrator.dsl.regions.raising import fail_op
from orchestrator.dsl.tracing.lifting import lift
from orchestrator.dsl.tracing.tracer import Inlined, Result, Tracer, Value
from orchestrator.dsl.types.typing import TypeForm

MOST_INLINED: Final = 2_000
"""Calls of a workflow within itself, in one trace: two such calls in one body double with every level."""
FIX: Final = "bound it, @workflow(max_depth=3), or repeat with `for` or loop(body, init, max=...)"


def stopped(tracer: Tracer, call: Inlined, returns: TypeForm) -> Value[Any] | None:
    """What stands for a call of a workflow that is not inlined, because it is within itself; None if it may be."""
    outer = [each for each in tracer.inlining if each.fn == call.fn]
    if not outer:
        return None
    tracer.recursions += 1
    ends_by_itself = all(each.static != call.static for each in outer)
    if call.max_depth is None and (ends_by_itself or _is_bounded_elsewhere(tracer, outer[-1])):
        return None
    path = " -> ".join(f"`{name}`" for name in (*(each.name for each in tracer.inlining), call.name))
    if call.max_depth is None:
        why = "calls are inlined, and this one would never end"
        return tracer.report("ORCH-D032", f"workflow `{call.name}` calls itself: {path}", why=why, fix=FIX)
    if tracer.recursions > MOST_INLINED:
        message = f"workflow `{call.name}` calls itself more than {MOST_INLINED} times"
        why = "calls are inlined, and several in one body double with every level"
        return tracer.report("ORCH-D032", message, why=why, fix="lower max_depth=")
    if len(outer) < call.max_depth:
        return None
    message = f"workflow `{call.name}` calls itself more than max_depth={call.max_depth} levels deep"
    return _failure(tracer, message, returns)


def _failure(tracer: Tracer, message: str, tp: TypeForm) -> Value[Any]:
    """A value that never comes: what needs it waits for an op that fails, after all that was written before it."""

    def fail() -> None:
        fail_op(tracer, RecursionError(message))

    arms = [trace_arm(tracer, f"`{each}` of branch", fail) for each in ("then", "otherwise")]
    for arm in arms:
        arm.end(tracer, 1)
    tracer.scope.raises = True
    return tracer.op("branch", [lift(tracer, True)], [Result(tp)], {}, regions=[arm.region for arm in arms])[0]


def _is_bounded_elsewhere(tracer: Tracer, outer: Inlined) -> bool:
    """Whether another workflow of the circle that ``outer`` has begun is bounded."""
    begin = max(position for position, each in enumerate(tracer.inlining) if each is outer)
    return any(each.max_depth is not None for each in tracer.inlining[begin:])
