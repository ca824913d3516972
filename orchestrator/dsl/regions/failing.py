"""Failures as values: ``attempt`` catches what goes wrong in a region, and gives it to a handler.

A failure is caught by the qualified names of its class and that class's bases, as the journal records them, so that a
handler means the same in every process and in a run that is resumed. What counts as a failure, and what nothing can
catch, is in :mod:`orchestrator.runtime.execution.catching`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar, Unpack, overload

from orchestrator.dsl.declared.policy import Opts
from orchestrator.dsl.options import Policy, policy_of
from orchestrator.dsl.regions.alternatives import alternatives, trace_arm
from orchestrator.dsl.regions.region import trace_region
from orchestrator.dsl.tracing.constants import shown
from orchestrator.dsl.tracing.tracer import Result, Tracer, Value, require_tracer
from orchestrator.errors import Error, qualified

T = TypeVar("T")
R = TypeVar("R")

Handler = tuple[tuple[str, ...], Callable[[Any], object]]
"""The qualified names of what it takes, none for every failure, and the function that gets the error."""

EVERYTHING: Final = (Exception, BaseException)
Caught = type[BaseException] | tuple[type[BaseException], ...]


@overload
def attempt(
    fn: Callable[[], T],
    otherwise: None = None,
    *,
    catching: Caught = ...,
    cleanup: Callable[[], object] | None = ...,
    **policy: Unpack[Policy],
) -> T | Error: ...
@overload
def attempt(
    fn: Callable[[], T],
    otherwise: Callable[[Error], R],
    *,
    catching: Caught = ...,
    cleanup: Callable[[], object] | None = ...,
    **policy: Unpack[Policy],
) -> T | R: ...
def attempt(
    fn: Callable[[], Any],
    otherwise: Callable[[Error], Any] | None = None,
    *,
    catching: Caught = Exception,
    cleanup: Callable[[], object] | None = None,
    **policy: Unpack[Policy],
) -> Any:
    """What ``fn()`` gives; if something in it fails, what ``otherwise(error)`` gives, or else the :class:`Error`.

    ``catching`` restricts that to some classes of exceptions. ``cleanup()`` runs at the end, whatever happened, also
    when the run is cancelled. Attempts of the ops in ``fn`` come first, what they have done stands, and what still runs
    is cancelled before ``otherwise`` starts. Cancellation, an exhausted budget of the run, a tool of which nobody knows
    whether it happened, and a failing journal are never caught.
    """
    tracer = require_tracer("attempt")
    name, opts = policy_of(tracer, "attempt", policy)
    classes = catching if isinstance(catching, tuple) else (catching,)
    if not classes or not all(isinstance(each, type) and issubclass(each, BaseException) for each in classes):
        fix = "catching is a class of exceptions, or a tuple of some"
        tracer.report("ORCH-D041", f"attempt: catching={shown(catching)}", fix=fix)
        classes = (Exception,)
    handler = otherwise if otherwise is not None else lambda error: error
    return attempt_op(tracer, fn, [(names_of(classes), handler)], cleanup, opts=opts, name=name)


def names_of(classes: Sequence[type[BaseException]]) -> tuple[str, ...]:
    """The qualified names by which a handler of these classes takes a failure: none for every failure."""
    return () if any(each in EVERYTHING for each in classes) else tuple(map(qualified, classes))


def attempt_op(
    tracer: Tracer,
    body: Callable[[], object],
    handlers: Sequence[Handler],
    cleanup: Callable[[], object] | None,
    *,
    opts: Opts,
    name: str | None = None,
) -> Any:
    """What ``body`` gives, or the first handler that takes its failure; ``cleanup`` runs in the end."""
    arms = [trace_arm(tracer, "the body of attempt", body)]
    arms += [trace_arm(tracer, "a handler of attempt", handler, [Result(Error)]) for _, handler in handlers]
    regions = [arm.region for arm in arms]
    if cleanup is not None:
        end = trace_region(tracer, "the cleanup of attempt", cleanup, apply=_nothing, is_arm=True)
        if end.raises:
            end.end(tracer, 0)
        regions.append(end.region)
    catches = [list(names) for names, _ in handlers]
    attrs = {"catches": catches}
    return alternatives(tracer, "attempt", [], arms, regions=regions, attrs=attrs, opts=opts, name=name)


def _nothing(function: Callable[..., object], _: Sequence[Value[Any]]) -> object:
    """Call a function for what it does."""
    require_tracer("attempt").call(function)
    return ()
