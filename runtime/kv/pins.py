"""The pin table: which sessions' blocks are kept between turns, until when, and how every hint ended.

A pin is a hint under a budget, never a lock. It ends when its session's next turn runs (*consumed*), when its time is
over (*expired*), when its blocks are needed (*evicted*), or when the session is over (*released*, *superseded*,
*reset*). The table knows no engine: it counts blocks, and hands back to its caller the pins whose blocks are to be
freed. The caller says what time it is, on one clock. A prefix that several pins hold counts once.

>>> table = PinTable[str](budget_blocks=8)
>>> table.pin(Pin("s1", "run-1", arrival_s=0.0, blocks=4, held="blocks of s1", pinned_s=10.0, expires_s=12.0))
[]
>>> [pin.held for pin in table.expire(12.0)], table.outcomes[Outcome.EXPIRED]
(['blocks of s1'], 1)
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from heapq import heapify, heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Generic, TypeVar

from orchestrator.runtime.kv.prefixes import Prefix, SharedPrefixes, own

if TYPE_CHECKING:
    from orchestrator.runtime.kv.forecast import Forecast

Held = TypeVar("Held")


class Outcome(StrEnum):
    """What became of a hint to keep a session's blocks: first how it was taken, later how its pin ended."""

    PINNED = "pinned"
    CLIPPED = "clipped"
    """Only the beginning of the prefix is pinned: the budget holds no more."""
    REJECTED = "rejected"
    """Nothing is pinned: no budget, or no full block."""
    DECLINED = "declined"
    """Nothing is pinned: keeping it is not worth its memory."""
    CONSUMED = "consumed"
    EXPIRED = "expired"
    EVICTED = "evicted"
    RELEASED = "released"
    SUPERSEDED = "superseded"
    RESET = "reset"


@dataclass(slots=True, eq=False)
class Pin(Generic[Held]):
    """Blocks kept for a session."""

    session: str
    program: str
    arrival_s: float
    """When the program arrived: pins of later programs are given up first."""
    blocks: int
    held: Held
    """The blocks themselves, as the engine has them."""
    pinned_s: float
    expires_s: float
    ends_s: float = inf
    """When it is to expire once no turn of its session waits any more."""
    latest_s: float = inf
    """When it ends at the latest, whatever a review finds."""
    prefix: Prefix | None = None
    """The first of the blocks, where others hold them too."""
    tokens: int = 0
    """So many tokens are in all of them."""
    forecast: Forecast | None = None
    """It says how long the pause lasts, from ``pinned_s`` on."""

    @property
    def own_blocks(self) -> int:
        """Those that others did not hold too."""
        return own(self.blocks, self.prefix)


class PinTable(Generic[Held]):
    """Pins by session, at most one each, ``budget_blocks`` blocks in all."""

    def __init__(self, budget_blocks: int) -> None:
        self.budget_blocks = budget_blocks
        self.outcomes: Counter[Outcome] = Counter()
        self._own_blocks = 0
        self._shared = SharedPrefixes()
        self._pins: dict[str, Pin[Held]] = {}
        self._by_expiry: list[tuple[float, int, Pin[Held]]] = []
        self._by_program: list[tuple[float, int, Pin[Held]]] = []
        self._by_review: list[tuple[float, int, Pin[Held]]] = []
        self._made = 0

    def __len__(self) -> int:
        return len(self._pins)

    def __contains__(self, session: str) -> bool:
        return session in self._pins

    def get(self, session: str) -> Pin[Held] | None:
        """The session's pin."""
        return self._pins.get(session)

    def pins(self) -> list[Pin[Held]]:
        """All pins, oldest first."""
        return list(self._pins.values())

    @property
    def pinned_blocks(self) -> int:
        """Blocks that pins hold."""
        return self._own_blocks + self._shared.blocks

    @property
    def room(self) -> int:
        """Blocks that may still be pinned."""
        return self.budget_blocks - self.pinned_blocks

    def clipped(self, session: str, blocks: int, prefix: Prefix | None) -> int:
        """How many of ``blocks`` blocks, the first of them as others hold them, the session may pin."""
        earlier = self._pins.get(session)
        room = self.room + (0 if earlier is None else earlier.own_blocks)
        free = 0 if prefix is None else prefix.blocks - self._shared.added_by(prefix)
        return min(blocks, max(room, 0) + free)

    def pin(self, pin: Pin[Held], *, clipped: bool = False) -> list[Pin[Held]]:
        """Take on a pin for which there is room; returns the session's earlier pin, if it had one."""
        replaced = self._drop(pin.session, Outcome.SUPERSEDED)
        added = pin.own_blocks + self._shared.added_by(pin.prefix)
        if added > self.room:
            raise ValueError(f"a pin that adds {added} blocks, and the budget has room for {self.room}")
        self.outcomes[Outcome.CLIPPED if clipped else Outcome.PINNED] += 1
        self._own_blocks += pin.own_blocks
        self._shared.join(pin.prefix)
        self._pins[pin.session] = pin
        self._made += 1
        heappush(self._by_expiry, (pin.expires_s, self._made, pin))
        heappush(self._by_program, (-pin.arrival_s, -self._made, pin))
        self._compact()
        return replaced

    def extend(self, session: str, expires_s: float) -> bool:
        """Let the session's pin end at ``expires_s``; False if it has none (any more)."""
        pin = self._pins.get(session)
        if pin is None:
            return False
        pin.expires_s = expires_s
        self._made += 1
        heappush(self._by_expiry, (expires_s, self._made, pin))
        self._compact()
        return True

    def end(self, session: str, outcome: Outcome) -> list[Pin[Held]]:
        """End the session's pin, if it has one."""
        return self._drop(session, outcome)

    def end_all(self, outcome: Outcome) -> list[Pin[Held]]:
        """End every pin."""
        ended = [pin for session in list(self._pins) for pin in self._drop(session, outcome)]
        self._by_expiry.clear()
        self._by_program.clear()
        self._by_review.clear()
        return ended

    @property
    def next_expiry_s(self) -> float:
        """A time before which no pin expires; ``inf`` without pins."""
        return self._by_expiry[0][0] if self._by_expiry else inf

    def expire(self, now_s: float) -> list[Pin[Held]]:
        """End the pins whose time is over."""
        ended: list[Pin[Held]] = []
        heap = self._by_expiry
        while heap and heap[0][0] <= now_s:
            _, _, pin = heappop(heap)
            if self._live(pin) and pin.expires_s <= now_s:
                ended += self._drop(pin.session, Outcome.EXPIRED)
        return ended

    def shares(self, session: str, prefix: Prefix) -> None:
        """What the session's pin begins with, others hold too from now on.

        Told to a pin that shares nothing yet, where it takes no room. One that comes to share more counts too much.
        """
        pin = self._pins.get(session)
        if pin is not None and pin.prefix is None and pin.blocks >= prefix.blocks:
            self._own_blocks -= prefix.blocks
            self._shared.join(prefix)
            pin.prefix = prefix

    def review_at(self, pin: Pin[Held], at_s: float) -> None:
        """Have :meth:`to_review` return the pin once, ``at_s`` or later."""
        self._made += 1
        heappush(self._by_review, (at_s, self._made, pin))
        self._compact()

    def to_review(self, now_s: float) -> Pin[Held] | None:
        """The next pin that is to be reviewed by now."""
        heap = self._by_review
        while heap and heap[0][0] <= now_s:
            _, _, pin = heappop(heap)
            if self._live(pin):
                return pin
        return None

    def victim(self, *, spared: str | None = None) -> Pin[Held] | None:
        """The pin to give up first: of the program that arrived last; the session ``spared`` comes last of all."""
        heap = self._by_program
        passed_over: tuple[float, int, Pin[Held]] | None = None
        found: Pin[Held] | None = None
        while heap and found is None:
            pin = heap[0][2]
            if not self._live(pin):
                heappop(heap)
            elif pin.session == spared and passed_over is None:
                passed_over = heappop(heap)
            else:
                found = pin
        if passed_over is not None:
            heappush(heap, passed_over)
        return found if found is not None or passed_over is None else passed_over[2]

    def _live(self, pin: Pin[Held]) -> bool:
        return self._pins.get(pin.session) is pin

    def _drop(self, session: str, outcome: Outcome) -> list[Pin[Held]]:
        pin = self._pins.pop(session, None)
        if pin is None:
            return []
        self._own_blocks -= pin.own_blocks
        self._shared.leave(pin.prefix)
        self.outcomes[outcome] += 1
        return [pin]

    def _compact(self) -> None:
        """Forget ended pins once they are the larger part of a heap, so that memory follows the live ones."""
        limit = 2 * len(self._pins) + 64
        if len(self._by_expiry) > limit:
            self._by_expiry = [entry for entry in self._by_expiry if self._current(entry)]
            heapify(self._by_expiry)
        if len(self._by_program) > limit:
            self._by_program = [entry for entry in self._by_program if self._live(entry[2])]
            heapify(self._by_program)
        if len(self._by_review) > limit:
            self._by_review = [entry for entry in self._by_review if self._live(entry[2])]
            heapify(self._by_review)

    def _current(self, entry: tuple[float, int, Pin[Held]]) -> bool:
        return self._live(entry[2]) and entry[0] == entry[2].expires_s
