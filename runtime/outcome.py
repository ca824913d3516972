"""What executing an op gives."""

from __future__ import annotations

from typing import Any, NamedTuple

from orchestrator.runtime.engines.base import FinishReason, Usage


class Outcome(NamedTuple):
    """The results of an op, and what it used."""

    values: tuple[Any, ...]
    usage: Usage | None = None
    cost_usd: float | None = None
    finish: tuple[FinishReason, ...] | None = None
    """Why each sample of a model call ended."""
