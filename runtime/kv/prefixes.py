"""Beginnings that sessions have in common, counted once: a system prompt, or the conversation that forks go on from.

Engines keep one copy of a prefix however many sessions hold it. So what a session takes of the memory is what comes
behind the part that others hold too; that part is taken once, as long as anybody holds it.

>>> shared = SharedPrefixes()
>>> system = Prefix("You are a planner.", blocks=20)
>>> shared.join(system), shared.join(system), shared.blocks
(None, None, 20)
>>> shared.leave(system), shared.blocks, shared.added_by(system)
(None, 20, 0)
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first ``blocks`` blocks of a session, of which others hold the same copy."""

    name: Hashable
    """Equal prefixes have equal names: a hash of all their tokens, say."""
    blocks: int


class SharedPrefixes:
    """Prefixes that at least one session holds. ``None`` is a session that shares nothing.

    Of two prefixes one of which continues the other, both count in full: an estimate to the safe side.
    """

    def __init__(self) -> None:
        self.blocks = 0
        """All of them have so many blocks."""
        self._holders: dict[Prefix, int] = {}

    def join(self, prefix: Prefix | None) -> None:
        """One more session holds it."""
        if prefix is not None:
            self.blocks += self.added_by(prefix)
            self._holders[prefix] = self._holders.get(prefix, 0) + 1

    def leave(self, prefix: Prefix | None) -> None:
        """One session less holds it."""
        if prefix is None:
            return
        self._holders[prefix] -= 1
        if not self._holders[prefix]:
            del self._holders[prefix]
            self.blocks -= prefix.blocks

    def __contains__(self, prefix: Prefix) -> bool:
        return prefix in self._holders

    def added_by(self, prefix: Prefix | None) -> int:
        """Blocks that a session which holds it would add to those that are held."""
        return 0 if prefix is None or prefix in self._holders else prefix.blocks


def own(blocks: int, prefix: Prefix | None) -> int:
    """Of a session's ``blocks``, those that nobody else holds."""
    return blocks if prefix is None else max(blocks - prefix.blocks, 0)
