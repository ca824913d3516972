"""Regions under construction: what of a trace belongs to one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from orchestrator.dsl.tracing.order import Effect, Order
from orchestrator.errors import SourceLoc

Effects = tuple[bool, bool, bool, bool, bool]

_OTHERS: Final[Mapping[str, Effect]] = {"ask": "write", "sleep": "write", "fail": "read"}
"""Nothing is written behind a failure, and what was written before it stays."""


class Taken(NamedTuple):
    """How an op counts in the order of effects."""

    effect: Effect | None = None
    sleeps: bool = False
    """Whether model calls behind it wait for it, too."""
    asks: bool = False
    """Whether it asks a model."""


class Scope:
    """A region under construction; its values may be used until it is closed."""

    __slots__ = (
        "asks", "closed", "fails", "inner", "is_tried", "made", "name", "once", "order", "outer", "raises", "reads",
        "sleeps", "writes",
    )  # fmt: skip

    def __init__(self, name: str, outer: Scope | None = None) -> None:
        self.name = name
        self.outer = outer
        self.closed = False
        self.raises = False
        """Whether something in it always raises, so that what comes behind never runs."""
        self.is_tried = False
        """Whether it is the block of a `try`, which handles what is raised directly in it."""
        self.made: dict[int, object] = {}
        """Lists and dicts that were made in it, by identity: nobody outside of it has them."""
        self.order = Order()
        """The order of the effects that are in it so far."""
        self.writes = False
        """Whether something in it, or in a region in it, writes."""
        self.reads = False
        """Whether something in it, or in a region in it, observes the world."""
        self.fails = False
        """Whether something in it, or in a region in it, fails on purpose."""
        self.sleeps = False
        """Whether something in it, or in a region in it, sleeps, unless that is an arm of a race."""
        self.asks = False
        """Whether something in it, or in a region in it, asks a model."""
        self.once: dict[SourceLoc, str] = {}
        """Calls in it of tools that must run at most once, by where."""
        self.inner: list[Scope] = []
        """Regions of the op that is traced now."""
        if outer is not None:
            outer.inner.append(self)

    def take_effect(self, kind: str, attrs: Mapping[str, object], *, has_regions: bool) -> Taken:
        """How the op that is traced now counts in the order of effects; the region counts what it does.

        A region that may fail on purpose holds up whatever is ordered behind it: of two failures the first one counts.
        """
        if kind == "arm":
            return Taken()
        if has_regions:
            writes, reads = any(inner.writes for inner in self.inner), any(inner.reads for inner in self.inner)
            fails, asks = any(inner.fails for inner in self.inner), any(inner.asks for inner in self.inner)
            sleeps = kind != "race" and any(inner.sleeps for inner in self.inner)
            effect: Effect | None = "write" if writes or fails or sleeps else "read" if reads else None
        else:
            effect = _effect(kind, attrs)
            fails, sleeps, asks = kind == "fail", kind == "sleep", kind == "generate"
            writes, reads = effect == "write" and not sleeps, effect == "read"
        self.writes |= writes
        self.reads |= reads
        self.fails |= fails
        self.sleeps |= sleeps
        self.asks |= asks
        return Taken(effect, sleeps, asks)

    @property
    def in_order(self) -> bool:
        """Whether what it does is to be done once after the other: it writes, or sleeps."""
        return self.writes or self.sleeps

    @property
    def effects(self) -> Effects:
        """Whether something in it writes, reads, fails on purpose, sleeps, and asks."""
        return self.writes, self.reads, self.fails, self.sleeps, self.asks

    @effects.setter
    def effects(self, effects: Effects) -> None:
        self.writes, self.reads, self.fails, self.sleeps, self.asks = effects

    def take_once(self) -> dict[SourceLoc, str]:
        """The calls in the regions of the op that is traced now, which are calls in this region too."""
        inside = {where: tool for scope in self.inner for where, tool in scope.once.items()}
        self.inner.clear()
        self.once |= inside
        return inside


def _effect(kind: str, attrs: Mapping[str, object]) -> Effect | None:
    """How an op without regions counts."""
    if kind in ("tool", "retrieve"):
        effects = attrs["effects"]
        return None if effects == "pure" else "read" if effects == "reads" else "write"
    return _OTHERS.get(kind)
