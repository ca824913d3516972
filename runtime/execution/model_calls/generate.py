"""Model calls.

A call reserves its worst case, streams the reply, settles what it used, and decodes the reply into the declared type.
Cancellation goes all the way down: an abandoned reply closes the engine's iterator, which aborts the request inside the
engine. Tokens of a call that gives no result are in the journal as :class:`~orchestrator.runtime.journal.events.Spent`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from math import inf
from time import time
from typing import Any, NamedTuple

from orchestrator.dsl.models.messages import Message
from orchestrator.errors import EngineError, LostReplyError, RunError
from orchestrator.runtime.engines.base import Engine, GenerateRequest, Usage, noting, when_sent
from orchestrator.runtime.engines.token_count import (
    TokenCounter,
    at_hand,
    counter_of,
    may_repeat_prompts,
    prompt_tokens,
)
from orchestrator.runtime.execution.attempt import Attempt
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.frame import Frame
from orchestrator.runtime.execution.model_calls.asked import Asked
from orchestrator.runtime.execution.model_calls.budget import Ledger
from orchestrator.runtime.execution.model_calls.correction import (
    NOTHING_WRONG,
    STILL_UNFIT,
    Correction,
    UnfitReplyError,
)
from orchestrator.runtime.execution.model_calls.received import Display, Received
from orchestrator.runtime.execution.model_calls.reply import reply_of, turn_of
from orchestrator.runtime.execution.model_calls.reservation import Reservation
from orchestrator.runtime.execution.outcome import Outcome
from orchestrator.runtime.journal.events import KvTurn, ReplyUnfit, Spent, Token
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.replicas import ReplicaSet
from orchestrator.runtime.program.program import Op
from orchestrator.runtime.program.specs import Generate
from orchestrator.runtime.tools.apart import admit, checked
from orchestrator.runtime.values.content import with_files


async def generate(execution: Execution, frame: Frame, op: Op, *, attempt: Attempt, ledger: Ledger) -> Outcome:
    """Call a model with a prompt and the conversation it continues, if any; gives the reply and the conversation.

    A further attempt after a reply that did not fit shows the model what was wrong (:mod:`.correction`).
    """
    spec = op.spec
    assert isinstance(spec, Generate)
    asked = Asked.of(spec, [frame.v[slot] for slot in op.args])
    admit(execution, spec.returns)
    correction = execution.corrections.get((frame.path, op.id), NOTHING_WRONG) if attempt.number > 1 else NOTHING_WRONG
    tried: set[str] = set()
    while True:
        key, engine = execution.spread.pick(op.id, spec, asked.model, asked.conversation.engine, tried)
        to = _To(key, engine, Received(spec, correction), correction)
        try:
            await execution.services.engines.started(key)
            return await _generated(execution, frame, op, asked, to, attempt=attempt, ledger=ledger)
        except EngineError as error:
            tried.add(key)
            if not execution.spread.may_move(spec, key, error, tried):
                raise
            if to.received.has_begun:
                raise LostReplyError.collect(error.diagnostics) from error
            attempt.wait()


class _To(NamedTuple):
    """Where a call goes, and what comes back."""

    name: str
    engine: ReplicaSet
    received: Received
    correction: Correction
    """What an earlier attempt leaves to this one."""


async def _generated(
    execution: Execution, frame: Frame, op: Op, asked: Asked, to: _To, *, attempt: Attempt, ledger: Ledger
) -> Outcome:
    """Call the model at one engine."""
    spec, conversation = asked.spec, asked.conversation
    key, engine, received, correction = to
    execution.simulated = execution.simulated or engine.simulated
    path = frame.path + op.id
    messages = await with_files((*asked.begun, *asked.prompt, *correction.turns))
    had_tokens = execution.sessions.tokens_of(conversation, key)
    counter, length = await _counted(
        engine, messages, spec, ledger, before=(len(asked.begun), had_tokens if asked.is_as_before else 0)
    )
    await asyncio.sleep(0)  # hints that became ready together with this call go first
    reservation = Reservation(execution, frame, op, (key, length, len(received.asked)), ledger)
    # nothing waits between the reservation and the `try`
    prefetched = execution.prefetches.begin(frame.path, op.id)
    session = execution.sessions.enter(conversation, spec, key, engine, f"{execution.run_id}/{path}")
    hint = execution.sessions.hint(spec, key, asked.features, frame.path, prefetched)
    request = GenerateRequest(
        f"{execution.run_id}/{path}#{attempt.number}",
        engine.model,
        messages,
        asked.sampling(reservation.max_tokens, len(received.asked)),
        session,
        hint,
        op=op.id,
    )
    try:
        await execution.durable()
        with noting(execution.warn), when_sent(attempt.begin, attempt.wait, reservation.renew):
            await received.stream(engine, request, _display(execution, frame.path, op.id, attempt.number))
        usage = received.used(reservation, counter)
        cost_usd = reservation.settle(usage)  # before the check, which may take any time
        replies = await checked(
            execution, spec.returns, partial(received.replies, engine, reservation.max_tokens, len(messages)), attempt
        )
    except BaseException as error:
        execution.sessions.fail(session, conversation)
        if isinstance(error, UnfitReplyError):
            _keep(execution, frame, op, error)
        usage = received.usage_of_failure(error, reservation, counter, was_sent=not attempt.waiting)
        cost_usd = reservation.settle(usage)
        if usage != Usage():
            execution.emit(Spent(frame.path, op.id, usage, cost_usd, time()))
        raise
    finally:
        if prefetched is not None:  # the call's own hint does not reach a replica that it did not go to
            execution.sessions.release([prefetched])
    execution.corrections.pop((frame.path, op.id), None)
    for warning in received.warnings(op.id, reservation.max_tokens):
        execution.warn(warning)
    tokens = usage.input_tokens + usage.output_tokens // len(received.asked)
    execution.sessions.leave(session, spec, hint, len(conversation.messages) + len(asked.prompt) + 1, tokens)
    if execution.listeners and (had_tokens or spec.pause is not None):
        execution.show(_kv_turn(frame.path, op.id, session, hint=hint, had_tokens=had_tokens, usage=usage))
    chats = [
        conversation.then(asked.prompt, turn_of(reply, text), session, key, shared=_is_shared(spec))
        for reply, text in zip(replies, received.texts.values(), strict=True)
    ]
    given = (replies, chats, received.scores(engine))[: op.count]
    values = given if spec.sampling.samples > 1 else [each[0] for each in given]
    return Outcome(tuple(values), usage, cost_usd, received.finish, engine=key if spec.shares else None)


def _is_shared(spec: Generate) -> bool:
    """Whether several turns go on with what the call gives."""
    return spec.sampling.samples > 1 or (spec.pause is not None and spec.pause.is_shared)


async def without_unfit(
    execution: Execution, frame: Frame, op: Op, error: BaseException, failure: RunError
) -> Outcome | None:
    """The samples that fit of a call that has failed for the last time, with ``error``, where they are enough for it.

    None where they are not, or are not read again in the time that an attempt has, and for any op that is no such call.
    """
    spec, key = op.spec, (frame.path, op.id)
    if not isinstance(spec, Generate) or spec.at_least is None:
        return None
    last = error.correction if isinstance(error, UnfitReplyError) else execution.corrections.get(key, NOTHING_WRONG)
    if len(last.kept) < spec.at_least:
        return None
    execution.corrections.pop(key, None)
    texts = last.kept.values()
    seconds = None if op.policy.budget is None else op.policy.budget.seconds
    again = Attempt(op, 1, left_s=inf if seconds is None else seconds)
    check = partial(_parsed, spec, texts)
    try:
        replies = await again.run(checked(execution, spec.returns, check, again))
    except Exception:  # noqa: BLE001 - the op fails as it has
        return None
    first = failure.diagnostics[0]
    why = f"{first.message}: {first.why}" if first.why else first.message
    wanted = spec.sampling.samples
    execution.warn(f"{wanted - len(last.kept)} of {wanted} samples are left out, as {why}")
    asked = Asked.of(spec, [frame.v[slot] for slot in op.args])
    chats = [asked.conversation.then(asked.prompt, Message("assistant", text), None, None) for text in texts]
    return Outcome((replies, chats)[: op.count])


def _parsed(spec: Generate, texts: Iterable[str]) -> list[Any]:
    return [reply_of(spec, text) for text in texts]


def _keep(execution: Execution, frame: Frame, op: Op, error: UnfitReplyError) -> None:
    """Keep for the next attempt, if there may be one, what is wrong with the reply."""
    correction = error.correction
    if op.policy.attempts > 1 and correction.shown is not None:
        error.fix = STILL_UNFIT
        execution.corrections[frame.path, op.id] = correction
        kept = tuple(correction.kept.items())
        execution.emit(ReplyUnfit(frame.path, op.id, kept, *correction.shown, time()))


async def _counted(
    engine: Engine, messages: Sequence[Message], spec: Generate, ledger: Ledger, *, before: tuple[int, int]
) -> tuple[TokenCounter, int]:
    """What counts the call's tokens, and those of its prompt; nothing is loaded where no budget depends on it.

    ``before``: so many messages stand at the beginning, of which the engine has counted so many tokens, or 0. What it
    has counted is known better than by its bytes.
    """
    counter = await counter_of(engine) if ledger.bounds_calls else at_hand(engine)
    length = await prompt_tokens(counter, messages, spec.described)
    if before[1]:
        length = min(length, before[1] + await prompt_tokens(counter, messages[before[0] :], spec.described))
    repeats = spec.sampling.samples if spec.sampling.samples > 1 and may_repeat_prompts(engine) else 1
    return counter, length * repeats


def _kv_turn(path: str, op: str, session: str, *, hint: KvHint, had_tokens: int, usage: Usage) -> KvTurn:
    return KvTurn(
        path,
        op,
        session,
        hint.tool,
        hint.median_s,
        hint.pin_ttl_s,
        had_tokens,
        None if usage.cached_tokens is None else max(min(had_tokens, usage.input_tokens) - usage.cached_tokens, 0),
        hint.ends,
        len(hint.supersedes),
        time(),
    )


def _display(execution: Execution, path: str, op: str, attempt: int) -> Display | None:
    """Shows pieces of a reply to whoever listens; None if nobody does."""
    if not execution.listeners:
        return None
    return lambda sample, text: execution.show(Token(path, op, sample, text, attempt))
