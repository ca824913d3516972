"""Prefetches of one run: prefixes that an engine computes while tools run.

A prefetch is a real request, in the background, that nobody waits for: it ends when the last of the calls begins that
it was made for, or with the run. Calls that begin alike share one, as those of a map's items often do. Its tokens are
in the run's usage like those of any abandoned reply. Under a budget that it would count against there is none, for what
it spends could be what a call needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import time

from orchestrator.dsl.models.messages import Message
from orchestrator.errors import JournalError
from orchestrator.runtime.engines.base import DEFAULT_MODEL, GenerateRequest, KvControl, Sampling, Usage, when_sent
from orchestrator.runtime.engines.token_count import at_hand
from orchestrator.runtime.execution.frame import Frame
from orchestrator.runtime.execution.model_calls.budget import Ledger
from orchestrator.runtime.execution.model_calls.sessions import Sessions
from orchestrator.runtime.execution.model_calls.spread import Spread
from orchestrator.runtime.journal.events import Event, Spent
from orchestrator.runtime.program.program import Op, Program
from orchestrator.runtime.program.specs import Prefetch
from orchestrator.runtime.services import Services
from orchestrator.runtime.values.at_run_time import Conversation

_Key = tuple[str, tuple[Message, ...]]
"""The engine that computes a prefix, and the messages that the prefix consists of."""


@dataclass(slots=True, eq=False)
class _Prefetch:
    """One that was begun."""

    path: str
    op: str
    key: _Key
    session: str
    at: KvControl
    task: asyncio.Task[Usage] | None = None
    """None once it is known what it took."""
    is_asked: bool = False
    """Whether the engine knows of it."""
    calls: int = 0
    """That it is for and that have not begun."""


class Prefetches:
    """See the module's docstring."""

    def __init__(
        self,
        program: Program,
        services: Services,
        sessions: Sessions,
        spread: Spread,
        *,
        emit: Callable[[Event], None],
        warn: Callable[[str], None],
    ) -> None:
        self._program = program
        self._services = services
        self._sessions = sessions
        self._spread = spread
        self._emit = emit
        self._warn = warn
        self._for: dict[tuple[str, str], _Prefetch] = {}
        """Its keys are the frame and the id of the call."""
        self._made: dict[_Key, _Prefetch] = {}
        """Those of calls that have not all begun."""

    def start(self, frame: Frame, op: Op, value: Conversation | str) -> None:
        """Begin a prefetch if its call is to come, the engine takes it and no budget forbids it."""
        spec = op.spec
        assert isinstance(spec, Prefetch)
        if _is_done(frame, spec.call):
            return
        talk = value if isinstance(value, Conversation) else Conversation()
        asked = (talk.model if spec.model == DEFAULT_MODEL else spec.model) or DEFAULT_MODEL
        engine, at = self._spread.ahead(spec, asked, talk.engine)
        if not isinstance(at, KvControl) or self._counts(frame.ledger, engine):
            return
        key = engine, _messages(value)
        begun = self._made.get(key)
        if begun is None:
            hint = self._sessions.prefetch_hint(spec)
            session = f"{hint.program}/{frame.path}{op.id}"
            request = GenerateRequest(session, at.model, key[1], Sampling(max_tokens=1), session, hint)
            self._sessions.keep(session, engine, at)
            begun = self._made[key] = _Prefetch(frame.path, op.id, key, session, at)
            begun.task = self._services.background.spawn(self._run(begun, at, request))
            begun.task.add_done_callback(partial(self._done, begun))
        begun.calls += 1
        self._for[frame.path, spec.call] = begun

    def begin(self, path: str, call: str) -> str | None:
        """The call itself begins; the session of the prefetch that it takes the place of, if there is one."""
        begun = self._for.pop((path, call), None)
        if begun is None:
            return None
        begun.calls -= 1
        if begun.calls:
            return None
        del self._made[begun.key]
        self._end(begun)
        return begun.session

    def close(self) -> None:
        """The run has ended."""
        for begun in self._made.values():
            self._end(begun)
            self._sessions.release([begun.session])
        self._made.clear()
        self._for.clear()

    def _counts(self, ledger: Ledger, engine: str) -> bool:
        """Whether what it takes would count against a budget."""
        is_priced = any(self._program.prices.get(engine, ()))
        limits = [each.limits for each in ledger.chain()]
        return any(each.tokens is not None or (each.usd is not None and is_priced) for each in limits)

    async def _run(self, begun: _Prefetch, at: KvControl, request: GenerateRequest) -> Usage:
        await self._services.engines.started(begun.key[0])

        def asked() -> None:
            begun.is_asked = True

        with when_sent(asked):
            return await at.prefetch(request)

    def _end(self, begun: _Prefetch) -> None:
        """Abort what is not done; what it has taken until then is not known, and counts in full."""
        task = begun.task
        if task is None:
            return
        if task.done():  # and nobody was told yet
            self._done(begun, task)
            return
        begun.task = None
        task.cancel()
        if begun.is_asked:
            tokens = at_hand(begun.at).count_prompt(begun.key[1])
            self._charge(begun, Usage(tokens, None, 0, estimated=True))

    def _done(self, begun: _Prefetch, task: asyncio.Task[Usage]) -> None:
        if begun.task is None:
            return
        begun.task = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._charge(begun, task.result())
        else:
            self._warn(f"engine `{begun.key[0]}` could not prefetch: {error}")

    def _charge(self, begun: _Prefetch, usage: Usage) -> None:
        if usage == Usage():
            return
        price = self._program.prices.get(begun.key[0])
        cost_usd = None if price is None else price.of(usage)
        with suppress(JournalError):  # which ends the run without this, too
            self._emit(Spent(begun.path, begun.op, usage, cost_usd, time()))


def _is_done(frame: Frame, call: str) -> bool:
    """Whether the journal of a resumed run has the call's result."""
    return frame.known is not None and call in frame.known.done


def _messages(value: Conversation | str) -> tuple[Message, ...]:
    """A conversation that waits for its next prompt, or the beginning of a prompt; templates want a user's message."""
    if isinstance(value, str):
        return (Message("user", value),)
    return (*value.messages, Message("user", ""))
