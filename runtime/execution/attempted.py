"""Regions whose failures are caught, and what is to be done in the end whatever happens.

A failure is caught when everything in the region has ended: what still runs is cancelled first, and a tool that must
run at most once and was cut off may have happened, so such a failure is never caught. The journal then says which
handler has taken it, and a run that is resumed goes on in that handler.

The cleanup runs behind the result in the frame ``attempt_1.finally/``. Where the failure goes on, or the run is
cancelled, it runs in ``attempt_1.finally[0]/``; if the run is resumed from there, its body is executed again, and so is
its cleanup, in a frame of another number. A cleanup that fails replaces the failure, but no cancellation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import time
from typing import Any

from orchestrator.errors import OrchError
from orchestrator.leaving import passes_through
from orchestrator.runtime import failures
from orchestrator.runtime.execution.catching import as_value, handler_for, is_catchable
from orchestrator.runtime.execution.structured import Structured
from orchestrator.runtime.journal.events import CleanupStarted, OpCaught, occurrence
from orchestrator.runtime.program.program import Body


async def attempted(at: Structured) -> Sequence[Any]:
    """What the body yields, or the handler that takes its failure."""
    return await _Attempted(at).result()


class _Attempted:
    """One execution of an attempt."""

    __slots__ = ("_at", "_catches", "_cleanup", "_execution", "_frame", "_op", "_path")

    def __init__(self, at: Structured) -> None:
        self._at = at
        self._execution = at.execution
        self._frame = at.frame
        self._op = at.op
        self._path = at.path
        self._catches = at.spec.catches
        self._cleanup = at.op.bodies[-1] if len(at.op.bodies) > len(at.spec.catches) + 1 else None

    async def result(self) -> Sequence[Any]:
        """What the body yields, or the handler that takes its failure."""
        try:
            values = await self._caught()
        except BaseException as error:
            if self._cleanup is not None and not passes_through(error) and self._execution.log.failure is None:
                await self._clean_up(self._cleanup, error)
            raise
        if self._cleanup is not None:
            await self._run(self._cleanup)
        return values

    async def _caught(self) -> Sequence[Any]:
        execution = self._execution
        caught = None if execution.resumed is None else execution.resumed.caught.get((self._frame.path, self._op.id))
        if caught is None or caught.attempt != self._at.attempt:
            try:
                return await self._run(self._op.bodies[0])
            except OrchError as failure:
                caught = await self._catch(failure)
                if caught is None:
                    raise
            execution.emit(caught)
            execution.sessions.abandon(f"{execution.run_id}/{self._path}")
        return await self._run(self._op.bodies[1 + caught.handler], caught.error)

    async def _catch(self, failure: OrchError) -> OpCaught | None:
        """Which handler takes a failure; None if none does. Raises ORCH-R020 where something may have happened."""
        error = as_value(failure)
        handler = handler_for(error, self._catches)
        if handler is None or not is_catchable(failure, self._at.ledger) or self._execution.log.failure is not None:
            return None
        once, own = self._execution.once, occurrence(self._frame.path, self._op.id)
        if any(once.within(own)):
            await once.check()
        for path, reason in once.within(own):
            doubt = failures.unsettled(path, reason, self._op.where)
            doubt.diagnostics += failure.diagnostics
            raise doubt from failure
        return OpCaught(self._frame.path, self._op.id, self._at.attempt, handler, error, time())

    async def _clean_up(self, cleanup: Body, error: BaseException) -> None:
        """Do what is to be done in the end, in a task of its own: this one may have been cancelled, which what is in
        there would take for its own end. Cancelled once more, it ends."""
        number, resumed = 0, self._execution.resumed
        while resumed is not None and resumed.opened[f"{self._path}.{cleanup.name}[{number}]/"]:
            number += 1
        self._execution.emit(CleanupStarted(f"{self._path}.{cleanup.name}[{number}]/", time()))
        try:
            await asyncio.ensure_future(self._run(cleanup, number=number))
        except OrchError as second:
            if isinstance(error, asyncio.CancelledError):  # which goes on, whatever fails meanwhile
                self._execution.warn(f"what was to be done in the end of `{self._path}` failed: {second.message}")
                return
            root: BaseException = second
            while root.__cause__ is not None:
                root = root.__cause__
            root.__cause__ = error
            raise

    async def _run(self, body: Body, *arguments: object, number: int | None = None) -> Sequence[Any]:
        frame = f".{body.name}/" if number is None else f".{body.name}[{number}]/"
        return await self._at.run(body, [*arguments, *self._at.captured(body)], frame, self._at.tally)
