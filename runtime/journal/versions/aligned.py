"""Which structured op of a program is which one of an earlier version of it.

A structured op's key is its kind and which one of its region it is, so that an edit inside of it changes nothing. Where
one was put in front of another, or taken away, the numbers move. So the structured ops of a region are paired in their
order such that those which do most of the same belong together: as two texts are compared line by line. Of an earlier
version only what was executed is known, so of those that have as much in common it is the one with the same number.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from orchestrator.runtime.program.program import Region

STRUCTURED: Final = frozenset({"branch", "switch", "loop", "map", "race", "attempt"})
_NUMBERS: Final = re.compile(r"#\d+|\[\d+\]")
_KEY: Final = re.compile(r"[^.\[#]+")


@dataclass(slots=True)
class Shape:
    """What a region consists of."""

    leaves: Counter[str] = field(default_factory=Counter)
    """How many ops there are of each meaning that have no regions."""
    inner: dict[str, dict[str, Shape]] = field(default_factory=dict)
    """It has, by structured op, its regions by what leads there behind its key."""

    def all_leaves(self) -> Counter[str]:
        """Those of the regions inside, too."""
        found = Counter(self.leaves)
        for regions in self.inner.values():
            for each in regions.values():
                found += each.all_leaves()
        return found


def own_key(key: str) -> str:
    """A key without which one of its region it is."""
    return key.partition("~")[0]


def shape_of_region(region: Region) -> Shape:
    """The shape of a region of a program."""
    shape = Shape()
    for op in region.ops():
        if op.bodies:
            inner = shape.inner.setdefault(op.key, {})
            for body in op.bodies:
                inner[f".{body.name}" if body.name else ""] = shape_of_region(body.region)
        elif op.key:
            shape.leaves[own_key(op.key)] += 1
    return shape


def shape_of_paths(paths: Iterable[str]) -> Shape:
    """The shape of a program of which only paths in a journal are known: of what was executed of it."""
    shape = Shape()
    seen: set[str] = set()
    for path in paths:
        static = static_path(path)
        if static in seen:
            continue
        seen.add(static)
        *frames, last = static.split("/")
        at = shape
        for part in frames:
            key = key_of_part(part)
            at = at.inner.setdefault(key, {}).setdefault(part[len(key) :], Shape())
        if last and own_key(key_of_part(last)) not in STRUCTURED:
            at.leaves[own_key(key_of_part(last))] += 1
    return shape


def static_path(path: str) -> str:
    """A path without the numbers of turns and items."""
    return _NUMBERS.sub("", path) if "[" in path or "#" in path else path


def key_of_part(part: str) -> str:
    """The key that a part of a path begins with."""
    found = _KEY.match(part)
    return found[0] if found else part


class Alignment:
    """Frames of an earlier program as frames of this one."""

    def __init__(self, earlier: Shape, now: Shape) -> None:
        self._same: set[str] = set()
        """Static frames that are what they were."""
        self._keys: dict[str, str] = {}
        """It has, by the static path of a structured op of the earlier program, the key that it has now."""
        self._align(earlier, now, "")

    def frame(self, frame: str) -> str | None:
        """The frame that this one is now; None where it is none any more."""
        of_all = static_path(frame)
        if of_all in self._same:
            return frame
        found, static = "", ""
        for part in frame.split("/")[:-1]:
            key = key_of_part(part)
            now = self._keys.get(static + key)
            if now is None:
                return None
            found += f"{now}{part[len(key) :]}/"
            static += f"{_NUMBERS.sub('', part)}/"
        if found == frame:
            self._same.add(of_all)
        return found

    def _align(self, earlier: Shape, now: Shape, path: str) -> None:
        for kind in STRUCTURED:
            before = [key for key in earlier.inner if own_key(key) == kind]
            after = [key for key in now.inner if own_key(key) == kind]
            for old, new in _pairs(earlier, sorted(before, key=_number), now, sorted(after, key=_number)):
                self._keys[path + old] = new
                for part, inner in earlier.inner[old].items():
                    if part in now.inner[new]:
                        self._align(inner, now.inner[new][part], f"{path}{old}{part}/")


def _number(key: str) -> int:
    return int(key.partition("~")[2] or 1)


def _pairs(earlier: Shape, before: Sequence[str], now: Shape, after: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs, in order, that have most in common. It takes the product of their numbers, which are a region's."""
    old = [_everything(earlier.inner[key]) for key in before]
    new = [_everything(now.inner[key]) for key in after]
    best: list[list[tuple[int, int]]] = [[(0, 0)] * (len(after) + 1) for _ in range(len(before) + 1)]
    for i in range(len(before) - 1, -1, -1):
        for j in range(len(after) - 1, -1, -1):
            common, is_same = (old[i] & new[j]).total(), before[i] == after[j]
            taken = (best[i + 1][j + 1][0] + common, best[i + 1][j + 1][1] + is_same)
            best[i][j] = max(taken, best[i + 1][j], best[i][j + 1])
    found, i, j = [], 0, 0
    while i < len(before) and j < len(after):
        if best[i][j] == best[i + 1][j]:
            i += 1
        elif best[i][j] == best[i][j + 1]:
            j += 1
        else:
            found.append((before[i], after[j]))
            i, j = i + 1, j + 1
    return found


def _everything(regions: dict[str, Shape]) -> Counter[str]:
    found: Counter[str] = Counter()
    for each in regions.values():
        found += each.all_leaves()
    return found
