"""Failing on purpose: ops that fail a run as an exception would, and exceptions that tracing a body has raised."""

from __future__ import annotations

from typing import Any

from orchestrator.dsl.constants import is_symbolic
from orchestrator.dsl.lifting import feed, feed_text, lift
from orchestrator.dsl.rewrite.unbound import check_bound
from orchestrator.dsl.scope import Scope
from orchestrator.dsl.tracer import Tracer, Value
from orchestrator.errors import Error, OrchError, bases_of, qualified


class EndedError(BaseException):
    """Unwinds the tracing of a body that goes no further, because it raises when it runs."""


def fail_op(tracer: Tracer, kind: type[BaseException], message: object) -> None:
    """Fail here, as an exception of this class with this text would; what comes behind never runs."""
    text = message if isinstance(message, str) else f"{message}"
    attrs = {"kind": qualified(kind), "bases": list(bases_of(kind))}
    tracer.op("fail", [feed_text(tracer, text, "the message of an exception")], [], attrs)
    tracer.scope.raises = True


def reraise_op(tracer: Tracer, error: Value[Any]) -> None:
    """Fail here as what a handler was given did."""
    attrs: dict[str, object] = {"kind": "", "bases": []}
    tracer.op("fail", [feed(tracer, error, Error, "what is raised again")], [], attrs)
    tracer.scope.raises = True


def message_of(tracer: Tracer, error: BaseException) -> str:
    """``str(error)``; a ``KeyError`` writes what it was raised with as ``repr`` does."""
    if isinstance(error, KeyError) and len(error.args) == 1 and is_symbolic(error.args[0]):
        return f"{tracer.builtin('repr', {'value': lift(tracer, error.args[0])}, str)}"
    return str(error)


def fails_here(tracer: Tracer, error: Exception) -> bool:
    """Whether an exception that tracing a body has raised is one of the workflow: a ``try`` around it may handle it.

    Then the body fails with it, and whether that happens depends on whether the body runs.
    """
    scope = tracer.scope
    if isinstance(error, OrchError) or scope.is_tried or not _is_tried(scope):
        return False
    check_bound(tracer, error)
    fail_op(tracer, type(error), message_of(tracer, error))
    return True


def _is_tried(scope: Scope | None) -> bool:
    return scope is not None and (scope.is_tried or _is_tried(scope.outer))
