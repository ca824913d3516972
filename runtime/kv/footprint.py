"""Will it fit? The memory that sessions under way will need, turn by turn, until they end.

A conversation grows with every turn, so an engine that takes on as many programs as fit *now* must soon evict some of
them. What is known of each session is how much it holds and about how many turns are left; how much a turn adds is
learned. If all sessions proceed alike, k turns from now those with at least k turns left hold::

    usage(k) = sum over sessions with left >= k of (held + k * growth) + prefixes that several of them share

and one more session fits if ``usage(k)`` with it is within the memory for every k. Sessions that end soon make room for
the growth of the others, so this admits more than adding up everyone's final size, and does not have to evict later.

>>> memory = Footprint(total_blocks=100)
>>> memory.begins("s1", blocks=40, turns_left=0.0)      # leaves before the others have grown
>>> memory.begins("s2", blocks=30, turns_left=2.0)
>>> memory.fits(blocks=30, turns_left=2.0, growth=10.0), memory.fits(blocks=31, turns_left=2.0, growth=10.0)
(True, False)
"""

from __future__ import annotations

from typing import Final

from orchestrator.runtime.kv.prefixes import Prefix, SharedPrefixes, own

MOST_TURNS: Final = 64
"""Turns looked ahead; later ones count as the last of these."""
WEIGHT: Final = 0.1
"""A new observation has this weight in the mean growth."""


class Footprint:
    """Blocks and remaining turns of the sessions that hold memory."""

    def __init__(self, total_blocks: int) -> None:
        self.total_blocks = total_blocks
        self.version = 0
        """Grows whenever the answer of :meth:`fits` may have changed."""
        self.growth = 0.0
        """Blocks that a turn adds to its session, on average."""
        self._sessions: dict[str, tuple[int, int, Prefix | None]] = {}
        """Blocks, turns left and what is shared of the blocks."""
        self._shared = SharedPrefixes()
        self._held = [0] * (MOST_TURNS + 1)
        """Blocks of the sessions with so many turns left, shared prefixes left out, "..."""
        self._count = [0] * (MOST_TURNS + 1)
        """and how many sessions these are."""

    def __len__(self) -> int:
        return len(self._sessions)

    def begins(self, session: str, blocks: int, turns_left: float, prefix: Prefix | None = None) -> None:
        """The session holds memory, and will leave ``blocks`` blocks, the first of them as others do."""
        self._drop(session)
        self._add(session, blocks, _turns(turns_left), prefix)

    def holds(self, session: str, blocks: int, prefix: Prefix | None = None) -> None:
        """The session holds ``blocks`` blocks after all."""
        known = self._drop(session)
        self._add(session, blocks, 0 if known is None else known, prefix)

    def shares(self, session: str, prefix: Prefix) -> None:
        """What the session begins with, others hold too from now on."""
        blocks, left, before = self._sessions.get(session, (0, 0, None))
        if blocks >= prefix.blocks > (0 if before is None else before.blocks):
            self._drop(session)
            self._add(session, blocks, left, prefix)

    def knows(self, prefix: Prefix) -> bool:
        """Whether any session shares it."""
        return prefix in self._shared

    def grew(self, blocks: float) -> None:
        """A turn has added ``blocks`` blocks to its session."""
        self.growth += (blocks - self.growth) * (WEIGHT if self.growth else 1.0)
        self.version += 1

    def leaves(self, session: str) -> None:
        """The session holds no memory any more."""
        if self._drop(session) is not None:
            self.version += 1

    def fits(
        self, blocks: int, turns_left: float, growth: float | None = None, *, prefix: Prefix | None = None
    ) -> bool:
        """Whether a session that begins with ``blocks`` blocks fits beside the others until it ends."""
        growth = self.growth if growth is None else growth
        left = _turns(turns_left)
        in_use = self._shared.blocks + self._shared.added_by(prefix) + own(blocks, prefix)
        sessions = 1
        for turn in range(MOST_TURNS, -1, -1):
            in_use += self._held[turn]
            sessions += self._count[turn]
            if turn <= left and in_use + turn * growth * sessions > self.total_blocks:
                return False
        return True

    def _add(self, session: str, blocks: int, left: int, prefix: Prefix | None) -> None:
        self._sessions[session] = blocks, left, prefix
        self._held[left] += own(blocks, prefix)
        self._count[left] += 1
        self._shared.join(prefix)
        self.version += 1

    def _drop(self, session: str) -> int | None:
        """Forget the session; the turns that it had left."""
        known = self._sessions.pop(session, None)
        if known is None:
            return None
        blocks, left, prefix = known
        self._held[left] -= own(blocks, prefix)
        self._count[left] -= 1
        self._shared.leave(prefix)
        return left


def _turns(turns_left: float) -> int:
    return min(int(turns_left + 0.5), MOST_TURNS)
