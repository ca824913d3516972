"""Proof by parts: most choices are shown to be no part of a good plan before the search starts.

Let B be the value of the relaxation. With its reduced costs d >= 0, every plan costs at least B plus the d of all it
uses, and a plan in which op o takes choice c uses x[o,c] and one flow of each transfer at o out of (into) the choice's
pool. So it costs at least B + R[o,c], R = d of x plus, per transfer, the least d of these flows. Hence

1.  a *kernel* of the choices the relaxation likes (x > 0, or R next to nothing) holds a good plan, and is small; the
    search there starts from an annealed plan (``incumbent.py``);
2.  when the kernel's plan is within the gap of B, that is the proof;
3.  else no choice with B + R above (1 - gap) x its value need be looked at: leaving it out cannot hide a plan that is
    better by more than the gap. What remains is solved from the kernel's plan.

The program is mostly flows, P^2 of them per transfer, so that half the choices are a quarter of the program.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from orchestrator.planner.solver.bounds import Allowed
from orchestrator.planner.solver.highs import Relaxation
from orchestrator.planner.solver.model import Model

LIKED: Final = 5e-4
"""R, relative to the bound, of choices that belong to the kernel."""
_FEWEST: Final = 2
"""Choices per op in the kernel, so that capacity and pairing leave room."""

Penalties = list[list[float]]
"""R by op and choice, in units of the program's cost."""


def penalties(model: Model, of: Relaxation) -> Penalties:
    """By how much, at least, a plan is dearer than the bound for each choice it takes."""
    at_ends: dict[tuple[int, int], dict[int, float]] = {}
    for at, flow in model.flows.items():
        ends: tuple[dict[int, float], dict[int, float]] = (
            defaultdict(lambda: float("inf")),
            defaultdict(lambda: float("inf")),
        )
        for (p, q), column in flow.items():
            dear = max(0.0, of.reduced[column])
            ends[0][p], ends[1][q] = min(ends[0][p], dear), min(ends[1][q], dear)
        at_ends[at, 0], at_ends[at, 1] = ends
    found = [[max(0.0, of.reduced[column]) for column in columns] for columns in model.w]
    for o, c, option in model.of.choices():
        for end, edges in ((1, model.of.entering[o]), (0, model.of.leaving[o])):
            for at in edges:
                if at in model.flows and not model.stays(at, option):
                    found[o][c] += at_ends[at, end].get(option.pool, 0.0)
    return found


def kernel(model: Model, of: Relaxation, dear: Penalties, liked: float = LIKED) -> Allowed:
    """The choices the relaxation takes, those with R up to ``liked`` of the bound, and at least two of each op."""
    most = liked * abs(of.bound)
    found: Allowed = []
    for columns, each in zip(model.w, dear, strict=True):
        open_ = [c for c, column in enumerate(columns) if model.program.upper[column] > 0]
        kept = {c for c in open_ if of.values[columns[c]] > 1e-6 or each[c] <= most}
        kept |= {*sorted(open_, key=lambda c: each[c])[:_FEWEST]}
        found.append([c in kept for c in range(len(columns))])
    return found


def rounded(model: Model, of: Relaxation) -> list[int]:
    """Of each op the choice that the relaxation takes most of."""
    return [max(range(len(columns)), key=lambda c: of.values[columns[c]]) for columns in model.w]


def undecided(model: Model, dear: Penalties, most: float) -> Allowed:
    """The choices whose penalty does not rule them out."""
    return [
        [each <= most and model.program.upper[column] > 0 for column, each in zip(columns, of_op, strict=True)]
        for columns, of_op in zip(model.w, dear, strict=True)
    ]
