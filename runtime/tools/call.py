"""Calling a tool where the plan has placed it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.errors import RunError
from orchestrator.runtime.program import Op, ToolCall

if TYPE_CHECKING:
    from orchestrator.runtime.executor import Execution


async def call_tool(
    execution: Execution, op: Op, spec: ToolCall, args: Sequence[Any], work_began: Callable[[], None] | None
) -> Any:
    """What the tool returns or raises; ``work_began`` is told when it has stopped waiting for a place to run."""
    kwargs: Mapping[str, Any] = {}
    if spec.names is not None:
        kwargs, args = dict(zip(spec.names, args, strict=True)), ()
    services = execution.services
    if spec.place == "thread":
        work = partial(copy_context().run, spec.fn, *args, **kwargs)
        return await services.threads.call(work, tenant=execution.tenant, began=work_began)
    if work_began is not None:
        work_began()
    if spec.place.startswith("ray"):
        if services.remote is None:
            fix = "give the Runtime a Ray session, or plan for a cluster without Ray"
            raise RunError("ORCH-R009", f"`{op.id}` is placed on {spec.place}, and the runtime has no Ray", fix=fix)
        return await services.remote.call(op.id, spec.place, spec.fn, args, kwargs)
    if spec.is_async:
        return await spec.fn(*args, **kwargs)
    return spec.fn(*args, **kwargs)
