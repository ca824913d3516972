"""What a user may set about keeping KV between turns."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Final

from orchestrator.planner.datafile import closest
from orchestrator.planner.policies import ORDERS

BY_MEMORY: Final = "memory"
"""By arrival, but for programs that would fill the memory for long: :mod:`orchestrator.runtime.kv.intake`."""
ALL_ORDERS: Final = (BY_MEMORY, *ORDERS)


@dataclass(frozen=True, slots=True)
class RetentionOptions:
    """How an engine keeps KV between turns. Raises ValueError for a value that makes no sense."""

    budget: float = 0.95
    """Share of the KV blocks that pins may hold at most."""
    ttl_s: float | None = None
    """A fixed TTL for every pause, 0 for no pins; ``None``: decided by what each pause is worth."""
    longest_ttl_s: float = 300.0
    """No pin outlives this, whatever is predicted."""
    patience_s: float = 30.0
    """After waiting for this long a turn gets memory that is pinned, one turn at a time."""
    overtaking: float = 10.0
    """Seconds by which a program may be overtaken for each second that it would fill the whole memory; 0: never."""
    order: str | None = None
    """Who goes first: ``memory``, or an order of :data:`orchestrator.planner.policies.ORDERS`; ``None``: programs with
    a deadline by least laxity, the others by memory."""
    longest_s: float = 120.0
    """By how much a program may be overtaken in one of those, whatever deadlines say."""
    hold: bool = True
    """Hold turns back until they are expected to fit."""
    guard: bool = True
    """Make no pins while predictions do worse than LRU."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.budget <= 1.0:
            raise ValueError(f"budget is {self.budget!r}: a share of the KV blocks, from 0 to 1, is expected")
        if self.order is not None and self.order not in ALL_ORDERS:
            raise ValueError(f"order is {self.order!r}: {closest(self.order, ALL_ORDERS)}")
        for name in ("ttl_s", "longest_ttl_s", "longest_s", "patience_s", "overtaking"):
            value = getattr(self, name)
            if value is not None and not (value >= 0.0 and isfinite(value)):
                raise ValueError(f"{name} is {value!r}: 0 or more is expected")
