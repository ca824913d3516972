"""The ops that leave the coordinator: tools, model calls, questions to a human.

Each returns an :class:`Outcome` or raises; retries, timeouts and the journal are the executor's. Cancellation goes all
the way down: an abandoned reply closes the engine's iterator, which aborts the request inside the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pydantic import ValidationError

from orchestrator.errors import RunError
from orchestrator.runtime.budget import Ledger, Need
from orchestrator.runtime.engines.base import (
    DEFAULT_MODEL,
    Engine,
    FinishReason,
    GenerateRequest,
    KvHint,
    Message,
    Sampling,
    Usage,
)
from orchestrator.runtime.events import Token
from orchestrator.runtime.failures import ReplyError, first_line
from orchestrator.runtime.program import Ask, Generate, Op, Release, ToolCall
from orchestrator.runtime.values import Conversation, adapter, checked_result, parsed_reply

if TYPE_CHECKING:
    from orchestrator.runtime.executor import Execution, Frame

DEFAULT_OUTPUT_TOKENS = 1024
"""Reserved, and under a budget asked for, where neither ``max_tokens`` nor the plan says anything."""
CHARS_PER_TOKEN = 2.5
"""Fewer than any common tokenizer yields on prose, so that a prompt's estimate errs upwards."""
TOKENS_PER_MESSAGE = 8


class Outcome(NamedTuple):
    """The results of an op, and what it used."""

    values: tuple[Any, ...]
    usage: Usage | None = None
    cost_usd: float | None = None


class Remote(Protocol):
    """Where tools placed on Ray run."""

    async def call(
        self, op: str, place: str, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """The result of ``fn``, called in a worker; cancelling the call cancels the worker's task."""


class Engines:
    """The engines of a runtime, by name and by the model they serve."""

    def __init__(self, engines: Mapping[str, Engine]) -> None:
        self._engines = dict(engines)
        self._starting: dict[str, asyncio.Task[None]] = {}

    def __iter__(self) -> Any:
        return iter(self._engines.values())

    def pick(self, name: str | None, model: str) -> tuple[str, Engine]:
        """The engine that the plan names, else one that serves ``model``; raises ``RunError`` ORCH-R008."""
        if name is not None and name in self._engines:
            return name, self._engines[name]
        for key, engine in self._engines.items():
            if model in (DEFAULT_MODEL, key, engine.name, engine.model):
                return key, engine
        if not self._engines:
            fix = (
                "run it with an engine: orch run --cluster FILE, or Runtime(engines=...), or orchestrator.testing.fake"
            )
            raise RunError("ORCH-R008", "the workflow calls a model, and the runtime has no engine", fix=fix)
        known = ", ".join(f"{key} ({engine.model})" for key, engine in self._engines.items())
        raise RunError(
            "ORCH-R008", f"no engine serves `{model}`", why=f"there is {known}", fix="add one, or change model="
        )

    async def started(self, name: str) -> Engine:
        """The engine, after it has started; concurrent callers wait for the same start."""
        starting = self._starting.get(name)
        if starting is None or (starting.done() and (starting.cancelled() or starting.exception())):
            starting = self._starting[name] = asyncio.create_task(self._engines[name].start())
        if not starting.done():
            await asyncio.shield(starting)
        return self._engines[name]

    async def close(self) -> None:
        """Close every engine that was started."""
        for name, starting in self._starting.items():
            if not starting.done():
                starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            await self._engines[name].close()
        self._starting.clear()


async def run(execution: Execution, frame: Frame, op: Op, ledger: Ledger) -> Outcome:
    """Do what ``op`` says, once everything it depends on is durable."""
    waiting = execution.barrier()
    if waiting is not None:
        await waiting
    spec, v = op.spec, frame.v
    args = [v[slot] for slot in op.args]
    if isinstance(spec, ToolCall):
        if spec.is_async and spec.place == "async" and spec.names is None:  # the common case, without a coroutine more
            result = await spec.fn(*args)
        else:
            result = await _call_tool(execution, op, spec, args)
        return Outcome((checked_result(frame.region.types[op.first], result),))
    if isinstance(spec, Generate):
        return await _generate(execution, frame, op, args, ledger)
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
    many = conversations if isinstance(conversations, list) else [conversations]
    for engine, session in dict.fromkeys((each.engine, each.session) for each in many):
        if engine is not None and session is not None:
            await (await execution.services.engines.started(engine)).release(session)


async def _generate(execution: Execution, frame: Frame, op: Op, args: list[Any], ledger: Ledger) -> Outcome:
    spec = op.spec
    assert isinstance(spec, Generate)
    prompt: str = args[0]
    conversation: Conversation = args[1] if len(args) > 1 else Conversation()
    model = spec.model if spec.model != DEFAULT_MODEL else conversation.model or DEFAULT_MODEL
    key, engine = execution.services.engines.pick(spec.engine, model)
    messages = (*conversation.messages, Message("user", prompt))
    budget = _Reservation(execution, op, key, messages, ledger)
    if conversation.engine is not None and conversation.engine != key:
        conversation = Conversation(conversation.messages, conversation.model)
    session = conversation.session or f"{execution.run_id}/{frame.path}{op.id}"
    await execution.services.engines.started(key)
    execution.simulated |= engine.simulated
    sampling = Sampling(
        spec.temperature, spec.top_p, budget.max_tokens, spec.stop, spec.seed, spec.samples, spec.schema
    )
    hint = KvHint(spec.pin_ttl_s, spec.release, execution.arrival_s)
    request = GenerateRequest(
        f"{execution.run_id}/{frame.path}{op.id}", engine.model, messages, sampling, session, hint
    )
    texts, usage = await _stream(engine, request, budget, _display(execution, frame.path, op.id))
    cost_usd = budget.settle(usage)
    replies = [parsed_reply(spec.returns, text) for text in texts]
    chats = [conversation.then(prompt, text, session, key) for text in texts]
    values = (replies[0], chats[0]) if spec.samples == 1 else (replies, chats)
    return Outcome(values[: op.count], usage, cost_usd)


async def _stream(
    engine: Engine, request: GenerateRequest, budget: _Reservation, display: Display | None
) -> tuple[list[str], Usage]:
    """The replies; reserves for the length of the request, and settles what is known if it is abandoned."""
    parts: list[list[str]] = [[] for _ in range(request.sampling.samples)]
    ends: list[FinishReason | None] = [None] * request.sampling.samples
    usage: Usage | None = None
    received = 0
    try:
        async with aclosing(engine.generate(request)) as chunks:
            async for chunk in chunks:
                parts[chunk.sample].append(chunk.text)
                received += chunk.tokens
                ends[chunk.sample] = chunk.finish_reason or ends[chunk.sample]
                usage = chunk.usage or usage
                if chunk.text and display is not None:
                    display(chunk.sample, chunk.text)
        if None in ends:
            raise ReplyError(f"the engine `{engine.name}` ended its reply without finishing it")
    except BaseException:
        budget.settle(usage or Usage(budget.prompt_tokens, 0, received))
        raise
    return ["".join(each) for each in parts], usage or Usage(budget.prompt_tokens, 0, received)


Display = Callable[[int, str], None]


def _display(execution: Execution, path: str, op: str) -> Display | None:
    """Shows pieces of a reply to whoever listens; None if nobody does."""
    if not execution.listeners:
        return None
    return lambda sample, text: execution.show(Token(path, op, sample, text))


class _Reservation:
    """The worst case of a model call, taken out of its budgets before it starts."""

    def __init__(
        self,
        execution: Execution,
        op: Op,
        engine: str,
        messages: Sequence[Message],
        ledger: Ledger,
    ) -> None:
        spec = op.spec
        assert isinstance(spec, Generate)
        chars = sum(len(message.content) for message in messages)
        self.prompt_tokens = int(chars / CHARS_PER_TOKEN) + TOKENS_PER_MESSAGE * len(messages)
        self.max_tokens = spec.max_tokens
        self._ledger = ledger
        self._price = execution.program.prices.get(engine)
        bounded = any(each.limits.tokens is not None or each.limits.usd is not None for each in ledger.chain())
        if self.max_tokens is None and bounded:
            self.max_tokens = self._affordable(spec)
        output = (self.max_tokens or spec.expected_output_tokens or DEFAULT_OUTPUT_TOKENS) * spec.samples
        self._reserved = Need(
            self.prompt_tokens + output, self._usd(self.prompt_tokens, output) or spec.expected_usd or 0.0
        )
        if bounded and self._price is None and any(each.limits.usd is not None for each in ledger.chain()):
            execution.warnings[f"the price of engine `{engine}` is unknown, so the dollar budget does not bound it"] = (
                None
            )
        ledger.reserve(op.id, self._reserved, op.where)

    def _affordable(self, spec: Generate) -> int:
        """A bound for a reply that has none of its own, so that the reservation is a true worst case."""
        wanted = spec.expected_output_tokens or DEFAULT_OUTPUT_TOKENS
        left = self._ledger.tokens_left()
        if left is None:
            return wanted
        return max(1, min(wanted, (left - self.prompt_tokens) // spec.samples))

    def _usd(self, tokens_in: int, tokens_out: int) -> float | None:
        return None if self._price is None else tokens_in * self._price[0] + tokens_out * self._price[1]

    def settle(self, usage: Usage) -> float | None:
        """Replace the reservation by what was used; its cost, or None where the price is unknown."""
        cost = self._usd(usage.input_tokens, usage.output_tokens)
        used = Need(usage.input_tokens + usage.output_tokens, self._reserved.usd if cost is None else cost)
        self._ledger.settle(self._reserved, used)
        return cost
