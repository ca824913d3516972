"""Questions to a person: whoever is at hand answers, or whoever sends an answer, from any process and on any day.

In a run that is kept, a question is in the log before anybody waits for it. An answer is checked when it comes, and is
in the log before anything goes on with it; one that does not fit leaves the question open.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from json import loads
from time import time
from typing import Any, Final

from orchestrator.dsl.types.typing import json_schema
from orchestrator.errors import RunError
from orchestrator.runtime import failures
from orchestrator.runtime.execution.activity import Delivered
from orchestrator.runtime.execution.attempt import Attempt
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.frame import Frame
from orchestrator.runtime.execution.outcome import Outcome
from orchestrator.runtime.human import accepted
from orchestrator.runtime.journal.events import Answered, Asked
from orchestrator.runtime.journal.lines.paths import paths_of
from orchestrator.runtime.journal.replay import A_PERSON
from orchestrator.runtime.program.program import Op
from orchestrator.runtime.program.specs import Ask
from orchestrator.runtime.tools.apart import checked

NOBODY: Final = "ORCH-R030"
_WRONG: Final = "ORCH-R031"
_log: Final = logging.getLogger(__name__)


async def ask(execution: Execution, frame: Frame, op: Op, *, spec: Ask, question: Any, attempt: Attempt) -> Outcome:
    """What a person answers."""
    if execution.activity.is_attended:
        return await _Question(execution, frame, op, spec=spec, question=question, attempt=attempt).outcome()
    if (waiting := execution.barrier()) is not None:
        await waiting
    attempt.begin()
    tp = frame.region.types[op.first]
    try:
        answer = await execution.services.human.ask(frame.path + op.id, question, tp, spec.choices)
    except RunError as error:
        if error.code != NOBODY or execution.within is None:
            raise
        raise _not_within(execution.within.called, error) from error
    check = partial(accepted, op.id, answer, tp, spec.choices, op.where)
    return Outcome((await checked(execution, tp, check, attempt),))


def _not_within(called: str, error: RunError) -> RunError:
    """Nobody is at hand, and a run that a tool has begun cannot wait for an answer."""
    tool, _, workflow = called.rpartition("/")[2].rpartition(".")
    told = error.diagnostics[0]
    return RunError(
        NOBODY,
        told.message,
        where=told.where,
        why=f"nobody is at hand, and the tool `{tool}` has called `{workflow}`: what a tool calls is executed anew in "
        "each attempt, so its questions are not kept",
        fix=f"call `{workflow}` in the workflow itself, or ask there and give `{tool}` the answer; or {told.fix}",
    )


class _Question:
    """A question of a run that is kept."""

    __slots__ = ("_attempt", "_execution", "_frame", "_op", "_path", "_question", "_spec", "_type")

    def __init__(
        self, execution: Execution, frame: Frame, op: Op, *, spec: Ask, question: Any, attempt: Attempt
    ) -> None:
        self._execution = execution
        self._frame = frame
        self._op = op
        self._spec = spec
        self._question = question
        self._attempt = attempt
        self._type = frame.region.types[op.first]
        self._path = paths_of(execution.program).written(frame.path, op.id)

    async def outcome(self) -> Outcome:
        """The answer, which may be in the log already."""
        key, state = (self._frame.path, self._op.id), self._execution.resumed
        if state is not None and (known := state.answered.get(key)) is not None:
            return Outcome((known.value,))
        asked = None if state is None else state.asked.get(key)
        if asked is None:
            asked = self._asked()
            self._execution.emit(asked)
        if (waiting := self._execution.barrier()) is not None:
            await waiting
        self._attempt.begin()
        activity = self._execution.activity
        activity.asked[self._path] = asked
        try:
            left_s = None if asked.expires_at is None else asked.expires_at - time()
            async with asyncio.timeout(left_s) as scope:
                answer = await self._answer(asked)
        except TimeoutError:
            if not scope.expired():
                raise
            timeout_s = self._op.policy.timeout_s
            assert timeout_s is not None
            raise failures.timed_out(
                self._op.id, timeout_s, self._op.where, has_returned=False, may_repeat=self._op.may_repeat
            ) from None
        finally:
            del activity.asked[self._path]
        self._execution.emit(Answered(*key, answer.value, answer.by, time()))
        if answer.notice is not None:
            activity.took(answer.notice)
        return Outcome((answer.value,))

    def _asked(self) -> Asked:
        at, timeout_s = time(), self._op.policy.timeout_s
        return Asked(
            self._frame.path,
            self._op.id,
            str(self._question),
            loads(json_schema(self._type) or "{}"),
            self._spec.choices,
            None if timeout_s is None else at + timeout_s,
            at,
            self._frame.given(self._op),
        )

    async def _answer(self, asked: Asked) -> Delivered:
        """An answer that fits."""
        human = asyncio.ensure_future(self._ask_at_hand(asked.question))
        sent = asyncio.ensure_future(self._sent())
        try:
            await asyncio.wait([human, sent], return_when=asyncio.FIRST_COMPLETED)
            if not sent.done() and not self._is_nobody(human):
                return Delivered(await self._accepted(human.result()), A_PERSON)
            if sent.done():
                return sent.result()
            self._execution.activity.end()
            try:
                return await sent
            finally:
                self._execution.activity.begin()
        finally:
            for each in (human, sent):
                each.cancel()
            await asyncio.gather(human, sent, return_exceptions=True)

    async def _ask_at_hand(self, question: str) -> object:
        path = self._frame.path + self._op.id
        return await self._execution.services.human.ask(path, question, self._type, self._spec.choices)

    @staticmethod
    def _is_nobody(human: asyncio.Future[object]) -> bool:
        failure = human.exception()
        return isinstance(failure, RunError) and failure.code == NOBODY

    async def _sent(self) -> Delivered:
        activity = self._execution.activity
        while True:
            answer = await activity.answer(self._path)
            activity.begin()
            try:
                return answer._replace(value=await self._accepted(answer.value))
            except RunError as error:
                if error.code != _WRONG:
                    raise
                self._refuse(answer, error)
            finally:
                activity.end()

    async def _accepted(self, answer: object) -> object:
        check = partial(accepted, self._op.id, answer, self._type, self._spec.choices, self._op.where)
        return await checked(self._execution, self._type, check, self._attempt)

    def _refuse(self, answer: Delivered, error: RunError) -> None:
        told = error.diagnostics[0]
        said = f"an answer of {answer.by} was refused: {told.message}" + (f": {told.why}" if told.why else "")
        _log.warning("run %s: %s", self._execution.run_id, said)
        self._execution.warn(said)
        if answer.notice is not None:
            self._execution.activity.took(answer.notice)
