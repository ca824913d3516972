"""The guard: when predictions do worse than plain LRU would have, be plain LRU until they are better again.

Pinning by prediction is paging with advice: evict what is said to be safe to discard first, otherwise the least
recently used. Good advice is near optimal and bad advice worse than none, so two shadow caches of the engine's size
watch the turns go by: one evicts by LRU, the other follows the predictions whether or not the engine does. (Combining
two policies by following the better one is Fiat et al. 1991 and Blum and Burch 2000; with predictions, Antoniadis et
al. 2020.) Counted are *lost* blocks, those that a session had at the end of a turn and that its next turn has to
compute again::

    excess = lost - (1 + epsilon) * lost by LRU,            but never less than -slack
    saved  = lost by LRU - (1 + epsilon) * lost as predicted,  but never less than 0

Trust ends when the excess is over ``slack``, and returns when the excess is used up and predictions have since then, in
their shadow, ``saved`` as much: a stretch over which they are clearly better.

**Bound.** For any turns and any predictions, and in any interval beginning with the first turn::

    lost <= (1 + epsilon) * lost by LRU + slack + 2 * capacity

*Proof.* Capping the excess from below only raises it, and from above it is capped at the bound. One turn loses at most
``capacity``, so when trust ends the excess is at most ``slack + capacity``. From then on the engine is LRU too, from
another state. A session that had a turn since loses a block only after ``capacity`` blocks were used after it, and then
LRU has lost that block as well; so the engine loses more only in first turns since, and there only what LRU's cache
held when trust ended, ``capacity`` in all. Trust returns at an excess of 0 or less, and the argument starts again. From
any other turn on, add another ``slack``.

It assumes that without trust the engine *is* LRU: no pins are made and those that exist are given up at once. It
compares with LRU *on the same turns in the same order*, of sessions that share no prefix and only grow; and it leaves
out the memory that running requests hold beyond their sessions' prefixes, and the replies to requests of no session.

    >>> guard = LruGuard(capacity_blocks=4)
    >>> guard.ended("s1", blocks=4, keep_s=0.0, now_s=0.0)
    >>> guard.arrived("s1", blocks=4, hit_blocks=0, now_s=1.0)  # gone, and LRU would have had it
    >>> guard.lost_blocks, guard.lru_lost_blocks, guard.trusted
    (4, 0, True)
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final

EPSILON: Final = 0.1
"""How much worse than LRU predictions may do in the long run, as a share."""
SLACK: Final = 1.0
"""How much they may do so in the short run, in caches full."""


class LruGuard:
    """Says whether predictions are to be ``trusted``, from what became of earlier ones.

    Tell it of every turn, and of all else that uses the cache: LRU would give what others take, too. O(log sessions) a
    turn; remembers at most twice as many sessions as the cache has blocks.
    """

    def __init__(self, capacity_blocks: int, *, epsilon: float = EPSILON, slack: float = SLACK) -> None:
        self.trusted = True
        self.lost_blocks = 0
        """Blocks that had to be computed again, "..."""
        self.lru_lost_blocks = 0
        """that plain LRU would have had to, "..."""
        self.predicted_lost_blocks = 0
        """and that a cache which always follows the predictions would have had to."""
        self._capacity = max(capacity_blocks, 1)
        self._slack = slack * self._capacity
        self._epsilon = epsilon
        self._excess = 0.0
        self._saved = 0.0
        self._lru = ShadowCache(self._capacity)
        self._predicted = ShadowCache(self._capacity)
        self._known: OrderedDict[str, int] = OrderedDict()

    def arrived(self, session: str, blocks: int, hit_blocks: int, now_s: float, *, repeated: int | None = None) -> None:
        """A turn whose prompt fills ``blocks`` blocks begins to run; the engine found ``hit_blocks`` of them cached.

        It begins with ``repeated`` blocks of the session's last turn, default: with all of them.
        """
        known = min(self._known.get(session, 0), blocks if repeated is None else repeated)
        lost = max(known - hit_blocks, 0)
        lru_lost = max(known - self._lru.held(session), 0)
        predicted_lost = max(known - self._predicted.held(session), 0)
        self._use(session, blocks, inf, now_s)
        self.lost_blocks += lost
        self.lru_lost_blocks += lru_lost
        self.predicted_lost_blocks += predicted_lost
        excess = self._excess + lost - (1.0 + self._epsilon) * lru_lost
        self._excess = min(max(excess, -self._slack), self._slack + 2 * self._capacity)
        self._saved = max(self._saved + lru_lost - (1.0 + self._epsilon) * predicted_lost, 0.0)
        if self.trusted and self._excess > self._slack:
            self.trusted, self._saved = False, 0.0
        elif not self.trusted and self._excess <= 0.0 and self._saved >= self._slack:
            self.trusted = True

    def ended(self, session: str, blocks: int, keep_s: float, now_s: float) -> None:
        """A turn ended and leaves ``blocks`` blocks, worth keeping for ``keep_s`` as predicted, trusted or not."""
        if blocks <= 0:
            return
        self._use(session, blocks, now_s + keep_s, now_s)
        self._known[session] = min(blocks, self._capacity)
        self._known.move_to_end(session)
        if len(self._known) > 2 * self._capacity:
            self._known.popitem(last=False)  # LRU has lost it long ago: so many sessions of a block each fill it twice

    def given_up(self, session: str) -> None:
        """No turn of the session is expected any more."""
        self._predicted.release(session)

    def reset(self) -> None:
        """The cache was emptied, and LRU's would have been."""
        self._lru, self._predicted = ShadowCache(self._capacity), ShadowCache(self._capacity)
        self._known.clear()

    def passed(self, name: str, blocks: int, now_s: float) -> None:
        """A request of no session has used ``blocks`` blocks that were not cached."""
        self._use(name, blocks, -inf, now_s)

    def _use(self, session: str, blocks: int, keep_until_s: float, now_s: float) -> None:
        self._lru.use(session, min(blocks, self._capacity), -inf, now_s)
        self._predicted.use(session, min(blocks, self._capacity), keep_until_s, now_s)


class ShadowCache:
    """What a cache would hold of each session's prefix.

    It evicts what is not to be kept before what is, the least recently used first, and a prefix from its tail. With
    nothing to be kept it is LRU.
    """

    def __init__(self, capacity_blocks: int) -> None:
        self._room = capacity_blocks
        self._idle: OrderedDict[str, int] = OrderedDict()
        self._kept: OrderedDict[str, int] = OrderedDict()
        self._until_s: dict[str, float] = {}
        self._expiries: list[tuple[float, str]] = []

    def held(self, session: str) -> int:
        """Blocks of the session's prefix that are cached."""
        return self._kept.get(session, 0) or self._idle.get(session, 0)

    def use(self, session: str, blocks: int, keep_until_s: float, now_s: float) -> None:
        """The session's prefix is now ``blocks`` long, just used, and to be kept until ``keep_until_s``."""
        if blocks <= 0:
            return
        self._expire(now_s)
        self._room += self._kept.pop(session, 0) + self._idle.pop(session, 0) - blocks
        self._until_s.pop(session, None)
        if keep_until_s > now_s:
            self._kept[session], self._until_s[session] = blocks, keep_until_s
            if keep_until_s < inf:
                heappush(self._expiries, (keep_until_s, session))
        else:
            self._idle[session] = blocks
        while self._room < 0:
            self._evict_one()

    def release(self, session: str) -> None:
        """The session's prefix is not to be kept any longer."""
        if session in self._kept:
            self._until_s.pop(session, None)
            self._idle[session] = self._kept.pop(session)

    def _evict_one(self) -> None:
        among = self._idle or self._kept
        session, blocks = next(iter(among.items()))
        cut = min(blocks, -self._room)
        self._room += cut
        if cut < blocks:
            among[session] = blocks - cut
        else:
            del among[session]
            self._until_s.pop(session, None)

    def _expire(self, now_s: float) -> None:
        if len(self._expiries) > 2 * len(self._kept) + 64:  # most are of pins that ended otherwise
            self._expiries = [(until_s, each) for until_s, each in self._expiries if self._until_s.get(each) == until_s]
            heapify(self._expiries)
        while self._expiries and self._expiries[0][0] <= now_s:
            until_s, session = heappop(self._expiries)
            if self._until_s.get(session) == until_s:
                del self._until_s[session]
                self._idle[session] = self._kept.pop(session)
