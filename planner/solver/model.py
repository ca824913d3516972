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
    x: list[list[int]]
    r: list[int]
    flows: dict[int, dict[tuple[int, int], int]] = field(default_factory=dict)
    """Columns by edge and pools."""
    w: list[list[int]] = field(default_factory=list)
    rate_flows: dict[int, dict[tuple[int, int], int]] = field(default_factory=dict)
    rate: int | None = None
    used: dict[str, int] = field(default_factory=dict)
    """Columns that say whether a configuration is used, where a cut needed to know."""
    starts: list[int] = field(default_factory=list)
    end: int | None = None
    unit_s: float = 1.0
    """Seconds of one unit of ``starts`` and ``end``."""
    scale: float = 1.0
    """Objective of one unit of the program's cost."""

    def stays(self, edge: int, option: Option) -> bool:
        """Whether the option keeps both halves of a call in one engine, so that the transfer has no flow for it."""
        aggregated = self.of.configurations[option.configuration].mode == "aggregated"
        return aggregated and self.of.edges[edge].transfer.pair
