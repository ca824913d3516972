"""The simplest retention: every session is kept for the same time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Literal

from orchestrator.planner.simulate.retention import PINNED_FIRST_S, EngineLoad, Held, TurnView

YieldToWaiting = Literal["idle", "later-programs"]
"""When a request in the queue gets a pin's memory: only when nothing runs, or at once from programs that came later."""


@dataclass(slots=True, eq=False)
class _Pin:
    held: Held
    arrival_s: float
    expires_s: float


class FixedTtl:
    """Keeps every session that has a next turn for the same time, or as an oracle says; holds nothing back.

    ``longest_s`` is the TTL; with ``oracle`` a session is kept only if it comes back within it. ``budget`` is the share
    of the memory that may be pinned. With ``by_program`` sessions that are pinned go first and then those of the
    program that arrived first; else the queue is in order of arrival. Victims are the pins of the program that arrived
    last, the waiting turn's own session last of all.
    """

    def __init__(
        self, longest_s: float, *, total_blocks: int, budget: float = 1.0, oracle: bool = False,
        yield_to_waiting: YieldToWaiting = "idle", by_program: bool = False,
    ) -> None:  # fmt: skip
        self.longest_s = longest_s
        self.oracle = oracle
        self.yield_to_waiting = yield_to_waiting
        self.by_program = by_program
        self._room = int(budget * total_blocks)
        self._pins: dict[str, _Pin] = {}
        self._blocks = 0

    def arrived(self, turn: TurnView, now: float) -> Sequence[Held]:
        """Nothing is superseded."""
        return ()

    def key(self, turn: TurnView, now: float) -> float | None:
        """In order of arrival, of the request or of its program."""
        if not self.by_program:
            return turn.ready_s
        return turn.started_s - (PINNED_FIRST_S if turn.session in self._pins else 0.0)

    def released(self, load: EngineLoad, now: float) -> Sequence[TurnView]:
        """Nothing is held back."""
        return ()

    def ended(self, turn: TurnView, tokens: int, blocks: int, load: EngineLoad, now: float) -> int:
        """All that the budget has room for, if a turn follows."""
        if not turn.turns_left or not self.longest_s or (self.oracle and turn.pause_s > self.longest_s):
            return 0
        return min(blocks, self._room - self._blocks)

    def keep(self, turn: TurnView, held: Held, now: float) -> Sequence[Held]:
        """Until ``longest_s`` from now."""
        replaced = self._end(turn.session)
        self._pins[turn.session] = _Pin(held, turn.started_s, now + self.longest_s)
        self._blocks += held.blocks
        return replaced

    def admitted(self, turn: TurnView, hit_tokens: int, now: float) -> Sequence[Held]:
        """Its pin is consumed."""
        return self._end(turn.session)

    def due(self, load: EngineLoad, now: float) -> Sequence[Held]:
        """What has expired, oldest pin first."""
        over = [session for session, pin in self._pins.items() if pin.expires_s <= now]
        return [held for session in over for held in self._end(session)]

    def victim(self, turn: TurnView | None, load: EngineLoad, now: float) -> Sequence[Held]:
        """The pin of the program that arrived last, if the rule lets it go."""
        own = turn.session if turn is not None else None
        last = max(self._pins.items(), key=lambda item: (item[0] != own, item[1].arrival_s), default=None)
        if last is None:
            return ()
        later = turn is not None and self.yield_to_waiting == "later-programs" and last[1].arrival_s > turn.started_s
        return self._end(last[0]) if turn is None or not load.running or later else ()

    @property
    def next_due_s(self) -> float:
        """The first expiry."""
        return min((pin.expires_s for pin in self._pins.values()), default=inf)

    def _end(self, session: str) -> Sequence[Held]:
        pin = self._pins.pop(session, None)
        if pin is None:
            return ()
        self._blocks -= pin.held.blocks
        return (pin.held,)
