"""What a run returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic

from orchestrator.cached import cached_property
from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.journal.events import Event, OpDone, Spent
from orchestrator.runtime.journal.records import OpRecord, Spending, op_records
from orchestrator.runtime.program.program import Program

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    R = TypeVar("R", default=Any)
else:
    from typing import TypeVar

    R = TypeVar("R")


@dataclass(frozen=True, repr=False)
class RunResult(Generic[R]):
    """A run that succeeded."""

    value: R
    """What the workflow returned."""
    usage: Usage
    """Tokens of all model calls, failed attempts and an interrupted earlier part of the run included."""
    cost_usd: float | None
    """None when the price of any model call is unknown."""
    seconds: float
    """Wall time of this part of the run."""
    run_id: str
    simulated: bool
    """Some reply was made up by a simulated engine."""
    _noted: Mapping[str, None] = field(repr=False)
    unsettled: tuple[str, ...]
    """Paths of tools that must run at most once and of which nobody knows whether they did: in losers of a race."""
    events: Sequence[Event] = field(repr=False)
    workflow: str
    """Its name."""
    _program: Program = field(repr=False, compare=False)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What went wrong without changing the result. Engines may still refuse the last hints until the runtime has
        closed, because a result does not wait for them."""
        return tuple(self._noted)

    @cached_property
    def ops(self) -> list[OpRecord]:
        """A record of each op that left the coordinator."""
        return op_records(self._program, self.events)

    def __getstate__(self) -> dict[str, object]:
        """Everything but the program, whose code is no part of the result."""
        return {**{name: each for name, each in vars(self).items() if name != "_program"}, "ops": self.ops}

    def __repr__(self) -> str:
        label = " simulated" if self.simulated else ""
        return f"<RunResult {self.run_id} of {self.workflow},{label} {self.seconds:.3f} s, {self.usage}>"


def run_result(
    program: Program,
    run_id: str,
    value: object,
    *,
    events: Sequence[Event],
    spending: Spending,
    seconds: float,
    simulated: bool,
    warnings: Mapping[str, None],
    unsettled: Iterable[str],
) -> RunResult:
    """The result of a run from its events; ``spending`` is that of an interrupted earlier part, and is added to."""
    for event in events:
        if isinstance(event, (OpDone, Spent)) and event.usage is not None:
            spending.add(event.usage, event.cost_usd)
    cost_usd = None if spending.unpriced else spending.cost_usd
    usage, open_ = spending.usage, tuple(unsettled)
    return RunResult(value, usage, cost_usd, seconds, run_id, simulated, warnings, open_, events, program.name, program)
