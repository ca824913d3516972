"""The sessions of one run: which conversation has which KV prefix in which engine, and what its pause is about.

A *session* is one conversation whose prefix grows from turn to turn, so a fork opens a session of its own: where the
compiler has seen that several turns follow (``Conversation.shared``, ``Generate.is_fork``), and where it turns out that
another turn has already gone on from the same point. The run tells the duration model when pauses begin and end, and
engines that take it (:class:`~orchestrator.runtime.engines.base.KvControl`) what it learns in between: the tool that
really started, and that a pause lasts longer than forecast while the session is still needed.

Everything here is a hint. It changes no result, a failure to give one is a warning, and nothing in the run waits for
it: engines are told in the background. An engine that no turn of this run has begun at is told nothing.
"""

from __future__ import annotations

import asyncio
import sys
from bisect import bisect_left, insort
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from math import inf, isfinite
from time import monotonic
from typing import TYPE_CHECKING, Final

from orchestrator.runtime.engines.base import Engine, KvControl
from orchestrator.runtime.kv.hints import MOST_SUPERSEDED, KvHint, PauseKey
from orchestrator.runtime.kv.pauses import features, forecast_of
from orchestrator.runtime.program.specs import Generate, Pause, Prefetch
from orchestrator.runtime.services import Services
from orchestrator.runtime.turns import Turns
from orchestrator.runtime.values.at_run_time import Conversation

if TYPE_CHECKING:
    from orchestrator.runtime.kv.forecast import Forecast

OVERDUE: Final = 0.9
"""A pause that outlasts this quantile of its forecast is forecast again."""
LEAST_REVIEW_S: Final = 0.05
LONGEST_PAUSE_S: Final = 300.0
"""No extension after this: no pin outlives it either."""
MOST_AT_ONCE: Final = 64
"""Messages of a run that are on their way to engines."""


class _Turn(Enum):
    """Why a session's KV belongs to no conversation that is known."""

    IN_FLIGHT = auto()
    """A turn is under way."""
    GIVEN_UP = auto()
    """Nobody goes on with its latest turn, and an earlier state may."""


@dataclass(slots=True, eq=False)
class _Session:
    """A session that may have another turn."""

    name: str
    engine: str
    at: Engine
    turn: str
    """Path of its latest turn."""
    messages: int | _Turn
    """Length of the conversation that its KV belongs to."""
    tokens: int = 0
    """That conversation has so many tokens."""
    paused_s: float | None = None
    """It has been paused since then; None if it is not."""
    key: PauseKey | None = None
    pause: Pause | None = None
    is_learning: bool = False
    """Whether the duration model knows of the pause."""
    timer: asyncio.TimerHandle | None = None


class _Latest:
    """Names of sessions, sorted by the path of their latest turn: those below an op stand next to each other."""

    def __init__(self) -> None:
        self._sorted: list[tuple[str, str]] = []

    def add(self, entry: _Session) -> None:
        """A turn begins."""
        insort(self._sorted, (entry.turn, entry.name))

    def remove(self, entry: _Session) -> None:
        """The session is over, or has another turn."""
        del self._sorted[bisect_left(self._sorted, (entry.turn, entry.name))]

    def below(self, prefix: str) -> list[str]:
        """Those whose latest turn has a path that begins so."""
        first, last = (bisect_left(self._sorted, (bound,)) for bound in (prefix, prefix + chr(sys.maxunicode)))
        return [name for _, name in self._sorted[first:last]]


class Sessions:
    """See the module's docstring. ``of_run`` is what every hint of the run says."""

    def __init__(self, of_run: KvHint, services: Services, warn: Callable[[str], None]) -> None:
        self._of_run = of_run
        self._durations = services.durations
        self._spawn = services.background.spawn
        self._warn = warn
        self._open: dict[str, _Session] = {}
        self._latest = _Latest()
        self._kept: dict[str, tuple[str, Engine]] = {}
        """Where sessions are that nobody has said to be over since their last turn."""
        self._superseded: dict[str, list[str]] = {}
        self._room = Turns()

    def enter(self, conversation: Conversation, spec: Generate, engine: str, at: Engine, own: str) -> str:
        """A turn begins; the name of its session, which is ``own`` unless it goes on with the conversation's."""
        before = conversation.session if conversation.engine == engine else None
        if before is None:
            self._left(conversation)
        known = None if before is None else self._open.get(before)
        follows = known is None or known.messages in (len(conversation.messages), _Turn.GIVEN_UP)
        if known is not None and follows:
            self._resumed(known)
        forks = conversation.shared or spec.is_fork or not follows
        name = own if before is None or forks else before
        entry = self._open.get(name)
        if entry is None:
            entry = self._open[name] = _Session(name, engine, at, own, _Turn.IN_FLIGHT)
        else:
            self._latest.remove(entry)
            entry.turn, entry.messages = own, _Turn.IN_FLIGHT
        self._latest.add(entry)
        self.keep(name, engine, at)
        return name

    def keep(self, name: str, engine: str, at: Engine) -> None:
        """From now on the engine may keep something of a session, until it is told that it is over."""
        self._kept[name] = engine, at

    def _left(self, conversation: Conversation) -> None:
        """It goes on at another engine: what the one before keeps of it is of no use, unless others start from it."""
        entry = self._open.get(conversation.session or "")
        if entry is not None and not conversation.shared and entry.messages == len(conversation.messages):
            self.release([entry.name])

    def tokens_of(self, conversation: Conversation, engine: str) -> int:
        """What the engine has computed of a conversation, as far as is known; asked before :meth:`enter`."""
        known = self._open.get(conversation.session or "")
        return known.tokens if known is not None and conversation.engine == engine else 0

    def hint(
        self, spec: Generate, engine: str, values: Sequence[object], frame: str = "", prefetched: str | None = None
    ) -> KvHint:
        """What the engine is told with a turn in a frame; ``values`` are those of the pause's features.

        ``prefetched`` is the session of a prefetch that the turn takes the place of.
        """
        superseded = self._superseded.pop(engine, [])
        if prefetched is not None:
            superseded.insert(0, prefetched)
        pause, key = spec.pause, None
        if pause is not None:
            key = self._key(pause, values)
        return replace(
            self._of_run,
            turns_left=spec.turns_left,
            call_s=None if spec.rest is None else spec.rest.own_s,
            critical_path_s=None if spec.rest is None else spec.rest.behind_s(frame),
            tool=(key.tool or None) if key is not None else None,
            features=key.features if key is not None else (),
            pause_s=_encoded(self._forecast(key, pause)) if pause is not None and key is not None else (),
            pin_ttl_s=pause.ttl_s if pause is not None else None,
            release=spec.turns_left == 0,
            supersedes=tuple(superseded[:MOST_SUPERSEDED]),
        )

    def prefetch_hint(self, spec: Prefetch) -> KvHint:
        """What the engine is told with a prefetch."""
        key = self._key(spec.pause, ())
        forecast = forecast_of(self._durations, key, spec.pause.typical_s)
        return replace(
            self._of_run,
            turns_left=1.0,
            tool=key.tool or None,
            pause_s=() if forecast is None else tuple(forecast.encoded()),
            pin_ttl_s=spec.pause.ttl_s,
            prefetch=True,
        )

    def leave(self, name: str, spec: Generate, hint: KvHint, messages: int, tokens: int) -> None:
        """A turn has ended well, with a conversation of so many messages and tokens."""
        entry = self._open.get(name)
        if entry is None:
            return
        entry.messages, entry.tokens = messages, tokens
        if hint.ends:
            self._close(name)
        elif spec.pause is not None:
            entry.paused_s, entry.pause, entry.key = monotonic(), spec.pause, hint.key
            if not spec.pause.is_refined:
                self._began(entry)
            self._watch(entry, self._forecast(entry.key, entry.pause))

    def fail(self, name: str, conversation: Conversation) -> None:
        """A turn has failed; it may be tried again. If it is not, its session ends with what fails because of it."""
        entry = self._open.get(name)
        if entry is not None:
            entry.messages = len(conversation.messages)

    def refine(self, pause: Pause, conversation: Conversation, values: Sequence[object]) -> None:
        """Something starts in a pause that says more about it."""
        entry = self._open.get(conversation.session or "")
        if entry is None or entry.paused_s is None:
            return
        entry.pause, entry.key = pause, self._key(pause, values)
        if pause.ttl_s != 0:
            self._began(entry)
        self._tell_more(entry)

    def supersede(self, names: Iterable[str]) -> None:
        """Sessions are over because a later turn takes their place: it says so, too."""
        for name in names:
            if name in self._kept and not self._goes_on(name):
                self._superseded.setdefault(self._kept[name][0], []).append(name)
                self.release([name])

    def release(self, names: Iterable[str]) -> None:
        """Sessions are over."""
        for name in names:
            if not self._goes_on(name):
                self._end(name)

    def _goes_on(self, name: str) -> bool:
        """Whether a turn of the session is under way: whoever says that it is over does not know of that."""
        entry = self._open.get(name)
        return entry is not None and entry.messages == _Turn.IN_FLIGHT

    def _close(self, name: str) -> None:
        entry = self._open.pop(name, None)
        if entry is not None:
            self._latest.remove(entry)
            self._end_pause(entry, is_back=False)

    def _end(self, name: str) -> None:
        self._close(name)
        if name in self._kept:
            engine, at = self._kept.pop(name)
            self._tell(engine, partial(at.release, name), "release a conversation")

    def within(self, path: str) -> list[str]:
        """The open sessions whose latest turn is below the op with this path, whichever its attempt."""
        return [*self._latest.below(f"{path}."), *self._latest.below(f"{path}#")]

    def abandon(self, path: str) -> None:
        """An attempt at a structured op has failed: what it opened is over, what it went on with is where it was."""
        for below in (f"{path}.", f"{path}["):
            for name in self._latest.below(below):
                if name.startswith(below):
                    self.release([name])
                else:
                    self._open[name].messages = _Turn.GIVEN_UP
                    self._end_pause(self._open[name], is_back=False)

    def close(self) -> None:
        """The run has ended: no session will have another turn."""
        for name in list(self._open):
            self._end(name)

    def _key(self, pause: Pause, values: Sequence[object]) -> PauseKey:
        return PauseKey(self._of_run.workflow or "", pause.tool, features(pause.features, values))

    def _forecast(self, key: PauseKey, pause: Pause, elapsed_s: float = 0.0) -> Forecast | None:
        return None if pause.ttl_s == 0 else forecast_of(self._durations, key, pause.typical_s, elapsed_s)

    def _began(self, entry: _Session) -> None:
        if self._durations is not None and entry.key is not None and entry.paused_s is not None:
            if entry.pause is not None and entry.pause.ttl_s == 0 and not entry.pause.typical_s:
                return  # a human's pauses say nothing about tools
            self._durations.began(entry.name, entry.key, entry.paused_s)
            entry.is_learning = True

    def _resumed(self, entry: _Session) -> None:
        if entry.paused_s is not None and not entry.is_learning:
            self._began(entry)
        self._end_pause(entry, is_back=True)

    def _end_pause(self, entry: _Session, *, is_back: bool) -> None:
        if entry.timer is not None:
            entry.timer.cancel()
        if entry.is_learning and self._durations is not None:
            (self._durations.ended if is_back else self._durations.dropped)(entry.name, monotonic())
        entry.paused_s, entry.pause, entry.key, entry.timer, entry.is_learning = None, None, None, None, False

    def _watch(self, entry: _Session, forecast: Forecast | None) -> None:
        """Look again when the pause outlasts its forecast."""
        if entry.timer is not None:
            entry.timer.cancel()
            entry.timer = None
        if forecast is None or entry.paused_s is None or not isinstance(entry.at, KvControl):
            return
        elapsed_s = monotonic() - entry.paused_s
        wait_s = max(forecast.quantile(OVERDUE), LEAST_REVIEW_S, elapsed_s / 2)
        if isfinite(wait_s) and elapsed_s + wait_s <= LONGEST_PAUSE_S:
            entry.timer = asyncio.get_running_loop().call_later(wait_s, self._tell_more, entry)

    def _tell_more(self, entry: _Session) -> None:
        """Forecast the rest of a pause again and tell the engine."""
        if entry.paused_s is None or entry.key is None or entry.pause is None or not isinstance(entry.at, KvControl):
            return
        forecast = self._forecast(entry.key, entry.pause, monotonic() - entry.paused_s)
        hint = replace(
            self._of_run,
            tool=entry.key.tool or None,
            features=entry.key.features,
            pause_s=_encoded(forecast),
            pin_ttl_s=entry.pause.ttl_s,
        )
        self._tell(entry.engine, partial(self._extend, entry, entry.at, hint, entry.paused_s), "take a hint")
        self._watch(entry, forecast)

    @staticmethod
    async def _extend(entry: _Session, at: KvControl, hint: KvHint, paused_s: float) -> None:
        """Tell an engine of a pause that has not ended while the message waited: the next turn may end the session."""
        if entry.paused_s == paused_s:
            await at.extend(entry.name, hint)

    def _tell(self, engine: str, message: Callable[[], Awaitable[None]], what: str) -> None:
        self._spawn(self._told(engine, message, what))

    async def _told(self, engine: str, message: Callable[[], Awaitable[None]], what: str) -> None:
        try:
            async with self._room.turn(MOST_AT_ONCE):
                await message()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - hints never change results
            self._warn(f"engine `{engine}` could not {what}: {error}")


def _encoded(forecast: Forecast | None) -> tuple[float, ...]:
    return () if forecast is None else tuple(forecast.encoded() or [inf])
