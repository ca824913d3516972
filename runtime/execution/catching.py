"""What of a region's failures may be caught, and by whom.

Caught are failures of tools, models, validation and timeouts, and what the workflow itself raises. Never caught are
cancellation, the budget of the run or of anything around the handler, a tool of which nobody knows whether it happened,
the journal, and what is wrong with how the run was started. A handler takes a failure by qualified names
(:class:`orchestrator.errors.Error`): those of the exception's class and its bases; what is no exception of the user's
has the names of the one in Python that says the same, such as ``builtins.TimeoutError``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from orchestrator.errors import BudgetError, EngineError, Error, OrchError, bases_of, qualified

if TYPE_CHECKING:
    from orchestrator.runtime.execution.model_calls.budget import Ledger

CATCHABLE: Final = frozenset(
    {
        "ORCH-R001", "ORCH-R002", "ORCH-R003", "ORCH-R004", "ORCH-R005", "ORCH-R006", "ORCH-R027", "ORCH-R031",
        "ORCH-R040", "ORCH-R041", "ORCH-R042", "ORCH-R043", "ORCH-R044", "ORCH-R046", "ORCH-R049", "ORCH-R050",
        "ORCH-R051", "ORCH-R060", "ORCH-R062",
    }
)  # fmt: skip
"""Besides the failures of engines, ``ORCH-E…``."""

_KINDS: Final[dict[str, tuple[str, type[BaseException]]]] = {
    **dict.fromkeys(("ORCH-R002", "ORCH-R003", "ORCH-R005", "ORCH-R031"), ("validation", ValidationError)),
    **dict.fromkeys(("ORCH-R004", "ORCH-E010"), ("timeout", TimeoutError)),
    "ORCH-R006": ("race", Exception),
    "ORCH-R010": ("budget", Exception),
    "ORCH-R042": ("tool", MemoryError),
    "ORCH-R051": ("validation", ValueError),
    **dict.fromkeys(("ORCH-R060", "ORCH-R062"), ("model", ConnectionError)),
    **dict.fromkeys(("ORCH-E008", "ORCH-E013", "ORCH-E019"), ("model", ConnectionError)),
}
"""It has, for each code, the word for a failure that is no exception of the user's, and what it would be in Python."""


def as_value(failure: OrchError) -> Error:
    """A failure as handlers see it."""
    if failure.raised is not None:
        return failure.raised
    first = failure.diagnostics[0]
    is_engine = isinstance(failure, EngineError) or first.code.startswith("ORCH-E")
    kind, like = _KINDS.get(first.code, ("model" if is_engine else "tool", Exception))
    own = tuple(
        name for name in (qualified(type(failure)), *bases_of(type(failure))) if name.startswith("orchestrator.")
    )
    message = first.message if first.why is None else f"{first.message}: {first.why}"
    return Error(first.code, message, kind, (*own, qualified(like), *bases_of(like)))


def is_catchable(failure: OrchError, around: Ledger) -> bool:
    """Whether any handler may take it; ``around`` is the budget of the attempt."""
    if isinstance(failure, BudgetError):
        return not any(ledger is failure.ledger for ledger in around.chain())
    return failure.code in CATCHABLE or failure.code.startswith("ORCH-E")


def handler_for(error: Error, catches: Sequence[Sequence[str]]) -> int | None:
    """Which handler takes it: the first one that names its class or a base of it, or that takes everything."""
    names = {error.kind, *error.bases}
    for number, wanted in enumerate(catches):
        if not wanted or not names.isdisjoint(wanted):
            return number
    return None
