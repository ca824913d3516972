"""How long do pauses last here? Learned while running, per tool, from pauses that ended and those that have not yet.

Each pause is filed under everything the compiler knows of it, from the general to the special::

    prior  ->  global  ->  workflow  ->  tool  ->  tool + features

and each level's forecast is the posterior of its own last ``WINDOW`` pauses given the forecast of the level before,
which weighs as much as ``STRENGTH`` pauses (:mod:`orchestrator.runtime.kv.survival`). So an unknown tool is forecast
like its workflow, and after a handful of pauses like itself; what a tool did under other workflows counts. A tool that
has become slow is seen to be so before its first slow pause ends: open pauses count as "longer than this" when a
forecast is asked for. The window is what makes it forget.

    >>> model = DurationModel()
    >>> key = PauseKey("review", "run_tests")
    >>> for turn in range(20):
    ...     model.began(f"s{turn}", key, at_s=100.0 * turn)
    ...     took_s = model.ended(f"s{turn}", at_s=100.0 * turn + 30.0)
    >>> forecast = model.forecast(key)
    >>> forecast.source, forecast.count, forecast.quantile(0.5)
    ('tool', 20, 30.0)

Time is what callers say it is; the model has no clock. Not for use from several threads.
"""

from __future__ import annotations

import json
from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from itertools import islice
from math import ceil, inf
from typing import Final, Protocol

from orchestrator.runtime.kv.forecast import ROUNDING, Forecast, Source
from orchestrator.runtime.kv.hints import PauseKey
from orchestrator.runtime.kv.survival import posterior

WINDOW: Final = 512
"""Pauses that a level remembers."""
STRENGTH: Final = 1.0
"""Pauses of its own after which a level trusts itself as much as the level before.

On 120 random tools after 12 pauses of each of 20 others, TTLs lose 18 % of the benefit to ignorance after no pause of
the tool, 12 % after one, 7 % after four, 3 % after 16. From 0.5 to 2 it makes no difference; 8 loses half as much
again.
"""
MOST_LEVELS: Final = 1024
"""Workflows, tools and features remembered, the least recently used forgotten: clients choose their names."""
MOST_FEATURES: Final = 16
MOST_OPEN: Final = 16_384
ABANDONED_S: Final = 3600.0
"""A pause still open after this is not waited for any more."""
REFRESH_S: Final = 1.0
"""How old the view of the open pauses may be."""
NAMESPACE: Final = "pauses"

PRIOR: Final = Forecast.lognormal(median_s=1.0, sigma=2.0)
"""Continuum assumes 1-2 s for unknown tools. In a lognormal with sigma 2 the slowest tenth holds 76 % of the time: the
middle of the 52-94 % found in traces (share = Phi(sigma - 1.28))."""


class PauseStore(Protocol):
    """Where pauses outlive the process; ``orchestrator.learning.store.LearningStore`` is one."""

    def recent(self, namespace: str, most_per_key: int) -> Iterable[tuple[str, float, bool]]:
        """Key, seconds and whether the pause was censored, of the last pauses of each key, oldest first."""
        ...

    def append(self, namespace: str, key: str, value: float, *, censored: bool) -> None:
        """Remember a pause, sometime soon. Neither waits nor raises: it is called while an engine schedules."""
        ...


class DurationModel:
    """Learns pauses by key and forecasts them."""

    def __init__(self, store: PauseStore | None = None, prior: Forecast = PRIOR) -> None:
        self.prior = prior
        self._store = store
        self._now_s = -inf
        self._global = _Level("global")
        self._levels: OrderedDict[tuple[object, ...], _Level] = OrderedDict()
        self._open: OrderedDict[str, tuple[PauseKey, float]] = OrderedDict()
        if store is not None:
            for text, seconds, censored in store.recent(NAMESPACE, WINDOW):
                key = _key_of(text)
                for level in self._filed(key) if key is not None else ():
                    level.learn(max(seconds, 0.0), censored)

    def began(self, session: str, key: PauseKey, at_s: float) -> None:
        """A turn of the session ended and a pause began; one already open for the session is dropped."""
        self.dropped(session, at_s)
        self._open[session] = key, at_s
        for level in self._filed(key):
            level.open_since[session] = at_s
        oldest, (_, since_s) = next(iter(self._open.items()))
        if len(self._open) > MOST_OPEN or at_s - since_s > ABANDONED_S:
            self.dropped(oldest, at_s)

    def ended(self, session: str, at_s: float) -> float | None:
        """The session's next turn arrived; returns how long the pause was, None when none was open."""
        return self._close(session, at_s, censored=False)

    def dropped(self, session: str, at_s: float) -> float | None:
        """No turn follows: the pause was at least this long, which is all that will ever be known of it."""
        return self._close(session, at_s, censored=True)

    def forecast(self, key: PauseKey, elapsed_s: float = 0.0) -> Forecast:
        """Of the rest of a pause under ``key`` that has lasted ``elapsed_s``. Cached; a few µs when nothing is new."""
        forecast = self._global.forecast(self.prior, self._now_s)
        for level in self._known(key):
            forecast = level.forecast(forecast, self._now_s)
        return forecast.given(elapsed_s)

    def upper(self, key: PauseKey, coverage: float) -> float:
        """A conformal bound on the next pause: ``Forecast.upper`` from pauses alone, without a parent's help.

        From the most special level with enough pauses for ``coverage``; those not seen to the end count as endless,
        which keeps the guarantee. ``inf`` when no level has enough.
        """
        for level in (*reversed(tuple(self._known(key))), self._global):
            rank = ceil((level.count + 1) * coverage - ROUNDING)
            if 0 < rank <= level.count:
                return level.ended_s[rank - 1] if rank <= len(level.ended_s) else inf
        return inf

    def _close(self, session: str, at_s: float, *, censored: bool) -> float | None:
        self._now_s = max(self._now_s, at_s)
        found = self._open.pop(session, None)
        if found is None:
            return None
        key, since_s = found
        seconds = max(at_s - since_s, 0.0)
        for level in self._filed(key):
            level.open_since.pop(session, None)
            level.learn(seconds, censored)
        if self._store is not None:
            self._store.append(NAMESPACE, _text_of(key), seconds, censored=censored)
        return seconds

    def _known(self, key: PauseKey) -> Iterator[_Level]:
        for _, name in _names(key):
            level = self._levels.get(name)
            if level is not None:
                self._levels.move_to_end(name)
                yield level

    def _filed(self, key: PauseKey) -> Iterator[_Level]:
        yield self._global
        for source, name in _names(key):
            level = self._levels.get(name)
            if level is None:
                level = self._levels[name] = _Level(source)
                if len(self._levels) > MOST_LEVELS:
                    self._levels.popitem(last=False)
            else:
                self._levels.move_to_end(name)
            yield level


class _Level:
    """The pauses filed under one name, and the forecast made of them when last asked."""

    __slots__ = ("_built_s", "_forecast", "_new", "_parent", "censored_s", "ended_s", "open_since", "source", "window")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.window: deque[tuple[float, bool]] = deque()
        self.ended_s: list[float] = []
        self.censored_s: list[float] = []
        self.open_since: dict[str, float] = {}
        self._forecast: Forecast | None = None
        self._parent: Forecast | None = None
        self._built_s = -inf
        self._new = 0

    @property
    def count(self) -> int:
        return len(self.window) + len(self.open_since)

    def learn(self, seconds: float, censored: bool) -> None:
        self.window.append((seconds, censored))
        insort(self.censored_s if censored else self.ended_s, seconds)
        if len(self.window) > WINDOW:
            oldest_s, was_censored = self.window.popleft()
            among = self.censored_s if was_censored else self.ended_s
            del among[bisect_left(among, oldest_s)]
        self._new += 1

    def forecast(self, parent: Forecast, now_s: float) -> Forecast:
        if self._forecast is None or self._stale(parent, now_s):
            self._forecast, self._parent = self._posterior(parent, now_s), parent
            self._built_s, self._new = now_s, 0
        return self._forecast

    def _stale(self, parent: Forecast, now_s: float) -> bool:
        n = len(self.window)
        return (
            self._new > n >> 5  # 3 % more
            or (self._parent is not parent and n < 16 * STRENGTH)  # it still weighs 6 %
            or (bool(self.open_since) and now_s >= self._built_s + REFRESH_S)
        )

    def _posterior(self, parent: Forecast, now_s: float) -> Forecast:
        every = len(self.open_since) // WINDOW + 1
        lasting_s = [now_s - since_s for since_s in islice(self.open_since.values(), 0, None, every)]
        n = len(self.ended_s)
        source, count = (self.source, n) if n else (parent.source, parent.count)
        return posterior(
            parent, STRENGTH, self.ended_s, sorted(self.censored_s + lasting_s), source=source, count=count
        )


def _names(key: PauseKey) -> Iterator[tuple[Source, tuple[object, ...]]]:
    if key.workflow:
        yield "workflow", ("workflow", key.workflow)
    if key.tool:
        yield "tool", ("tool", key.tool)
        if key.features and len(key.features) <= MOST_FEATURES:
            yield "features", ("features", key.tool, key.features)


def _text_of(key: PauseKey) -> str:
    return json.dumps([key.workflow, key.tool, *key.features])


def _key_of(text: str) -> PauseKey | None:
    """None for what :func:`_text_of` has not written: a store is shared with other versions."""
    try:
        words = json.loads(text)
    except ValueError:
        return None
    if not isinstance(words, list) or len(words) < 2 or not all(isinstance(word, str) for word in words):
        return None
    workflow, tool, *features = words
    return PauseKey(workflow, tool, tuple(features))
