"""``with``: our own contexts are for tracing; any other is left again before an op in it has begun to run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from orchestrator.dsl.rewrite.watching import watching
from orchestrator.dsl.tracing.known import is_fixed
from orchestrator.dsl.tracing.tracer import current_tracer


@contextmanager
def _foreign(inner: AbstractContextManager[Any]) -> Iterator[Any]:
    tracer = current_tracer()
    assert tracer is not None
    where, emitted = tracer.here(), tracer.emitted
    if tracer.scope.outer is None or is_fixed(inner):
        with inner as given:
            yield given
    else:
        with watching(tracer, [inner], type(inner).__name__), inner as given:
            yield given
    if tracer.emitted > emitted:
        tracer.report(
            "ORCH-D055",
            f"ops within `with` of a {type(inner).__name__}",
            why="the block is left when the workflow has been traced, before any op in it runs",
            fix="use the context inside a tool",
            where=where,
        )


def with_(context: Any) -> Any:
    """A context manager, watched if it is not ours."""
    module = type(context).__module__
    function = getattr(context, "func", None)
    if current_tracer() is None or module.startswith("orchestrator.") or _is_ours(function):
        return context
    return _foreign(context)


def _is_ours(function: Any) -> bool:
    return str(getattr(function, "__module__", "")).startswith("orchestrator.")
