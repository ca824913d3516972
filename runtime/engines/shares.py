"""Which of several engines takes the next call of an op, so that each takes its share of them.

A plan may spread the calls of an op over engines (:class:`orchestrator.planner.plan.Share`). Each call that is made is
owed to the engines by their shares, and whoever takes it is owed one less; the engine that is owed most is next. So
after any number of calls that choose freely, each engine has taken its share of them to within one call for each of the
others, in the same order every time. Calls that cannot choose, as they continue what an engine has, count all the same,
and those that can make up for them. Engines that are down are owed nothing for what the others take.

>>> deficits, both = Deficits([("large", 0.75), ("small", 0.25)]), ["large", "small"]
>>> for _ in range(4):
...     engine = deficits.next(both)
...     deficits.took(engine, both)
...     print(engine)
large
large
small
large
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

MOST_OWED: Final = 100.0
"""Calls that an engine may be owed: what a long run has taken without a choice is not made up for by thousands."""


class Deficits:
    """What engines are owed of the calls of one op, in calls."""

    def __init__(self, shares: Sequence[tuple[str, float]]) -> None:
        """``shares``: names of engines and their positive shares, of which the first goes first where all is even."""
        self._shares = dict(shares)
        self._owed = dict.fromkeys(self._shares, 0.0)

    def next(self, offered: Collection[str]) -> str:
        """The engine, of those ``offered``, that should take the next call. Raises ValueError where there is none."""
        total = sum(self._shares[name] for name in self._shares if name in offered)
        return max(
            (name for name in self._shares if name in offered),
            key=lambda name: self._owed[name] + self._shares[name] / total,
        )

    def took(self, engine: str, offered: Collection[str]) -> None:
        """A call of those that engines ``offered`` could take went to ``engine``."""
        total = sum(self._shares[name] for name in self._shares if name in offered)
        for name in self._shares:
            if name in offered:
                self._owed[name] = min(self._owed[name] + self._shares[name] / total, MOST_OWED)
        self._owed[engine] = max(self._owed[engine] - 1.0, -MOST_OWED)
