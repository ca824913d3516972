"""A placement program, and where its variables stand."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.planner.solver.instance import Instance, Option
from orchestrator.planner.solver.program import Program


@dataclass
class Model:
    """A program, and where its variables stand."""

    program: Program
    of: Instance
    splits: bool
    """Whether an op's executions may spread over several choices."""
    w: list[list[int]] = field(default_factory=list)
    """Columns of the shares by op and choice; for the objective throughput they are shares times the rate."""
    r: list[int] = field(default_factory=list)
    """Columns of the replicas by configuration."""
    rate: int | None = None
    flows: dict[int, dict[tuple[int, int], int]] = field(default_factory=dict)
    """Columns by edge and pools."""
    levels: list[list[tuple[float, int]]] = field(default_factory=list)
    """By op: seconds, and the column that says whether a choice of so many seconds or more is used."""
    here: dict[tuple[int, int, bool], int] = field(default_factory=dict)
    """Columns that say whether an op uses a pool; the flag leaves choices out that hold both halves of a call."""
    delays: dict[int, int] = field(default_factory=dict)
    """Columns by edge: the slowest way of a transfer that is used, in units of ``unit_s``."""
    used: dict[str, int] = field(default_factory=dict)
    """Columns that say whether a configuration is used, where a cut needed to know."""
    starts: list[int] = field(default_factory=list)
    end: int | None = None
    unit_s: float = 1.0
    """Seconds of one unit of ``starts`` and ``end``."""
    scale: float = 1.0
    """Objective of one unit of the program's cost."""

    @property
    def most(self) -> float:
        """The largest value of a column in ``w``: all of an op's executions."""
        return 1.0 if self.rate is None else self.program.upper[self.rate]

    def stays(self, edge: int, option: Option) -> bool:
        """Whether the option keeps both halves of a call in one engine, so that the transfer has no flow for it."""
        aggregated = self.of.configurations[option.configuration].mode == "aggregated"
        return aggregated and self.of.edges[edge].transfer.pair
