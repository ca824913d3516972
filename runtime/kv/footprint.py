"""Will it fit? The memory that sessions under way will need, turn by turn, until they end.

A conversation grows with every turn, so an engine that takes on as many programs as fit *now* must soon evict some of
them. What is known of each session is how much it holds and about how many turns are left; how much a turn adds is
learned. If all sessions proceed alike, k turns from now those with at least k turns left hold::

    usage(k) = sum over sessions with left >= k of (held + k * growth)

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

MOST_TURNS: Final = 64
"""Turns looked ahead; later ones count as the last of these."""
WEIGHT: Final = 0.1
"""Of a new observation in the mean growth."""


class Footprint:
    """Blocks and remaining turns of the sessions that hold memory."""

    def __init__(self, total_blocks: int) -> None:
        self.total_blocks = total_blocks
        self.version = 0
        """Grows whenever the answer of :meth:`fits` may have changed."""
        self.growth = 0.0
        """Blocks that a turn adds to its session, on average."""
        self._held: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def begins(self, session: str, blocks: int, turns_left: float) -> None:
        """A turn of the session begins, and will leave ``blocks`` blocks."""
        before = self._held.get(session)
        if before is not None and blocks > before[0]:
            grown = blocks - before[0]
            self.growth += (grown - self.growth) * (WEIGHT if self.growth else 1.0)
        self._held[session] = blocks, _turns(turns_left)
        self.version += 1

    def leaves(self, session: str) -> None:
        """The session holds no memory any more."""
        if self._held.pop(session, None) is not None:
            self.version += 1

    def fits(self, blocks: int, turns_left: float, growth: float | None = None) -> bool:
        """Whether a session that begins with ``blocks`` blocks fits beside the others until it ends."""
        growth = self.growth if growth is None else growth
        new_left = _turns(turns_left)
        held = [0] * (MOST_TURNS + 1)
        count = [0] * (MOST_TURNS + 1)
        for size, left in (*self._held.values(), (blocks, new_left)):
            held[left] += size
            count[left] += 1
        in_use = sessions = 0
        for turn in range(MOST_TURNS, -1, -1):
            in_use += held[turn]
            sessions += count[turn]
            if turn <= new_left and in_use + turn * growth * sessions > self.total_blocks:
                return False
        return True


def _turns(turns_left: float) -> int:
    return min(int(turns_left + 0.5), MOST_TURNS)
