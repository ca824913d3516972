"""Prefetches of one run: prefixes that an engine computes while tools run.

A prefetch is a real request, in the background, that nobody waits for: it ends when the call begins that it was made
for, or with the run. Its tokens are in the run's usage like those of any abandoned reply. Under a budget that it would
count against there is none, for what it spends could be what a call needs.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING

from orchestrator.runtime.budget import Ledger
from orchestrator.runtime.engines.base import DEFAULT_MODEL, GenerateRequest, KvControl, Message, Sampling, Usage
from orchestrator.runtime.events import Spent
from orchestrator.runtime.generate import prompt_tokens
from orchestrator.runtime.kv.hints import KvHint, PauseKey
from orchestrator.runtime.kv.pauses import forecast_of
from orchestrator.runtime.program import Op, Prefetch
from orchestrator.runtime.values import Conversation

if TYPE_CHECKING:
    from orchestrator.runtime.executor import Execution, Frame


@dataclass(slots=True, eq=False)
class _Prefetch:
    """One that was begun."""

    path: str
    op: str
    engine: str
    session: str
    prompt_tokens: int
    """An estimate."""
    task: asyncio.Task[Usage] | None = None


class Prefetches:
    """See the module's docstring."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._begun: dict[tuple[str, str], _Prefetch] = {}
        """By the frame and the id of the call they are for."""

    def start(self, frame: Frame, op: Op, value: Conversation | str) -> None:
        """Begin a prefetch if the engine takes it and no budget forbids it."""
        spec = op.spec
        assert isinstance(spec, Prefetch)
        asked = value.model if isinstance(value, Conversation) and spec.model == DEFAULT_MODEL else spec.model
        engine, at = self._execution.services.engines.pick(spec.engine, asked or DEFAULT_MODEL)
        if not isinstance(at, KvControl) or self._counts(frame.ledger, engine):
            return
        messages = _messages(value)
        session = f"{self._execution.run_id}/{frame.path}{op.id}"
        request = GenerateRequest(
            session, at.model, messages, Sampling(max_tokens=1), session, self._hint(spec)
        )  # fmt: skip
        begun = _Prefetch(frame.path, op.id, engine, session, prompt_tokens(messages))
        begun.task = asyncio.get_running_loop().create_task(self._run(at, engine, request))
        begun.task.add_done_callback(lambda task: self._done(begun, task))
        self._begun[frame.path, spec.call] = begun

    def begin(self, path: str, call: str) -> tuple[str, str] | None:
        """The call itself begins; engine and session of the prefetch that it takes the place of, if there was one."""
        begun = self._begun.pop((path, call), None)
        if begun is None:
            return None
        self._end(begun)
        return begun.engine, begun.session

    def close(self) -> None:
        """The run has ended."""
        for begun in self._begun.values():
            self._end(begun)
        self._begun.clear()

    def _counts(self, ledger: Ledger, engine: str) -> bool:
        """Whether what it takes would count against a budget."""
        is_priced = any(self._execution.program.prices.get(engine, ()))
        limits = [each.limits for each in ledger.chain()]
        return any(each.tokens is not None or (each.usd is not None and is_priced) for each in limits)

    def _hint(self, spec: Prefetch) -> KvHint:
        key = PauseKey(self._execution.program.name, spec.pause.tool)
        forecast = forecast_of(self._execution.services.durations, key, spec.pause.typical_s)
        return KvHint(
            program=self._execution.run_id,
            program_arrival_s=self._execution.arrival_s,
            tenant=self._execution.tenant,
            turns_left=1.0,
            workflow=key.workflow,
            tool=key.tool or None,
            pause_s=() if forecast is None else tuple(forecast.encoded()),
            pin_ttl_s=spec.pause.ttl_s,
            prefetch=True,
        )

    async def _run(self, at: KvControl, engine: str, request: GenerateRequest) -> Usage:
        await self._execution.services.engines.started(engine)
        return await at.prefetch(request)

    def _end(self, begun: _Prefetch) -> None:
        """Abort what is not done; what it has taken until then is not known, and counts in full."""
        if begun.task is not None and not begun.task.done():
            begun.task.cancel()
            self._charge(begun, Usage(begun.prompt_tokens))

    def _done(self, begun: _Prefetch, task: asyncio.Task[Usage]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._charge(begun, task.result())
        else:
            self._execution.warnings[f"engine `{begun.engine}` could not prefetch: {error}"] = None

    def _charge(self, begun: _Prefetch, usage: Usage) -> None:
        if usage == Usage():
            return
        price = self._execution.program.prices.get(begun.engine)
        cost_usd = None if price is None else usage.input_tokens * price[0] + usage.output_tokens * price[1]
        self._execution.emit(Spent(begun.path, begun.op, usage, cost_usd, time()))


def _messages(value: Conversation | str) -> tuple[Message, ...]:
    """A conversation that waits for its next prompt, or the beginning of a prompt; templates want a user's message."""
    if isinstance(value, str):
        return (Message("user", value),)
    return (*value.messages, Message("user", ""))
