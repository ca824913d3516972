"""How long a run still takes once an op is done, by its plan: what programs are ordered by within an engine.

Behind an op lie the longest chain of ops that follow from it in its region, half of the other iterations if that is a
loop, and the same of each region op around it. Figures are the plan's middle estimates.
"""

from __future__ import annotations

from orchestrator.planner.plan import OpPlan, Plan


def remaining_s(plan: Plan) -> dict[str, float]:
    """Expected seconds from the end of each op to the end of the run, by op id."""
    tails: dict[str, float] = {}
    for op in reversed(plan.ops):
        mine = tails.get(op.id, 0.0) + op.seconds.mid
        for earlier in op.after:
            tails[earlier] = max(tails.get(earlier, 0.0), mine)
    found: dict[str, float] = {}
    for op in plan.ops:  # a region op stands before what is inside it
        around = 0.0
        if op.parent is not None:
            parent = plan.by_id[op.parent]
            around = found[parent.id] + _other_iterations_s(parent, op)
        found[op.id] = tails.get(op.id, 0.0) + around
    return found


def _other_iterations_s(loop: OpPlan, inside: OpPlan) -> float:
    if loop.kind != "loop" or loop.count.mid <= 0:
        return 0.0
    iterations = inside.count.mid / loop.count.mid
    return loop.seconds.mid * (iterations - 1) / (2 * iterations) if iterations > 1 else 0.0
