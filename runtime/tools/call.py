"""Calling a tool where the plan has placed it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any

from orchestrator.errors import RunError
from orchestrator.runtime.execution.at_most_once.once import OnceOp, marked, marked_async
from orchestrator.runtime.execution.at_most_once.once_within import may_run_again
from orchestrator.runtime.execution.attempt import Attempt
from orchestrator.runtime.program.specs import ToolCall
from orchestrator.runtime.tools.caller import Caller
from orchestrator.runtime.tools.on_loop import on_loop


def call_tool(
    spec: ToolCall, args: Sequence[Any], attempt: Attempt | None, once: OnceOp | None, by: Caller
) -> Awaitable[Any]:
    """What the tool returns or raises; ``attempt`` is told when it has stopped waiting for a place to run."""
    if spec.place != "async" or spec.once is not None:
        return _call(spec, args, attempt, once, by)
    if attempt is not None:
        attempt.begin()
    work = (
        partial(spec.fn, *args) if spec.names is None else partial(spec.fn, **dict(zip(spec.names, args, strict=True)))
    )
    return on_loop(work, by.op.id, by.execution.warn)


async def _call(spec: ToolCall, args: Sequence[Any], attempt: Attempt | None, once: OnceOp | None, by: Caller) -> Any:
    execution, op = by.execution, by.op
    kwargs: dict[str, Any] = {}
    if spec.names is not None:
        kwargs, args = dict(zip(spec.names, args, strict=True)), ()
    if once is not None and spec.once is not None:
        kwargs.update(dict.fromkeys(spec.once.made, once.key))
    services = execution.services
    began = None if attempt is None else attempt.begin
    admitted = None if once is None or attempt is None else partial(once.start, attempt)
    if spec.place == "thread":
        fn = spec.fn
        if spec.is_async:
            fn = partial(_in_a_loop, fn)
        if once is not None and began is not None:
            fn, began = marked(fn, once.path, began)
        work = partial(copy_context().run, fn, *args, **kwargs)
        return await services.threads.call(
            work, tenant=execution.tenant, depth=execution.depth, admitted=admitted, began=began
        )
    if spec.place == "process":
        return await services.processes.call(
            op.id,
            spec.fn,
            args,
            kwargs,
            tenant=execution.tenant,
            memory_bytes=spec.memory_bytes,
            may_run_again=may_run_again(by),
            admitted=admitted,
            began=began,
        )
    if admitted is not None:
        await admitted()
    if spec.place.startswith("ray"):
        if services.remote is None:
            fix = "give the Runner a Ray session, or plan for a cluster without Ray"
            raise RunError("ORCH-R009", f"`{op.id}` is placed on {spec.place}, and the runtime has no Ray", fix=fix)
        return await services.remote.call(op.id, spec.place, spec.fn, args, kwargs, began=began)
    if began is not None:
        began()
    if not spec.is_async:
        return spec.fn(*args, **kwargs)
    fn = spec.fn if once is None else marked_async(spec.fn, once.path)
    return await on_loop(partial(fn, *args, **kwargs), op.id, execution.warn)


def _in_a_loop(fn: Callable[..., Coroutine[Any, Any, Any]], *args: Any, **kwargs: Any) -> Any:
    """What an async tool returns or raises, in an event loop of its own."""
    return asyncio.run(fn(*args, **kwargs))
