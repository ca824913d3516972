"""A plan's ops as one flat graph: which op with work of its own waits for which, whatever regions they are in.

Bookkeeping takes no time and is passed through; a region waits for what its values wait for and ends with the ops
inside that nothing inside waits for.
"""

from __future__ import annotations

import math

from orchestrator.planner.plan import OpPlan, Plan

REGIONS = frozenset({"loop", "map", "branch", "switch", "race", "attempt"})
TRY, EXCEPT, FINALLY = "try", "except", "finally"
"""Regions of an attempt; its handlers are ``except``, ``except_2``, …"""
OTHERWISE = "otherwise"
"""The region of a switch that is for everything else."""
PASSED = frozenset({"prompt", "chat", "const", "field", "builtin", "fail"})


def dependencies(plan: Plan) -> dict[str, tuple[str, ...]]:
    """For every op that does work, in program order, the ops it has to wait for."""
    ends = _Ends(plan)
    working = [op.id for op in plan.ops if op.kind not in REGIONS and op.kind not in PASSED]
    order = {name: number for number, name in enumerate(working)}
    return {name: tuple(sorted(ends.before[name] & order.keys(), key=order.__getitem__)) for name in working}


class _Ends:
    """Both in terms of ops that do work, by the id of an op: which of them it waits for (``before``), and which of them
    whoever reads it waits for (``of``). Filled in program order, in which an op stands behind all that it reads."""

    def __init__(self, plan: Plan) -> None:
        self.before: dict[str, frozenset[str]] = {}
        self.of: dict[str, frozenset[str]] = {}
        self._inside: dict[str | None, list[OpPlan]] = {}
        for op in plan.ops:
            self._inside.setdefault(op.parent, []).append(op)
        self._enter(None, frozenset())

    def _enter(self, parent: str | None, outside: frozenset[str]) -> None:
        """The ops in a region, or at the top, which wait at least for what the region waits for."""
        for op in self._inside.get(parent, []):
            waits = frozenset().union(*(self.of[name] for name in op.after if name in self.of))
            before = self.before[op.id] = waits or outside
            if op.kind in REGIONS:
                self._enter(op.id, before)
                self.of[op.id] = self._ends_of(op.id) or before
            else:
                self.of[op.id] = before if op.kind in PASSED else frozenset({op.id})

    def _ends_of(self, region: str) -> frozenset[str]:
        """The ops inside that nothing inside waits for."""
        inside = self._inside.get(region, [])
        read = {name for each in inside for name in each.after}
        return frozenset().union(*(self.of[each.id] for each in inside if each.id not in read))


def rounds(plan: Plan, op: OpPlan) -> float:
    """How many executions of an op come one after the other: those of a loop do, the items of a map do not."""
    serial, child = 1.0, op
    while child.parent is not None:
        parent = plan.by_id[child.parent]
        if parent.kind == "loop" and parent.count.mid > 0:
            serial *= child.count.mid / parent.count.mid
        child = parent
    return max(min(serial, max(op.count.mid, 1e-9)), 1e-9) if math.isfinite(serial) else 1.0
