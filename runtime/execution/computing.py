"""Generated code of a program, which waits for nothing; its failures are those of the inline ops in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.leaving import passes_through
from orchestrator.runtime import failures
from orchestrator.runtime.program.program import Region, failing_op
from orchestrator.runtime.tools.loop_watch import calls_tools


@calls_tools
def compute(function: Callable[..., Any], *args: object) -> Any:
    """What generated code returns."""
    try:
        return function(*args)
    except BaseException as error:
        if passes_through(error):
            raise
        op, cause = failing_op(error)
        where = op.where if op else None
        raise failures.of_op(cause, op.id if op else "a generated function", where) from error


def run_inline(region: Region, inputs: Sequence[object]) -> Sequence[Any]:
    """What an inline region yields."""
    result: Sequence[Any] = compute(region.whole, *inputs)
    return result
