"""Checks that call functions of the user's, beside the event loop: in threads that blocking tools do not share.

So a validator that sleeps stalls nobody, ends with the timeout of its op, and does not wait for slow tools.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

from orchestrator.runtime.execution.attempt import Attempt
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.tools.threads import ToolThreads
from orchestrator.runtime.values.at_run_time import runs_own_code

T = TypeVar("T")


async def checked(execution: Execution, tp: Any, check: Callable[[], T], attempt: Attempt | None) -> T:
    """What ``check``, which checks values of the type ``tp``, returns or raises.

    The clock of ``attempt`` stands still while it waits for a thread, and runs while it checks.
    """
    if not runs_own_code(tp):
        return check()
    if attempt is not None:
        attempt.wait()
    return await in_checks(
        execution.services.checks,
        check,
        tenant=execution.tenant,
        depth=execution.depth,
        began=None if attempt is None else attempt.begin,
    )


def admit(execution: Execution, tp: Any) -> None:
    """Raise ORCH-R040 where there is no room for the check of a result of the type, before anything is done for it."""
    if runs_own_code(tp):
        execution.services.checks.admit(tenant=execution.tenant, depth=execution.depth)


async def in_checks(
    checks: ToolThreads,
    work: Callable[[], T],
    *,
    tenant: str | None,
    depth: int = 0,
    began: Callable[[], None] | None = None,
) -> T:
    """What ``work`` returns or raises in one of the threads; it sees the caller's context variables."""
    return await checks.call(partial(copy_context().run, work), tenant=tenant, depth=depth, began=began)
