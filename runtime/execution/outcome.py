"""What executing an op gives, and how much a journal has of it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from orchestrator.runtime.engines.base import FinishReason, Usage

WORTH_SUPERSEDING: Final = 8
"""With so many results inside of it, what a structured op, a turn or an item gives is journaled, so that they need not
be kept. With fewer it is found again from them."""


class Tally:
    """How many results the journal has of something."""

    __slots__ = ("records",)

    def __init__(self) -> None:
        self.records = 0


class Outcome(NamedTuple):
    """The results of an op, and what it used."""

    values: tuple[Any, ...]
    usage: Usage | None = None
    cost_usd: float | None = None
    finish: tuple[FinishReason, ...] | None = None
    """Why each sample of a model call ended."""
    inside: int | None = None
    """Of a structured op, how many results the journal has of what is inside."""
    engine: str | None = None
    """Which engine took a model call that several share."""
