"""A plan's ops as one flat graph: which op with work of its own waits for which, whatever regions they are in.

Bookkeeping takes no time and is passed through; a region waits for what its values wait for and ends with the ops
inside that nothing inside waits for.
"""

from __future__ import annotations

import math
from functools import cache

from orchestrator.planner.plan import OpPlan, Plan

REGIONS = frozenset({"loop", "map", "branch", "race"})
PASSED = frozenset({"prompt", "chat", "const", "field", "builtin"})


def dependencies(plan: Plan) -> dict[str, tuple[str, ...]]:
    """For every op that does work, in program order, the ops it has to wait for."""
    inside: dict[str, list[OpPlan]] = {}
    for op in plan.ops:
        if op.parent is not None:
            inside.setdefault(op.parent, []).append(op)

    @cache
    def starts_after(name: str) -> frozenset[str]:
        op = plan.by_id[name]
        own = frozenset().union(*(ends_with(each) for each in op.after)) if op.after else frozenset[str]()
        if own or op.parent is None:
            return own
        return starts_after(op.parent)

    @cache
    def ends_with(name: str) -> frozenset[str]:
        op = plan.by_id[name]
        if op.kind in PASSED:
            return starts_after(name)
        if op.kind not in REGIONS:
            return frozenset({name})
        children = inside.get(name, [])
        read = {before for each in children for before in each.after}
        last = [ends_with(each.id) for each in children if each.id not in read]
        return frozenset().union(*last) or starts_after(name)

    working = [op.id for op in plan.ops if op.kind not in REGIONS and op.kind not in PASSED]
    order = {name: number for number, name in enumerate(working)}
    return {name: tuple(sorted(starts_after(name) & order.keys(), key=order.__getitem__)) for name in working}


def rounds(plan: Plan, op: OpPlan) -> float:
    """How many executions of an op come one after the other: those of a loop do, the items of a map do not."""
    serial, child = 1.0, op
    while child.parent is not None:
        parent = plan.by_id[child.parent]
        if parent.kind == "loop" and parent.count.mid > 0:
            serial *= child.count.mid / parent.count.mid
        child = parent
    return max(min(serial, max(op.count.mid, 1e-9)), 1e-9) if math.isfinite(serial) else 1.0
