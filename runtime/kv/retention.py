"""What to keep between turns: the decisions, over a pin table, a duration model and the load of one engine.

When a turn ends, keeping its blocks for a time t is worth ``P(pause <= t) * benefit`` and costs ``rent * E[min(pause,
t)]`` (:mod:`orchestrator.runtime.kv.ttl`). With ``W`` requests waiting for memory:

- a hit spares the engine the prefill of the prefix, ``R`` seconds, for which everyone who waits and the session itself
  would have waited, and the session its wait for memory, ``T``: ``benefit = R (1 + W) + T``;
- a share ``s`` of the memory withheld for a second withholds that share of a second from each who waits:
  ``rent = s W``.

Nobody waits, nothing is lost by keeping: ``rent = 0``. Since that may change while a session pauses, pins are *reviewed*
while requests wait for memory: one whose remaining pause, given that it already lasts so long, is no longer worth its
memory is given up.

>>> retention = Retention[str](total_blocks=100, options=RetentionOptions(budget=0.5))
>>> hint = KvHint(program="run-1", turns_left=1.0, pause_s=(0.5,))
>>> decision = retention.ended("s1", hint, tokens=320, blocks=10, load=Load(prefill_s_per_token=1e-4), now_s=0.0)
>>> decision.blocks, decision.ttl_s > 0.5
(10, True)
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, Final, Generic

from orchestrator.runtime.kv.durations import DurationModel
from orchestrator.runtime.kv.forecast import Forecast
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.pins import Held, Outcome, Pin, PinTable
from orchestrator.runtime.kv.ttl import best_ttl

LONGEST_TTL_S: Final = 300.0
"""No pin outlives this, whatever is predicted."""
REVIEW_SHARE: Final = 0.25
"""A pin is reviewed again when its age has grown by this share, "..."""
LEAST_REVIEW_S: Final = 0.02
"""and no sooner than after this."""


@dataclass(frozen=True, slots=True)
class RetentionOptions:
    """How an engine keeps KV between turns."""

    budget: float = 0.5
    """Share of the KV blocks that pins may hold at most."""
    ttl_s: float | None = None
    """A fixed TTL for every pause; ``None``: decided by what each pause is worth."""
    longest_ttl_s: float = LONGEST_TTL_S
    guard: bool = False
    """Fall back to LRU while predictions do worse than it."""


@dataclass(frozen=True, slots=True)
class Load:
    """The engine's state when a decision is made."""

    waiting: int = 0
    """Requests that wait for memory."""
    queue_s: float = 0.0
    """How long a request that does not find its KV waits for memory, on average."""
    prefill_s_per_token: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """How long to keep how many of a session's blocks, from the beginning of its prefix on; none: ``blocks == 0``."""

    blocks: int
    ttl_s: float
    worth_s: float = 0.0
    forecast: Forecast | None = None
    clipped: bool = False


class Retention(Generic[Held]):
    """Decides about pins, and keeps their table."""

    def __init__(self, total_blocks: int, options: RetentionOptions, durations: DurationModel | None = None) -> None:
        self.options = options
        self.total_blocks = max(total_blocks, 1)
        self.table: PinTable[Held] = PinTable(int(options.budget * total_blocks))
        self.durations = durations or DurationModel()
        self.guard: Any = None

    def arrived(self, session: str, hint: KvHint, now_s: float) -> list[Pin[Held]]:
        """A turn of the session is here; returns the pins of sessions that it supersedes."""
        self.durations.ended(session, now_s)
        ended: list[Pin[Held]] = []
        for other in hint.supersedes:
            if other != session:
                ended += self.over(other, Outcome.SUPERSEDED, now_s)
        return ended

    def ended(self, session: str, hint: KvHint, *, tokens: int, blocks: int, load: Load, now_s: float) -> Decision:
        """A turn has ended that leaves ``tokens`` tokens in ``blocks`` full blocks: what to keep."""
        if hint.ends or (hint.prefetch and hint.pin_ttl_s is None):
            return Decision(0, 0.0)
        self.durations.began(session, hint.key, now_s)
        decision = self._decide(hint, tokens, blocks, load)
        if decision.ttl_s <= 0:
            self.table.outcomes[Outcome.DECLINED] += 1
            return Decision(0, 0.0, decision.worth_s, decision.forecast)
        kept = min(blocks, self.table.room + self._replaceable(session))
        if kept <= 0:
            self.table.outcomes[Outcome.REJECTED] += 1
            return Decision(0, 0.0, decision.worth_s, decision.forecast)
        return Decision(kept, decision.ttl_s, decision.worth_s, decision.forecast, clipped=kept < blocks)

    def keep(
        self, session: str, hint: KvHint, decision: Decision, held: Held, tokens: int, now_s: float
    ) -> list[Pin[Held]]:
        """Enter what was decided into the table; returns the pin it replaces, if there was one."""
        arrival_s = now_s if hint.program_arrival_s is None else hint.program_arrival_s
        pin = Pin(
            session, hint.program or session, arrival_s, decision.blocks, held, now_s, now_s + decision.ttl_s,
            tokens, decision.forecast,
        )  # fmt: skip
        return self.table.pin(pin, clipped=decision.clipped)

    def over(self, session: str, outcome: Outcome, now_s: float) -> list[Pin[Held]]:
        """No turn of the session will follow."""
        self.durations.dropped(session, now_s)
        return self.table.end(session, outcome)

    def review(self, load: Load, now_s: float, most: int = 8) -> list[Pin[Held]]:
        """Give up pins that are no longer worth their memory; asked while requests wait for it.

        Looks at ``most`` pins whose turn it is, so that a step takes bounded time.
        """
        if self.options.ttl_s is not None or not load.waiting:
            return []
        ended: list[Pin[Held]] = []
        for pin in self.table.pins():
            age_s = now_s - pin.pinned_s
            if pin.forecast is None or now_s < pin.reviewed_s + max(LEAST_REVIEW_S, REVIEW_SHARE * age_s):
                continue
            pin.reviewed_s = now_s
            worth = self._worth(pin.forecast, pin.tokens, pin.blocks, load, age_s)
            if worth.ttl_s <= 0:
                ended += self.table.end(pin.session, Outcome.EXPIRED)
            else:
                self.table.extend(pin.session, now_s + min(worth.ttl_s, self.options.longest_ttl_s))
            most -= 1
            if not most:
                break
        return ended

    def _decide(self, hint: KvHint, tokens: int, blocks: int, load: Load) -> Decision:
        longest_s = (
            self.options.longest_ttl_s if hint.pin_ttl_s is None else min(hint.pin_ttl_s, self.options.longest_ttl_s)
        )
        if self.options.ttl_s is not None:
            return Decision(blocks, min(self.options.ttl_s, longest_s))
        if self.guard is not None and not self.guard.trusted:
            return Decision(blocks, 0.0)
        forecast = Forecast.decoded(list(hint.pause_s)) if hint.pause_s else self.durations.forecast(hint.key)
        worth = self._worth(forecast, tokens, blocks, load, 0.0, longest_s)
        return Decision(blocks, worth.ttl_s, worth.worth_s, forecast)

    def _worth(self, forecast: Forecast, tokens: int, blocks: int, load: Load, age_s: float, longest_s: float = inf):
        benefit_s = tokens * load.prefill_s_per_token * (1 + load.waiting) + load.queue_s
        return best_ttl(
            forecast,
            benefit_s=benefit_s,
            rent=load.waiting * blocks / self.total_blocks,
            longest_s=min(longest_s, self.options.longest_ttl_s),
            elapsed_s=age_s,
        )

    def _replaceable(self, session: str) -> int:
        pin = self.table.get(session)
        return pin.blocks if pin is not None else 0
