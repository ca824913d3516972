"""Hard budgets: an op reserves its worst case before it starts and settles what it really used.

Ledgers form a chain, from an op's own budget over those of the structured ops around it to the run's. A reservation
must fit into every one of them; otherwise nothing is reserved and the op does not start (ORCH-R010).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.errors import SourceLoc
from orchestrator.runtime.failures import over_budget
from orchestrator.runtime.program.specs import Limits


class Need(NamedTuple):
    """What an op may spend at most."""

    tokens: int
    usd: float


class Ledger:
    """What is spent and reserved under one budget."""

    __slots__ = ("bounds_calls", "limits", "parent", "reserved_tokens", "tokens", "usd")

    def __init__(self, limits: Limits, parent: Ledger | None = None) -> None:
        self.limits = limits
        self.parent = parent
        self.tokens = 0
        self.usd = 0.0
        self.reserved_tokens = 0
        """How many of ``tokens`` are reserved and not yet used."""
        self.bounds_calls: bool = (
            limits.tokens is not None or limits.usd is not None or (parent is not None and parent.bounds_calls)
        )
        """Whether a budget of the chain bounds what model calls use."""

    def chain(self) -> Iterator[Ledger]:
        """This ledger and those around it."""
        ledger: Ledger | None = self
        while ledger is not None:
            yield ledger
            ledger = ledger.parent

    def reserve(self, what: str, need: Need, where: SourceLoc | None) -> None:
        """Take ``need`` out of every ledger of the chain, or raise ORCH-R010 and take nothing."""
        for ledger in self.chain() if self.bounds_calls else ():
            limits = ledger.limits
            if limits.tokens is not None and ledger.tokens + need.tokens > limits.tokens:
                left = max(0, limits.tokens - ledger.tokens)
                error = over_budget(what, f"{need.tokens} tokens", f"{left} tokens", ledger.reserved_tokens, where)
                error.ledger = ledger
                raise error
            if limits.usd is not None and ledger.usd + need.usd > limits.usd * (1 + 1e-9):
                left_usd = max(0.0, limits.usd - ledger.usd)
                error = over_budget(what, f"${need.usd:.6f}", f"${left_usd:.6f}", ledger.reserved_tokens, where)
                error.ledger = ledger
                raise error
        self._add(need.tokens, need.usd, need.tokens)

    def settle(self, reserved: Need, used: Need) -> None:
        """Replace a reservation by what was used."""
        self._add(used.tokens - reserved.tokens, used.usd - reserved.usd, -reserved.tokens)

    def charge_own(self, used: Need) -> None:
        """Count what an earlier part of a resumed run used; the ledgers around know it already."""
        self.tokens += used.tokens
        self.usd += used.usd

    def tokens_left(self) -> int | None:
        """Tokens that fit into every ledger of the chain; None for any number."""
        left = [led.limits.tokens - led.tokens for led in self.chain() if led.limits.tokens is not None]
        return min(left) if left else None

    def usd_left(self) -> float | None:
        """USD that fit into every ledger of the chain; None for any sum."""
        left = [led.limits.usd - led.usd for led in self.chain() if led.limits.usd is not None]
        return min(left) if left else None

    def _add(self, tokens: int, usd: float, reserved_tokens: int) -> None:
        ledger: Ledger | None = self
        while ledger is not None:
            ledger.tokens += tokens
            ledger.usd += usd
            ledger.reserved_tokens += reserved_tokens
            ledger = ledger.parent
