"""One exact search: warm start, program, proof, and the plan read back from it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.errors import PlanError
from orchestrator.planner.solver import evaluate
from orchestrator.planner.solver.bounds import windows
from orchestrator.planner.solver.formulate import Model, fitting, formulate
from orchestrator.planner.solver.incumbent import incumbent
from orchestrator.planner.solver.instance import Instance, instance
from orchestrator.planner.solver.neighbours import Rules
from orchestrator.planner.solver.point import picks_of, point_of, rate_of
from orchestrator.planner.solver.problem import Objective, Problem
from orchestrator.planner.solver.program import run
from orchestrator.planner.solver.solution import Solution

STEPS_PER_OP = 100
"""Of the warm start: about a tenth of a second for 60 ops."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How close to the optimum to prove, and for how long to try."""

    gap: float
    time_limit_s: float


def search(
    problem: Problem,
    objective: Objective,
    effort: Effort,
    *,
    left_out: tuple[str, ...] = (),
    most_usd: float | None = None,
    cut: Callable[[Model], None] | None = None,
    start: Sequence[int] | None = None,
) -> Solution | None:
    """The best plan of a checked problem without unknown figures; ``None`` where there is none.

    ``cut`` may add rows, ``start`` is a plan that is known to be allowed. Raises :class:`PlanError` ORCH-P048 when time
    runs out before any plan was found, ORCH-P049 when nothing bounds the throughput.
    """
    began = time.perf_counter()
    of = instance(problem)
    rate = problem.workload.sizing_per_s
    if objective == "throughput" and not any(max(option.need) for _, _, option in of.choices()):
        raise PlanError(
            "ORCH-P049",
            "nothing bounds the throughput",
            why="no op occupies a device: every `busy_s` is 0",
            fix="give the seconds of a replica that an execution takes, or choose another objective",
        )
    found = [*start] if start is not None else None
    if found is None and cut is None and most_usd is None and objective != "throughput":
        found = _warm(of, objective, rate)
    least = _value(of, objective, found, rate) if found is not None else None
    model = formulate(of, objective, most_usd=most_usd, least=least)
    if cut is not None:
        cut(model)
    values = point_of(model, found, rate) if found is not None and objective != "throughput" else None
    answer = run(model.program, gap=effort.gap, time_limit_s=effort.time_limit_s, start=values)
    if answer.infeasible:
        return None
    if answer.values is None:
        raise PlanError(
            "ORCH-P048",
            f"no plan was found within {effort.time_limit_s:g} s, nor a proof that there is none",
            fix="allow more time, or offer fewer configurations per op",
        )
    picks = picks_of(model, answer.values)
    reached = rate_of(model, picks, answer.values) if objective == "throughput" else rate
    bound = answer.bound * model.scale * (-1.0 if objective == "throughput" else 1.0)
    return solution(of, objective, picks, reached, bound, left_out, time.perf_counter() - began)


def _warm(of: Instance, objective: Objective, rate: float | None) -> list[int] | None:
    load = of.problem.workload
    allowed = fitting(of)
    found = windows(of, allowed)
    if load.sla_s is not None:
        for o, c, option in of.choices():
            allowed[o][c] &= found.through(o, option) <= load.sla_s
    rules = Rules(objective, allowed, found, rate, load.sla_s, load.budget_usd_per_hour)
    return incumbent(of, rules, STEPS_PER_OP * len(of.ops))


def _value(of: Instance, objective: Objective, picks: list[int], rate: float | None) -> float | None:
    count = evaluate.replicas(of, picks, rate)
    match objective:
        case "latency":
            return evaluate.timing(of, picks).seconds
        case "energy":
            return evaluate.joules_per_run(of, picks)
        case "cost" if rate is not None:
            return evaluate.usd_per_hour(of, picks, count, rate)
        case "cost":
            return evaluate.usd_per_run(of, picks, count, rate)
        case "throughput":
            return rate


def solution(
    of: Instance,
    objective: Objective,
    picks: list[int],
    rate: float | None,
    bound: float,
    left_out: tuple[str, ...],
    solve_s: float,
) -> Solution:
    """Everything that follows from the choices; replicas are the fewest that carry the rate."""
    count = evaluate.replicas(of, picks, rate)
    timed = evaluate.timing(of, picks)
    value = _value(of, objective, picks, rate)
    assert value is not None
    # A bound that rounding put on the wrong side of the plan it bounds would read as a negative gap.
    bound = max(bound, value) if objective == "throughput" else min(bound, value)
    return Solution(
        objective=objective,
        value=value,
        bound=bound,
        assignment={op.id: option.choice for op, option in zip(of.ops, evaluate.picked(of, picks), strict=True)},
        replicas={of.configurations[k].name: number for k, number in sorted(count.items())},
        seconds=timed.seconds,
        critical_path=tuple(of.ops[o].id for o in timed.path),
        usd_per_hour=evaluate.usd_per_hour(of, picks, count, rate),
        usd_per_run=evaluate.usd_per_run(of, picks, count, rate),
        joules_per_run=evaluate.joules_per_run(of, picks),
        throughput_per_s=evaluate.sustained_per_s(of, picks, count),
        usage=evaluate.usage(of, picks, count, rate),
        left_out=left_out,
        solve_s=solve_s,
    )


def picks_in(of: Instance, of_solution: Solution) -> list[int] | None:
    """A solution's choices by position in another instance of the same ops; ``None`` where one is missing there."""
    picks = []
    for op, options in zip(of.ops, of.options, strict=True):
        wanted = of_solution.assignment[op.id]
        at = next((c for c, option in enumerate(options) if option.choice == wanted), None)
        if at is None:
            return None
        picks.append(at)
    return picks


def is_better(objective: Objective, one: float, other: float) -> bool:
    """Whether a value beats another."""
    return one > other if objective == "throughput" else one < other and not math.isclose(one, other)
