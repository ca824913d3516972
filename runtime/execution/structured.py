"""An attempt at an op that has regions inside of it, and executing those."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.runtime.execution.dataflow import Dataflow
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.frame import Frame
from orchestrator.runtime.execution.model_calls.budget import Ledger
from orchestrator.runtime.execution.outcome import Tally
from orchestrator.runtime.program.program import Body, Op
from orchestrator.runtime.program.specs import Structure


@dataclass(frozen=True, slots=True)
class Structured:
    """One attempt at a structured op."""

    flow: Dataflow
    frame: Frame
    op: Op
    path: str
    """It is that of the attempt."""
    attempt: int
    ledger: Ledger
    tally: Tally = field(default_factory=Tally)

    @property
    def execution(self) -> Execution:
        """The run that it belongs to."""
        return self.flow.execution

    @property
    def spec(self) -> Structure:
        """What the op does."""
        assert isinstance(self.op.spec, Structure)
        return self.op.spec

    def captured(self, body: Body) -> list[Any]:
        """What a region inside takes from around it."""
        return [self.frame.v[slot] for slot in body.captures]

    def run(
        self, body: Body, inputs: Sequence[object], frame: str, tally: Tally, *, after: int | None = None
    ) -> Coroutine[Any, Any, Sequence[Any]]:
        """What a region inside yields in the frame that ``path`` goes on with; ``after`` is as in ``Dataflow.run``."""
        return self.flow.run(body.region, inputs, f"{self.path}{frame}", self.ledger, tally, after=after)
