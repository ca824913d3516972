"""What a workflow sees of the world beside its inputs: the time, and chance.

Each is a function outside of a workflow, and a tool within: its result is journaled, so a run that is resumed goes on
with the same one. They are reads, and so behind the write before them; the clock is asked behind all that is before it.
``fake(tools={"now": lambda: ...})`` gives another in a test.
"""

from __future__ import annotations

import random as _random
import uuid as _uuid
from datetime import UTC, datetime

from orchestrator.dsl.tool import tool
from orchestrator.dsl.tracing.order import EVERYTHING

__all__ = ["now", "random", "uuid"]


@tool(effects="reads", typical_s=0.0)
def now() -> datetime:
    """The time, with UTC as its zone."""
    return datetime.now(UTC)


now = now.options(after=EVERYTHING)


@tool(effects="reads", typical_s=0.0)
def random() -> float:
    """A number from 0 up to, and without, 1."""
    return _random.random()


@tool(effects="reads", typical_s=0.0)
def uuid() -> str:
    """A new random identifier, as text: ``f81d4fae-7dec-41d0-a765-00a0c91e6bf6``."""
    return str(_uuid.uuid4())
