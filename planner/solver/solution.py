"""What the solver answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.planner.solver.evaluate import Usage
from orchestrator.planner.solver.problem import Choice, Objective


@dataclass(frozen=True, slots=True)
class Share:
    """The part of an op's executions that one choice takes."""

    choice: Choice
    share: float


@dataclass(frozen=True, slots=True)
class Solution:
    """A plan with its proof. All figures follow from ``shares`` and ``replicas``, and the ways that bytes take."""

    objective: Objective
    value: float
    """USD/h at a rate or USD per run alone (cost), s (latency), runs/s (throughput), J per run (energy)."""
    bound: float
    """Proved: no plan is better than this."""
    shares: Mapping[str, tuple[Share, ...]]
    """It has the choices that each op uses, largest share first; without a rate one each."""
    replicas: Mapping[str, int]
    """It has the replicas of the configurations that are used."""
    seconds: float
    """They are those of a run along the critical path, with the slowest choice that each op uses."""
    critical_path: tuple[str, ...]
    usd_per_hour: float | None
    """``None``: a price is unknown."""
    usd_per_run: float | None
    joules_per_run: float | None
    throughput_per_s: float
    """Runs the replicas and links can carry at the planned utilisation."""
    usage: tuple[Usage, ...]
    left_out: tuple[str, ...]
    """Pools and links that were not considered because a figure of theirs is unknown."""
    solve_s: float
    open_because: str | None = None
    """Why the gap is larger than was asked for; ``None`` where the plan is as good as was asked."""

    @property
    def assignment(self) -> Mapping[str, Choice]:
        """The choice that takes most of each op."""
        return {op: shares[0].choice for op, shares in self.shares.items()}

    @property
    def gap(self) -> float:
        """Proved distance to the best plan, relative to the value."""
        return abs(self.value - self.bound) / max(abs(self.value), 1e-12)

    @property
    def binding(self) -> tuple[str, ...]:
        """Limits of which the plan uses all there is."""
        return tuple(dict.fromkeys(each.name for each in self.usage if each.binds))


@dataclass(frozen=True, slots=True)
class Alternative:
    """A plan that lost, and why."""

    solution: Solution
    without: tuple[str, ...]
    """Configurations of the chosen plan it does without."""
    instead: tuple[str, ...]
    """Configurations it uses and the chosen plan does not."""
    worse_by: float
    """Of the objective, relative to the chosen plan; 0 where it is a tie."""
    why: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Limits no plan keeps together, while without any one of them there is a plan that keeps the others."""

    limits: tuple[str, ...]
    smallest: bool
    """Whether no conflict has fewer members; false where time ran out before that was proved."""
    why: str
    fix: str
