"""What is under way, sorted by its path, so that what is inside an op stands together.

When an op ends, that is what ends with it; to look for it among everything, for each op of a wide map, would take
quadratic time.

>>> open_ = ByPath[str]()
>>> for path in ("race_1.slow/each[3]/", "race_2.slow/", "race_10.slow/"):
...     open_.add(path, path)
>>> open_.within("race_1")
['race_1.slow/each[3]/']
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from orchestrator.runtime.journal.events import is_within

Item = TypeVar("Item", bound=tuple[Any, ...])


class ByPath(Generic[Item]):
    """Items, which can be sorted, by the path of a frame or of an op."""

    def __init__(self) -> None:
        self._sorted: list[tuple[str, Item]] = []

    def __iter__(self) -> Iterator[Item]:
        return (item for _, item in self._sorted)

    def add(self, path: str, item: Item) -> None:
        """Add an item."""
        insort(self._sorted, (path, item))

    def remove(self, path: str, item: Item) -> None:
        """Take an item out; does nothing if it is not there."""
        at = bisect_left(self._sorted, (path, item))
        if self._sorted[at : at + 1] == [(path, item)]:
            del self._sorted[at]

    def within(self, op: str) -> list[Item]:
        """The items of an op with this path, and of what is inside of it."""
        found = []
        for at in range(bisect_left(self._sorted, (op,)), len(self._sorted)):
            path, item = self._sorted[at]
            if not path.startswith(op):
                break
            if is_within(path, op):
                found.append(item)
        return found
