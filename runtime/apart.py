"""Checks that call functions of the user's, beside the event loop: in the threads of blocking tools.

So a validator that sleeps stalls nobody, ends with the timeout of its op, and is one of its tenant's calls.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from orchestrator.runtime.values import runs_own_code

if TYPE_CHECKING:
    from orchestrator.runtime.executor import Execution

T = TypeVar("T")


async def checked(execution: Execution, tp: Any, check: Callable[[], T]) -> T:
    """What ``check``, which checks values of the type ``tp``, returns or raises."""
    if not runs_own_code(tp):
        return check()
    work = partial(copy_context().run, check)
    return await execution.services.threads.call(work, tenant=execution.tenant, depth=execution.depth)
