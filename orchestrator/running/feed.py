"""The events of one run, from its event loop to whoever reads them, in another thread or loop and at any pace.

The run never waits. What has not been read is kept as small as it can be: pieces of one reply are put together,
``Partial`` and ``Progress`` are replaced by later ones, and JSON is only parsed when it is read. So a reader that does
not keep up gets fewer and larger pieces. Beyond ``limit`` entries the oldest are dropped and counted.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from orchestrator.events import Done, Event, Failed, Item, Partial, Progress, Started, Text
from orchestrator.running.partial_json import Nothing, partial_json
from orchestrator.runtime.journal import events
from orchestrator.runtime.observe import FEED_LIMIT, Subscription
from orchestrator.runtime.program.specs import Generate

if TYPE_CHECKING:
    from orchestrator.runtime.program.program import Op, Program

Wake = Callable[[], None]
_ALONE: Final = 0


@dataclass(slots=True)
class _Reply:
    """What has arrived of a structured reply; for :class:`Partial`."""

    token: events.Token
    parts: list[str] = field(default_factory=list)
    last: object = Nothing.YET
    """What was read last."""

    def text(self) -> str:
        """All of it."""
        self.parts[:] = ["".join(self.parts)]
        return self.parts[0]

    def event(self, text: str) -> Event | None:
        """What it says, if that is something new."""
        value = partial_json(text)
        if value is Nothing.YET or (self.last is not Nothing.YET and value == self.last):
            return None
        self.last = value
        each = self.token
        return Partial(each.op, value, each.frame + each.op, each.sample, each.attempt)


@dataclass(slots=True)
class _Words:
    """Pieces of a reply that nobody has read."""

    token: events.Token
    parts: list[str] = field(default_factory=list)

    def text(self) -> str:
        """All of them."""
        return "".join(self.parts)

    def event(self, text: str) -> Event:
        """The piece that they make."""
        each = self.token
        return Text(each.op, text, each.frame + each.op, each.sample, each.attempt)


@dataclass(frozen=True, slots=True)
class _As:
    """An event as it is."""

    is_: Event

    def text(self) -> str:
        """None."""
        return ""

    def event(self, text: str) -> Event:
        """It."""
        return self.is_


class RunFeed(Subscription):
    """The feed of one run."""

    def __init__(self, limit: int = FEED_LIMIT) -> None:
        super().__init__(limit)
        self.is_over = False
        self._lock = threading.Lock()
        self._unread: OrderedDict[tuple[Any, ...], _Reply | _Words | _As] = OrderedDict()
        self._replies: OrderedDict[tuple[Any, ...], _Reply] = OrderedDict()
        """Structured replies that are being written."""
        self._ops: dict[tuple[str, str], Op] = {}
        self._number = 0
        self._wakes: deque[Wake] = deque()

    def of(self, program: Program) -> None:
        """It is about a run of ``program``; said before that begins."""
        self._ops = {(key, op.id): op for key, region in program.regions.items() for op in region.ops()}

    def push(self, entry: events.Feed) -> None:
        """Take an event; called by the run, on its event loop."""
        with self._lock:
            self._take_in(entry)
            if len(self._unread) > self._limit:
                self._unread.popitem(last=False)
                self.dropped += 1
        self._wake_readers()

    def end(self) -> None:
        """Nothing more comes."""
        self.is_over = True
        self._wake_readers()

    def take(self) -> Event | None:
        """The next event, or None where there is none now; from any thread."""
        while True:
            with self._lock:
                if not self._unread:
                    return None
                _, entry = self._unread.popitem(last=False)
                text = entry.text()
            event = entry.event(text)  # may take a while, and the run does not wait for it
            if event is not None:
                return event

    def when_there_is_more(self, wake: Wake) -> None:
        """Call ``wake`` once there is something to take, or nothing more comes; from any thread."""
        self._wakes.append(wake)
        if self._unread or self.is_over:
            self._wake_readers()

    def _wake_readers(self) -> None:
        while self._wakes:
            try:
                wake = self._wakes.popleft()
            except IndexError:  # another thread was faster
                return
            wake()

    def _take_in(self, entry: events.Feed) -> None:
        if isinstance(entry, events.Token):
            self._token(entry)
        elif isinstance(entry, events.ToolItem):
            self._add(Item(entry.op, entry.value, entry.frame + entry.op, entry.number))
        elif isinstance(entry, events.OpStarted):
            self._add(Started(entry.op, entry.frame + entry.op, entry.attempt))
        elif isinstance(entry, events.MapProgress):
            path = entry.frame + entry.op
            self._unread["progress", path] = _As(Progress(entry.op, entry.done, entry.items, path))
        elif isinstance(entry, events.OpFailed):
            self._forget(entry.frame + entry.op)
            self._add(
                Failed(
                    entry.op, entry.frame + entry.op, entry.code, entry.message, entry.attempt, entry.retry_in_s
                )
            )  # fmt: skip
        elif isinstance(entry, events.OpDone):
            path = entry.frame + entry.op
            self._forget(path)
            value = self._value(entry)
            self._add(Done(entry.op, value, path, entry.usage, entry.cost_usd))

    def _add(self, event: Event) -> None:
        self._number += 1
        self._unread[_ALONE, self._number] = _As(event)

    def _token(self, entry: events.Token) -> None:
        key = (entry.frame + entry.op, entry.sample, entry.attempt)
        if self._is_structured(entry):
            reply = self._replies.get(key)
            if reply is None:
                reply = self._replies[key] = _Reply(entry)
                if len(self._replies) > self._limit:
                    self._replies.popitem(last=False)
            reply.parts.append(entry.text)
            self._unread.setdefault(key, reply)
            return
        words = self._unread.get(key)
        if words is None:
            words = self._unread[key] = _Words(entry)
        assert isinstance(words, _Words)
        words.parts.append(entry.text)

    def _forget(self, path: str) -> None:
        for key in [each for each in self._replies if events.is_within(each[0], path)]:
            del self._replies[key]

    def _is_structured(self, entry: events.Token) -> bool:
        op = self._ops.get((events.region_key(entry.frame), entry.op))
        spec = None if op is None else op.spec
        return isinstance(spec, Generate) and spec.returns is not str and spec.sampling.constraint is None

    def _value(self, entry: events.OpDone) -> object:
        """What the op gives; of a model call the reply, which the conversation goes with."""
        op = self._ops.get((events.region_key(entry.frame), entry.op))
        if len(entry.values) == 1 or (op is not None and isinstance(op.spec, Generate) and entry.values):
            return entry.values[0]
        return entry.values or None
