"""Paged KV memory with a prefix cache: blocks, shared prefix units, least-recently-used eviction, pins.

Blocks are *free*, *private* to a request, or in a *unit*: the KV of ``unit_tokens`` tokens under a prefix id. A unit
that some request uses cannot be evicted; one that nobody uses stays, oldest use first out, until its blocks are needed.
A pin keeps an unused unit from eviction until it expires; it yields (soonest to expire first) rather than make a
running request give up its memory. ``free + private + sum of units == total`` always holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush


class Unit:
    """One cached prefix unit."""

    __slots__ = ("blocks", "pinned_until_s", "uses")

    def __init__(self, blocks: int) -> None:
        self.blocks = blocks
        self.uses = 1
        self.pinned_until_s = -1.0


class BlockPool:
    """The KV blocks of one replica."""

    __slots__ = ("_pinned", "_pins", "evicted_units", "free", "idle", "idle_blocks", "total", "units", "yielded_pins")

    def __init__(self, total: int) -> None:
        self.total = total
        self.free = total
        self.units: dict[int, Unit] = {}
        self.idle: dict[int, Unit] = {}
        """Units nobody uses or pins, least recently used first."""
        self.idle_blocks = 0
        self._pins: list[tuple[float, int, int]] = []
        """When each ends, in what order it was made, and its unit."""
        self._pinned = 0
        self.evicted_units = 0
        self.yielded_pins = 0

    @property
    def available(self) -> int:
        """Blocks that :meth:`take` can give."""
        return self.free + self.idle_blocks

    @property
    def next_expiry_s(self) -> float | None:
        """When the next pin may end; ``None`` without pins."""
        return self._pins[0][0] if self._pins else None

    def take(self, count: int) -> None:
        """Turn ``count`` available blocks private, evicting as many units as that takes."""
        if self.free < count:
            idle, units = self.idle, self.units
            while self.free < count:
                key = next(iter(idle))
                blocks = idle.pop(key).blocks
                del units[key]
                self.idle_blocks -= blocks
                self.free += blocks
                self.evicted_units += 1
        self.free -= count

    def put(self, count: int) -> None:
        """Free private blocks."""
        self.free += count

    def match(self, ids: Sequence[int], most: int) -> int:
        """How many of the first ``most`` ids are cached, up to the first that is not."""
        units = self.units
        count = 0
        for key in ids[:most] if most < len(ids) else ids:
            if key not in units:
                break
            count += 1
        return count

    def idle_among(self, ids: Sequence[int]) -> int:
        """Blocks of these units that count as available now and will not once they are used."""
        idle = self.idle
        return sum(idle[key].blocks for key in ids if key in idle)

    def use(self, ids: Sequence[int]) -> None:
        """Hold cached units."""
        units, idle = self.units, self.idle
        for key in ids:
            unit = units[key]
            if not unit.uses and idle.pop(key, None) is not None:
                self.idle_blocks -= unit.blocks
            unit.uses += 1

    def share(self, key: int, blocks: int) -> None:
        """Turn private blocks into a unit that the caller holds; into free ones if somebody was first."""
        unit = self.units.get(key)
        if unit is None:
            self.units[key] = Unit(blocks)
            return
        if not unit.uses and self.idle.pop(key, None) is not None:
            self.idle_blocks -= unit.blocks
        unit.uses += 1
        self.free += blocks

    def release(self, ids: Sequence[int]) -> None:
        """Let go of units; the end of a prefix is evicted before its beginning."""
        units, idle = self.units, self.idle
        for key in reversed(ids):
            unit = units[key]
            unit.uses -= 1
            if not unit.uses and unit.pinned_until_s < 0:
                idle[key] = unit
                self.idle_blocks += unit.blocks

    def pin(self, ids: Sequence[int], until_s: float) -> None:
        """Keep units the caller holds until then; the end of a prefix loses its pin before its beginning."""
        for key in reversed(ids):
            unit = self.units[key]
            if until_s > unit.pinned_until_s:
                unit.pinned_until_s = until_s
                self._pinned += 1
                heappush(self._pins, (until_s, self._pinned, key))

    def expire(self, now: float) -> bool:
        """End the pins whose time is over; whether any was."""
        pins = self._pins
        ended = False
        while pins and pins[0][0] <= now:
            until_s, _, key = heappop(pins)
            unit = self.units.get(key)
            if unit is not None and unit.pinned_until_s == until_s:
                self._end_pin(key, unit)
                ended = True
        return ended

    def yield_pins(self, wanted: int) -> None:
        """End pins until ``wanted`` blocks are available or none is left."""
        pins = self._pins
        while pins and self.available < wanted:
            until_s, _, key = heappop(pins)
            unit = self.units.get(key)
            if unit is not None and unit.pinned_until_s == until_s:
                self._end_pin(key, unit)
                self.yielded_pins += 1

    def _end_pin(self, key: int, unit: Unit) -> None:
        unit.pinned_until_s = -1.0
        if not unit.uses:
            self.idle[key] = unit
            self.idle_blocks += unit.blocks
