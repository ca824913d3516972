"""The ops that leave the coordinator: tools, questions to a human, and (in :mod:`.generate`) model calls.

Each returns an :class:`Outcome` or raises; retries, timeouts and the journal are the executor's.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from orchestrator.errors import RunError
from orchestrator.runtime.budget import Ledger
from orchestrator.runtime.failures import first_line
from orchestrator.runtime.generate import generate
from orchestrator.runtime.outcome import Outcome
from orchestrator.runtime.program import Ask, Generate, Op, Release, ToolCall
from orchestrator.runtime.values import Conversation, adapter, checked_result

if TYPE_CHECKING:
    from orchestrator.runtime.executor import Execution, Frame


async def run(execution: Execution, frame: Frame, op: Op, ledger: Ledger) -> Outcome:
    """Do what ``op`` says, once everything it depends on is durable.

    A pure tool waits for nothing: it shows nothing to anybody outside the run.
    """
    spec, v = op.spec, frame.v
    if not (isinstance(spec, ToolCall) and spec.effects == "pure"):
        waiting = execution.barrier()
        if waiting is not None:
            await waiting
    args = [v[slot] for slot in op.args]
    if isinstance(spec, ToolCall):
        if spec.is_async and spec.place == "async" and spec.names is None:  # the common case, without a coroutine more
            result = await spec.fn(*args)
        else:
            result = await _call_tool(execution, op, spec, args)
        return Outcome((checked_result(frame.region.types[op.first], result),))
    if isinstance(spec, Generate):
        return await generate(execution, frame, op, args, ledger)
    if isinstance(spec, Ask):
        return await _ask(execution, frame, op, spec, args[0])
    assert isinstance(spec, Release)
    await _release(execution, args[0])
    return Outcome(())


async def _call_tool(execution: Execution, op: Op, spec: ToolCall, args: list[Any]) -> Any:
    kwargs: dict[str, Any] = {}
    if spec.names is not None:
        kwargs, args = dict(zip(spec.names, args, strict=True)), []
    if spec.place.startswith("ray"):
        remote = execution.services.remote
        if remote is None:
            fix = "give the Runtime a Ray session, or plan for a cluster without Ray"
            raise RunError("ORCH-R009", f"`{op.id}` is placed on {spec.place}, and the runtime has no Ray", fix=fix)
        return await remote.call(op.id, spec.place, spec.fn, args, kwargs)
    if spec.is_async:
        return await spec.fn(*args, **kwargs)
    if spec.place == "thread":
        work = partial(copy_context().run, spec.fn, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(execution.services.threads(), work)
    return spec.fn(*args, **kwargs)


async def _ask(execution: Execution, frame: Frame, op: Op, spec: Ask, question: str) -> Outcome:
    tp = frame.region.types[op.first]
    answer = await execution.services.human.ask(frame.path + op.id, question, tp, spec.choices)
    if spec.choices is not None and answer not in spec.choices:
        why = f"the choices are {', '.join(spec.choices)}"
        raise RunError("ORCH-R031", f"the answer to `{op.id}` is {answer!r}", where=op.where, why=why)
    try:
        return Outcome((adapter(tp).validate_python(answer),))
    except ValidationError as error:
        raise RunError(
            "ORCH-R031", f"the answer to `{op.id}` does not fit", where=op.where, why=first_line(error)
        ) from error


async def _release(execution: Execution, conversations: Conversation | list[Conversation]) -> None:
    """Tell the engine that conversations are over. A hint: if it cannot be given, the run says so and goes on."""
    many = conversations if isinstance(conversations, list) else [conversations]
    for name, session in dict.fromkeys((each.engine, each.session) for each in many):
        if name is not None and session is not None:
            try:
                await (await execution.services.engines.started(name)).release(session)
            except Exception as error:  # noqa: BLE001 - hints never change results
                execution.warnings[f"engine `{name}` could not release a conversation: {error}"] = None
