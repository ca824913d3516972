"""Who is next among those who wait: tenants get equal (or weighted) shares, and nobody is forgotten.

Start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996): each tenant has a *virtual time*, the service it used
over its weight, and the tenant with the least of those that have something waiting is served next. A tenant that comes
back starts at the virtual time of whoever is being served, so being away earns nothing. Within a tenant the least key
is first, ties in order of pushing.

For two tenants that both wait all the time, shares differ by at most one charge each: ``|W1/w1 - W2/w2| <= c1/w1 +
c2/w2``, where c is the largest single charge.

>>> queue: FairQueue[str] = FairQueue()
>>> for item in ("a1", "a2", "b1"):
...     _ = queue.push(item[0], 0.0, item)
>>> [queue.charge(queue.pop()[0], 1.0) for _ in range(2)] and len(queue)
1
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")

MOST_TENANTS: Final = 10_000
"""Tenants remembered while they have nothing waiting; beyond, those that used least are forgotten."""
SPARE: Final = 32
"""Stale entries a heap may hold beyond as many as there are live ones."""


class Place(Generic[Item]):
    """A place in the queue; give it to :meth:`FairQueue.remove`."""

    __slots__ = ("item", "tenant")

    def __init__(self, tenant: str, item: Item) -> None:
        self.tenant = tenant
        self.item: Item | None = item
        """``None`` once popped or removed."""


class _Tenant(Generic[Item]):
    __slots__ = ("heap", "live", "name", "virtual", "weight")

    def __init__(self, name: str, weight: float, virtual: float) -> None:
        self.name = name
        self.weight = weight
        self.virtual = virtual
        self.heap: list[tuple[float, int, Place[Item]]] = []
        self.live = 0

    def listed_at(self, virtual: float) -> bool:
        """Whether an entry with this virtual time is up to date."""
        return self.live > 0 and virtual == self.virtual


class FairQueue(Generic[Item]):
    """Items of tenants in fair order. Every operation takes O(log n) amortised; memory follows what waits."""

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        """``weights``: shares of tenants, 1 where not said. Raises ``ValueError`` for one that is not positive."""
        self._weights = dict(weights or {})
        if any(not weight > 0 for weight in self._weights.values()):
            raise ValueError("a tenant's weight must be positive")
        self._tenants: dict[str, _Tenant[Item]] = {}
        self._order: list[tuple[float, int, _Tenant[Item]]] = []
        """Backlogged tenants by virtual time; an entry is stale when the time is not the tenant's any more."""
        self._backlogged = 0
        self._virtual = 0.0
        self._sequence = count()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def push(self, tenant: str, key: float, item: Item) -> Place[Item]:
        """Add an item; least ``key`` first within the tenant."""
        owner = self._tenant(tenant)
        place = Place(tenant, item)
        heappush(owner.heap, (key, next(self._sequence), place))
        owner.live += 1
        self._size += 1
        if owner.live == 1:
            owner.virtual = max(owner.virtual, self._virtual)
            self._backlogged += 1
            self._list(owner)
        return place

    def first(self) -> Item:
        """What :meth:`pop` would give. Raises ``IndexError`` when nothing waits."""
        heap = self._next().heap
        while (item := heap[0][2].item) is None:
            heappop(heap)
        return item

    def pop(self) -> tuple[str, Item]:
        """The next item and its tenant. Raises ``IndexError`` when nothing waits."""
        item, owner = self.first(), self._next()
        self._virtual = max(self._virtual, owner.virtual)
        _, _, place = heappop(owner.heap)
        place.item = None
        self._gone(owner)
        return owner.name, item

    def remove(self, place: Place[Item]) -> None:
        """Take an item out before its turn; does nothing if it is out already."""
        if place.item is None:
            return
        place.item = None
        owner = self._tenants[place.tenant]
        self._gone(owner)
        if len(owner.heap) > 2 * owner.live + SPARE:
            owner.heap = [entry for entry in owner.heap if entry[2].item is not None]
            heapify(owner.heap)

    def charge(self, tenant: str, cost: float) -> None:
        """Count service the tenant got; a negative ``cost`` gives back what was charged ahead."""
        owner = self._tenant(tenant)
        owner.virtual += cost / owner.weight
        if owner.live:
            self._list(owner)

    def _next(self) -> _Tenant[Item]:
        """The tenant whose turn it is."""
        while True:
            virtual, _, owner = self._order[0]
            if owner.listed_at(virtual):
                return owner
            heappop(self._order)

    def _gone(self, owner: _Tenant[Item]) -> None:
        owner.live -= 1
        self._size -= 1
        if not owner.live:
            owner.heap.clear()
            self._backlogged -= 1

    def _list(self, owner: _Tenant[Item]) -> None:
        heappush(self._order, (owner.virtual, next(self._sequence), owner))
        if len(self._order) > 2 * self._backlogged + SPARE:
            valid = {owner.name: (virtual, i, owner) for virtual, i, owner in self._order if owner.listed_at(virtual)}
            self._order = list(valid.values())
            heapify(self._order)

    def _tenant(self, name: str) -> _Tenant[Item]:
        owner = self._tenants.get(name)
        if owner is None:
            if len(self._tenants) > 2 * MOST_TENANTS + self._backlogged:
                self._forget()
            owner = self._tenants[name] = _Tenant(name, self._weights.get(name, 1.0), self._virtual)
        return owner

    def _forget(self) -> None:
        """Drop the idle tenants that used least: forgetting them costs the others least."""
        idle = sorted((each for each in self._tenants.values() if not each.live), key=lambda each: -each.virtual)
        for each in idle[MOST_TENANTS:]:
            del self._tenants[each.name]
