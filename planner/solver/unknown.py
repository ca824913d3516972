"""What to do about prices and powers nobody knows: refuse, or leave the pools out and say so. Never 0."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.errors import PlanError
from orchestrator.planner.solver.problem import Choice, Objective, Problem


def without_unknown(
    problem: Problem, objective: Objective, *, priced: bool, leave_out: bool
) -> tuple[Problem, tuple[str, ...]]:
    """The problem without choices and links whose price or energy is needed and unknown, and the names of those.

    ``priced`` says that dollars count although the objective is another one (a budget does this). Raises
    :class:`PlanError` ORCH-P045 (price) or ORCH-P046 (energy) where ``leave_out`` is false, or where it leaves an op
    without a choice.
    """
    priced = priced or objective == "cost" or problem.workload.budget_usd_per_hour is not None
    found: dict[str, str] = {}

    def known(choice: Choice) -> bool:
        pool = problem.pool_of[choice.configuration]
        if priced and pool.usd_per_device_hour is None:
            found[f"pool {pool.name!r}"] = "usd_per_device_hour"
        elif priced and choice.usd is None:
            found[f"configuration {choice.configuration!r}"] = "usd"
        elif objective == "energy" and problem.joules_per_execution(choice) is None:
            found[f"pool {pool.name!r}"] = "watts"
        else:
            return True
        return False

    ops = tuple(replace(op, choices=tuple(filter(known, op.choices))) for op in problem.ops)
    links = tuple(link for link in problem.links if not priced or link.usd_per_byte is not None)
    found |= {f"link {each.src!r} -> {each.dst!r}": "usd_per_byte" for each in problem.links if each not in links}
    if not found:
        return problem, ()
    stranded = [op.id for op in ops if not op.choices]
    if leave_out and not stranded:
        return replace(problem, ops=ops, links=links), tuple(found)
    code, what = ("ORCH-P046", "energy") if "watts" in found.values() else ("ORCH-P045", "price")
    names = ", ".join(f"`{field}` of {where}" for where, field in found.items())
    raise PlanError(
        code,
        f"an unknown {what} cannot be minimised or budgeted: {names}",
        why=f"without {'it' if len(found) == 1 else 'them'} op {stranded[0]!r} has nowhere to run"
        if stranded
        else "unknown is not 0, and a plan that counted it as 0 would prefer what may be dearest",
        fix="give the figure in the device or cluster file, or choose another objective"
        + ("" if stranded else ", or leave out what has none"),
    )
