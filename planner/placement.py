"""Exact placement: which op runs in which pool, with which engine configuration, and how many replicas of each.

One mixed-integer program (``solver/formulate.py``) decides assignment, parallelism, aggregation or prefill and decode
apart, batch caps and replicas together, under an SLA along the critical path, capacities, memory, links, a budget and
a rate. An answer comes with the bound that proves it.

>>> gpu = Pool("gpu", "h100-sxm", count=2, usd_per_device_hour=1.0)
>>> cpu = Pool("cpu", "x86", count=8, usd_per_device_hour=0.1)
>>> ways = (Choice("gpu", seconds=1.0, busy_s=1.0), Choice("cpu", seconds=5.0, busy_s=5.0))
>>> problem = Problem((gpu, cpu), (Configuration("gpu", "gpu"), Configuration("cpu", "cpu")), (Op("answer", ways),))
>>> solve(problem, "latency").assignment["answer"].configuration
'gpu'
>>> solve(problem, "cost").assignment["answer"].configuration
'cpu'

``tests/planner/test_placement*.py`` hold it against brute force.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.errors import PlanError
from orchestrator.planner.solver.check import check
from orchestrator.planner.solver.problem import (
    Choice,
    Configuration,
    Link,
    Mode,
    Objective,
    Op,
    Pool,
    Problem,
    Transfer,
    Workload,
)
from orchestrator.planner.solver.solution import Alternative, Conflict, Solution
from orchestrator.planner.solver.unknown import without_unknown

if TYPE_CHECKING:
    from orchestrator.planner.solver.search import Effort

__all__ = [
    "Alternative",
    "Choice",
    "Configuration",
    "Conflict",
    "Link",
    "Mode",
    "Objective",
    "Op",
    "Pool",
    "Problem",
    "Solution",
    "Transfer",
    "Workload",
    "alternatives",
    "explain_infeasible",
    "pareto",
    "solve",
]


def solve(
    problem: Problem,
    objective: Objective = "cost",
    *,
    gap: float = 0.01,
    time_limit_s: float = 60.0,
    leave_out_unknown: bool = False,
) -> Solution:
    """The best plan, proved within a relative ``gap`` unless time runs out first (``Solution.gap`` says).

    ``cost`` is USD per hour of the replicas at the workload's rate, or USD of device time per run where it has none.
    ``leave_out_unknown`` leaves out pools and links with an unknown price (or power, for ``energy``) and names them in
    ``Solution.left_out``; otherwise one is an error. Raises :class:`PlanError`: P040 to P044 for a problem that is
    none, P045 and P046 for an unknown price or power, P047 with the conflict where no plan keeps all limits, P048
    where time ran out without a plan, P049 where nothing bounds the throughput.
    """
    from orchestrator.planner.solver.search import search

    usable, left_out = _prepared(problem, objective, priced=False, leave_out=leave_out_unknown)
    found = search(usable, objective, _effort(gap, time_limit_s), left_out=left_out)
    if found is None:
        raise _no_plan(usable, time_limit_s)
    return found


def pareto(
    problem: Problem,
    points: int = 5,
    *,
    gap: float = 0.01,
    time_limit_s: float = 60.0,
    leave_out_unknown: bool = False,
) -> tuple[Solution, ...]:
    """The front of cost against latency, fastest first: at most ``points`` plans, none better than another in both.

    An epsilon constraint on latency, spaced evenly between the fastest and the cheapest plan. Raises
    :class:`PlanError` as :func:`solve` does, and ORCH-P051 for fewer than 2 points.
    """
    from orchestrator.planner.solver.search import search

    if points < 2:
        raise PlanError("ORCH-P051", f"`points` is {points}", why="a front has two ends", fix="ask for 2 or more")
    usable, left_out = _prepared(problem, "cost", priced=True, leave_out=leave_out_unknown)
    effort = _effort(gap, time_limit_s)
    quickest = search(usable, "latency", effort)
    if quickest is None:
        raise _no_plan(usable, time_limit_s)
    fastest = _cheapest(usable, quickest.seconds, effort, left_out) or quickest
    front = [fastest]
    cheapest = search(usable, "cost", effort, left_out=left_out)
    if cheapest is not None:
        span = cheapest.seconds - fastest.seconds
        for step in range(1, points - 1):
            within_s = fastest.seconds + span * step / (points - 1)
            found = _cheapest(usable, within_s, effort, left_out)
            front += [found] if found is not None else []
        front.append(cheapest)
    return _not_dominated(front)


def explain_infeasible(problem: Problem, *, time_limit_s: float = 60.0) -> Conflict | None:
    """The smallest set of limits no plan keeps together, or ``None`` where some plan keeps all.

    Raises :class:`PlanError` for a problem that is none (P040 to P046).
    """
    from orchestrator.planner.solver.conflict import conflict

    objective: Objective = "latency"
    usable, _ = _prepared(problem, objective, priced=False, leave_out=False)
    return conflict(usable, time_limit_s)


def alternatives(
    problem: Problem, solution: Solution, k: int = 3, *, gap: float = 0.01, time_limit_s: float = 60.0
) -> tuple[Alternative, ...]:
    """The ``k`` best plans that differ where it matters, best first, each with why it lost.

    The decision that matters is which configurations carry the plan: those with a share of its objective of a
    twentieth or more. Each search forbids using all those of ``solution`` together, and then those of each
    alternative found, so that what comes next is the best plan of what is left.
    """
    from orchestrator.planner.solver.alternatives import rejected

    objective = solution.objective
    usable, left_out = _prepared(problem, objective, priced=False, leave_out=bool(solution.left_out))
    return rejected(usable, solution, k, _effort(gap, time_limit_s), left_out)


def _prepared(
    problem: Problem, objective: Objective, *, priced: bool, leave_out: bool
) -> tuple[Problem, tuple[str, ...]]:
    check(problem)
    return without_unknown(problem, objective, priced=priced, leave_out=leave_out)


def _effort(gap: float, time_limit_s: float) -> Effort:
    from orchestrator.planner.solver.search import Effort

    for name, value in (("gap", gap), ("time_limit_s", time_limit_s)):
        if not 0 <= value < float("inf"):
            raise PlanError("ORCH-P051", f"`{name}` is {value:g}", why="it must be a finite number, 0 or more")
    return Effort(gap, time_limit_s)


def _no_plan(problem: Problem, time_limit_s: float) -> PlanError:
    from orchestrator.planner.solver.conflict import conflict

    found = conflict(problem, time_limit_s)
    if found is None:
        return PlanError("ORCH-P047", "no plan keeps all limits", why="and each of them alone can be kept")
    return PlanError(
        "ORCH-P047", f"no plan keeps these limits together: {', '.join(found.limits)}", why=found.why, fix=found.fix
    )


def _cheapest(problem: Problem, within_s: float, effort: Effort, left_out: tuple[str, ...]) -> Solution | None:
    """The fastest of the cheapest plans within ``within_s``."""
    from orchestrator.planner.solver.search import search

    problem = replace(problem, workload=replace(problem.workload, sla_s=within_s))
    return search(problem, "cost", effort, left_out=left_out)


def _not_dominated(front: list[Solution]) -> tuple[Solution, ...]:
    kept: list[Solution] = []
    for each in sorted(front, key=lambda one: (one.seconds, one.value)):
        if not kept or each.value < kept[-1].value * (1 - 1e-9):
            kept.append(each)
    return tuple(kept)
