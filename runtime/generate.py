"""Model calls.

A call reserves its worst case, streams the reply, settles what it used, and decodes the reply into the declared type.
Cancellation goes all the way down: an abandoned reply closes the engine's iterator, which aborts the request inside the
engine. Tokens of a call that gives no result are in the journal as :class:`~orchestrator.runtime.events.Spent`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import time
from typing import TYPE_CHECKING, Any, Final

from orchestrator.runtime.budget import Ledger, Need
from orchestrator.runtime.correction import NOTHING_WRONG, UnfitReplyError
from orchestrator.runtime.engines.base import (
    DEFAULT_MODEL,
    GenerateRequest,
    Message,
    Sampling,
    Usage,
    noting,
)
from orchestrator.runtime.engines.surrogates import well_formed
from orchestrator.runtime.events import KvTurn, Spent, Token
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.outcome import Outcome
from orchestrator.runtime.program import Generate, Op
from orchestrator.runtime.received import Display, Received
from orchestrator.runtime.values import Conversation

if TYPE_CHECKING:
    from orchestrator.runtime.executor import Execution, Frame

DEFAULT_OUTPUT_TOKENS: Final = 1024
"""Reserved, and under a budget asked for, where neither ``max_tokens`` nor the plan says anything."""
BYTES_PER_TOKEN: Final = 2.5
"""Of UTF-8 text; fewer than common tokenizers need, so that a prompt's estimate errs upwards."""
TOKENS_PER_MESSAGE: Final = 8


async def generate(
    execution: Execution, frame: Frame, op: Op, args: list[Any], *, attempt: int, ledger: Ledger
) -> Outcome:
    """Call a model with a prompt and the conversation it continues, if any; gives the reply and the conversation.

    A further attempt after a reply that did not fit shows the model what was wrong (:mod:`.correction`).
    """
    spec = op.spec
    assert isinstance(spec, Generate)
    own = len(args) - (len(spec.pause.features) if spec.pause is not None else 0)
    prompt = well_formed(args[0])
    conversation: Conversation = args[1] if own > 1 else Conversation()
    model = spec.model if spec.model != DEFAULT_MODEL else conversation.model or DEFAULT_MODEL
    key, engine = execution.services.engines.pick(spec.engine, model)
    await execution.services.engines.started(key)
    execution.simulated |= engine.simulated
    path = frame.path + op.id
    correction = execution.corrections.get(path, NOTHING_WRONG) if attempt > 1 else NOTHING_WRONG
    messages = (*conversation.messages, Message("user", prompt), *correction.turns)
    received = Received(spec, correction)
    await asyncio.sleep(0)  # hints that became ready together with this call go first
    reservation = _Reservation(execution, op, key, messages, ledger, samples=len(received.asked))
    # nothing waits between the reservation and the `try`
    prefetched = execution.prefetches.begin(frame.path, op.id)
    had_tokens = execution.sessions.tokens_of(conversation, key)
    session = execution.sessions.enter(conversation, spec, key, engine, f"{execution.run_id}/{path}")
    hint = execution.sessions.hint(spec, key, args[own:], prefetched)
    request = GenerateRequest(
        f"{execution.run_id}/{path}#{attempt}",
        engine.model,
        messages,
        _sampling(spec, reservation.max_tokens, len(received.asked)),
        session,
        hint,
    )
    try:
        with noting(execution.warnings.setdefault):
            await received.stream(engine, request, _display(execution, frame.path, op.id, attempt))
        replies = received.replies(engine, reservation.max_tokens)
    except BaseException as error:
        execution.sessions.fail(session, conversation)
        if isinstance(error, UnfitReplyError):
            execution.corrections[path] = error.correction
        usage = received.usage_of_failure(error, reservation.prompt_tokens)
        cost_usd = reservation.settle(usage)
        if usage != Usage():
            execution.emit(Spent(frame.path, op.id, usage, cost_usd, time()))
        raise
    finally:
        if prefetched is not None:  # the call's own hint does not reach a replica that it did not go to
            execution.sessions.release([prefetched])
    execution.corrections.pop(path, None)
    execution.warnings.update(dict.fromkeys(received.warnings(op.id, reservation.max_tokens)))
    usage = received.usage or Usage(reservation.prompt_tokens, None, received.tokens)
    cost_usd = reservation.settle(usage)
    tokens = usage.input_tokens + usage.output_tokens // len(received.asked)
    execution.sessions.leave(session, spec, hint, len(conversation.messages) + 2, tokens)
    if execution.listeners and (had_tokens or spec.pause is not None):
        execution.show(_kv_turn(frame.path, op.id, session, hint=hint, had_tokens=had_tokens, usage=usage))
    shared = spec.samples > 1 or (spec.pause is not None and spec.pause.is_shared)
    chats = [conversation.then(prompt, text, session, key, shared=shared) for text in received.texts.values()]
    values = (replies[0], chats[0]) if spec.samples == 1 else (replies, chats)
    return Outcome(values[: op.count], usage, cost_usd, received.finish)


def _sampling(spec: Generate, max_tokens: int | None, samples: int) -> Sampling:
    return Sampling(spec.temperature, spec.top_p, max_tokens, spec.stop, spec.seed, samples, spec.schema)


def prompt_tokens(messages: Sequence[Message]) -> int:
    """An estimate of a prompt's length that errs upwards."""
    size = sum(len(message.content.encode()) for message in messages)
    return int(size / BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE * len(messages)


def _kv_turn(path: str, op: str, session: str, *, hint: KvHint, had_tokens: int, usage: Usage) -> KvTurn:
    return KvTurn(
        path,
        op,
        session,
        hint.tool,
        hint.pause_s[len(hint.pause_s) // 2] if hint.pause_s else None,
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


class _Reservation:
    """The worst case of a model call, taken out of its budgets before it starts."""

    def __init__(
        self,
        execution: Execution,
        op: Op,
        engine: str,
        messages: Sequence[Message],
        ledger: Ledger,
        *,
        samples: int,
    ) -> None:
        spec = op.spec
        assert isinstance(spec, Generate)
        self.prompt_tokens = prompt_tokens(messages)
        self.max_tokens = spec.max_tokens
        self._ledger = ledger
        self._price = execution.program.prices.get(engine)
        bounded = any(each.limits.tokens is not None or each.limits.usd is not None for each in ledger.chain())
        if self.max_tokens is None and bounded:
            self.max_tokens = self._affordable(spec, samples)
        output = (self.max_tokens or spec.expected_output_tokens or DEFAULT_OUTPUT_TOKENS) * samples
        self._reserved = Need(
            self.prompt_tokens + output, self._usd(self.prompt_tokens, output) or spec.expected_usd or 0.0
        )
        if bounded and self._price is None and any(each.limits.usd is not None for each in ledger.chain()):
            execution.warnings[f"the price of engine `{engine}` is unknown, so the dollar budget does not bound it"] = (
                None
            )
        ledger.reserve(op.id, self._reserved, op.where)

    def _affordable(self, spec: Generate, samples: int) -> int:
        """A bound for a reply that has none of its own, so that the reservation is a true worst case."""
        wanted = spec.expected_output_tokens or DEFAULT_OUTPUT_TOKENS
        left = self._ledger.tokens_left()
        if left is None:
            return wanted
        return max(1, min(wanted, (left - self.prompt_tokens) // samples))

    def _usd(self, tokens_in: int, tokens_out: int) -> float | None:
        return None if self._price is None else tokens_in * self._price[0] + tokens_out * self._price[1]

    def settle(self, usage: Usage) -> float | None:
        """Replace the reservation by what was used; its cost, or None where the price is unknown."""
        cost = self._usd(usage.input_tokens, usage.output_tokens)
        used = Need(usage.input_tokens + usage.output_tokens, self._reserved.usd if cost is None else cost)
        self._ledger.settle(self._reserved, used)
        return cost
