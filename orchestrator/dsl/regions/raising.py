"""Failing on purpose: ops that fail a run as an exception would, and exceptions that tracing a body has raised."""

from __future__ import annotations

from typing import Any

from orchestrator.dsl.regions.unbound import check_bound
from orchestrator.dsl.tracing.constants import is_symbolic
from orchestrator.dsl.tracing.lifting import feed, feed_text, lift
from orchestrator.dsl.tracing.scope import Scope
from orchestrator.dsl.tracing.template import without_markers
from orchestrator.dsl.tracing.tracer import Tracer, Value
from orchestrator.errors import Error, OrchError, bases_of, qualified


class EndedError(BaseException):
    """Unwinds the tracing of a body that goes no further, because it raises when it runs."""


def fail_op(tracer: Tracer, error: BaseException) -> None:
    """Fail here, as this exception would; what comes behind never runs."""
    kind, text, written = type(error), message_of(tracer, error), _written(tracer, error)
    attrs = {"kind": qualified(kind), "bases": list(bases_of(kind))}
    operands = [feed_text(tracer, text, "the message of an exception")]
    if written is not None:
        operands.append(feed_text(tracer, written, "an exception as repr() writes it"))
    tracer.op("fail", operands, [], attrs)
    tracer.scope.raises = True


def reraise_op(tracer: Tracer, error: Value[Any]) -> None:
    """Fail here as what a handler was given did."""
    attrs: dict[str, object] = {"kind": "", "bases": []}
    tracer.op("fail", [feed(tracer, error, Error, "what is raised again")], [], attrs)
    tracer.scope.raises = True


def message_of(tracer: Tracer, error: BaseException) -> str:
    """``str(error)``; several arguments, and that of a ``KeyError``, are written as ``repr`` does."""
    given = error.args
    if any(map(is_symbolic, given)):
        if len(given) > 1 and type(error).__str__ in (BaseException.__str__, KeyError.__str__):
            return f"{tracer.builtin('repr', {'value': lift(tracer, given)}, str)}"
        if isinstance(error, KeyError) and len(given) == 1:
            return f"{tracer.builtin('repr', {'value': lift(tracer, given[0])}, str)}"
    return str(error)


def _written(tracer: Tracer, error: BaseException) -> str | None:
    """``repr(error)`` where that is not its class with its text, which is what an ``Error`` makes of itself."""
    kind, given = type(error), error.args
    if not any(map(is_symbolic, given)):
        return Error.of("", error).written
    if kind.__repr__ is not BaseException.__repr__:
        return repr(error)
    if len(given) == 1:
        only = given[0]
        is_sure = isinstance(only, str) and without_markers(only) != ""  # an empty one is as if there were none
        if kind.__str__ is KeyError.__str__ or (is_sure and kind.__str__ is BaseException.__str__):
            return None
        return f"{kind.__name__}({tracer.builtin('repr', {'value': lift(tracer, only)}, str)})"
    return f"{kind.__name__}{tracer.builtin('repr', {'value': lift(tracer, given)}, str)}"


def fails_here(tracer: Tracer, error: Exception) -> bool:
    """Whether an exception that tracing a body has raised is one of the workflow: a ``try`` around it may handle it.

    Then the body fails with it, and whether that happens depends on whether the body runs.
    """
    scope = tracer.scope
    if isinstance(error, OrchError) or scope.is_tried or not _is_tried(scope):
        return False
    check_bound(tracer, error)
    fail_op(tracer, error)
    return True


def _is_tried(scope: Scope | None) -> bool:
    return scope is not None and (scope.is_tried or _is_tried(scope.outer))
