"""The best plans that differ from the chosen one where it matters, and why they lost."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.planner.solver.model import Model
from orchestrator.planner.solver.problem import Objective, Problem
from orchestrator.planner.solver.search import Effort, search
from orchestrator.planner.solver.solution import Alternative, Solution

_MATTERS = 0.05
"""Share of the objective from which on a configuration is part of the decision."""
UNITS: dict[Objective, str] = {"cost": "USD", "latency": "s", "throughput": "runs/s", "energy": "J per run"}


def rejected(
    problem: Problem, chosen: Solution, k: int, effort: Effort, left_out: tuple[str, ...]
) -> tuple[Alternative, ...]:
    """Up to ``k`` alternatives, best first; fewer where nothing else is possible."""
    forbidden = [decision(problem, chosen)]
    found: list[Alternative] = []
    while len(found) < k:
        other = search(
            problem, chosen.objective, effort, left_out=left_out, cut=lambda model: _forbid(model, forbidden)
        )
        if other is None:
            break
        found.append(_compared(problem, chosen, other))
        forbidden.append(decision(problem, other))
    return tuple(found)


def decision(problem: Problem, plan: Solution) -> frozenset[str]:
    """The configurations that carry the plan's objective, at least the heaviest."""
    weights = _weights(problem, plan)
    whole = sum(weights.values())
    heavy = {name for name, weight in weights.items() if weight >= _MATTERS * whole}
    return frozenset(heavy or {max(weights, key=weights.__getitem__)})


def _weights(problem: Problem, plan: Solution) -> dict[str, float]:
    """What each configuration adds to the objective: rent, joules, seconds on the critical path, or load."""
    weights = dict.fromkeys(plan.replicas, 0.0)
    for op_id, part in ((op_id, part) for op_id, shares in plan.shares.items() for part in shares):
        op, choice = problem.op[op_id], part.choice
        match plan.objective:
            case "latency":
                added = op.rounds * choice.seconds if op_id in plan.critical_path else 0.0
            case "energy":
                added = op.executions * (problem.joules_per_execution(choice) or 0.0)
            case "throughput":
                added = op.executions * choice.busy_s * problem.configuration[choice.configuration].devices
            case "cost":
                added = op.executions * (problem.usd_per_execution(choice) or 0.0)
        weights[choice.configuration] += part.share * added
    if plan.objective == "cost" and problem.workload.sizing_per_s is not None:
        for name, count in plan.replicas.items():
            price = problem.pool_of[name].usd_per_device_hour or 0.0
            weights[name] = count * problem.configuration[name].devices * price
    return weights


def _forbid(model: Model, forbidden: Sequence[frozenset[str]]) -> None:
    """For each set, at least one of its configurations is not used at all."""
    program, of = model.program, model.of
    used = model.used
    for name in sorted(frozenset().union(*forbidden)):
        used[name] = program.column(0.0, 1.0, integer=True)
    for o, c, option in of.choices():
        name = option.choice.configuration
        if name in used:
            program.row([(model.w[o][c], 1.0), (used[name], -model.most)], upper=0.0)
    for each in forbidden:
        program.row([(used[name], 1.0) for name in sorted(each)], upper=len(each) - 1.0)


def _compared(problem: Problem, chosen: Solution, other: Solution) -> Alternative:
    without = tuple(name for name in chosen.replicas if name not in other.replicas)
    instead = tuple(name for name in other.replicas if name not in chosen.replicas)
    loss = chosen.value - other.value if chosen.objective == "throughput" else other.value - chosen.value
    worse_by = max(0.0, loss / max(abs(chosen.value), 1e-12))
    return Alternative(other, without, instead, worse_by, _why(problem, chosen, other, worse_by))


def _why(problem: Problem, chosen: Solution, other: Solution, worse_by: float) -> str:
    """One sentence: by how much it is worse, what it gains, and what it runs into."""
    unit = UNITS[chosen.objective]
    if chosen.objective == "cost":
        unit = "USD/h" if problem.workload.sizing_per_s is not None else "USD per run"
    lost = f"{other.value:.4g} {unit} against {chosen.value:.4g}" + (
        f", {100 * worse_by:.2g} % worse" if worse_by > 1e-6 else ", no better"
    )
    gains = []
    if chosen.objective != "latency" and other.seconds < chosen.seconds * (1 - 1e-6):
        gains.append(f"{chosen.seconds - other.seconds:.3g} s faster")
    if (
        chosen.objective != "cost"
        and other.usd_per_run is not None
        and chosen.usd_per_run is not None
        and other.usd_per_run < chosen.usd_per_run * (1 - 1e-6)
    ):
        gains.append(f"{100 * (1 - other.usd_per_run / chosen.usd_per_run):.2g} % cheaper per run")
    bound = [name for name in other.binding if name not in chosen.binding]
    parts = [lost, f"though {' and '.join(gains)}" if gains else "", f"held by {', '.join(bound)}" if bound else ""]
    return "; ".join(part for part in parts if part)
