"""HiGHS behind two functions, and not believed: it has been wrong, in ways that differ from release to release.

1.15.1, presolving with a start, has called that start optimal when it was not. 1.16.0, asked the same way, has reported
the optimum of another program than the one whose point it gave back: a plan 27 % dearer, with a gap of 0. Presolve has
called programs infeasible that are not, in many releases. So the cost of a point, its feasibility and the gap are
computed here, and an answer that contradicts itself or a point that is known, or that says there is none, is asked for
again, in another way (:data:`WAYS`). What stays open is said to be open: the weakest bound holds.

``highspy`` and ``ortools`` cannot be imported in one process, whichever comes first: their symbols clash. This is the
only module that imports either.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import highspy
import numpy as np

from orchestrator.errors import PlanError
from orchestrator.planner.solver.program import INF, Program
from orchestrator.stdout import diverted

TOLERANCE: Final = 1e-5
"""How far a point may be off a row or a whole number (HiGHS allows itself 1e-6, before it scales)."""
CLOSE: Final = 1e-6
"""Relative; what a cost or a bound may be off by."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way of asking."""

    options: tuple[tuple[str, object], ...] = ()
    started: bool = True
    """Whether a start is used."""


WAYS: Final = (
    Way(),
    Way((("presolve", "off"),)),
    Way((("presolve", "off"), ("mip_detect_symmetry", False), ("random_seed", 1)), started=False),
)
"""They are in the order in which they are tried."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop: see :func:`run`."""

    gap: float
    time_limit_s: float
    enough: float | None = None
    most_nodes: int | None = None
    proved: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the solver found and proved. ``values`` is ``None`` where it found no solution."""

    values: tuple[float, ...] | None
    value: float
    bound: float
    """Proved: no solution costs less."""
    infeasible: bool
    finished: bool
    """Whether it claims to have done what was asked: an optimum within the gap, or that there is no solution."""


@dataclass(frozen=True, slots=True)
class Relaxation:
    """The optimum where nothing need be whole; ``reduced`` are the reduced costs."""

    values: tuple[float, ...]
    reduced: tuple[float, ...]
    bound: float


def run(
    program: Program,
    *,
    gap: float,
    time_limit_s: float,
    start: Sequence[float] | None = None,
    enough: float | None = None,
    most_nodes: int | None = None,
    proved: float | None = None,
) -> Answer:
    """Solve within a relative ``gap``.

    Stops early at a solution that costs ``enough`` or less, after ``most_nodes`` nodes, or once it is proved that none
    costs less than ``proved``. From a feasible point ``start`` the bound may be wrong and is therefore not given.
    Raises :class:`PlanError` ORCH-P050 when HiGHS fails or the program is unbounded.
    """
    limits = Limits(gap, time_limit_s, enough, most_nodes, proved)
    best = _point(program, start)
    weakest, began, is_denied = INF, time.perf_counter(), False
    failed: PlanError | None = None
    for way in WAYS:
        left = max(0.0, time_limit_s - (time.perf_counter() - began))
        try:
            answer = _checked(program, _ask(program, way, replace(limits, time_limit_s=left), start))
        except PlanError as failure:  # it gave up; another way may go through
            failed, weakest = failed or failure, -INF
            continue
        if answer.value < best.value:
            best = answer
        if answer.infeasible and best.values is None and not is_denied:
            is_denied = True
            continue
        if _consistent(answer, best, gap):
            if is_denied and best.values is None:  # the other way agrees, or could not tell in time
                return Answer(None, INF, INF, infeasible=True, finished=True)
            return replace(answer, values=best.values, value=best.value, bound=answer.bound if start is None else -INF)
        weakest = min(weakest, answer.bound)
        if left == 0.0:
            break
    if best.values is None and failed is not None:
        raise failed
    if best.values is None:
        raise PlanError(
            "ORCH-P050",
            f"the solver contradicts itself: it calls the program solved, and its {len(WAYS)} points are no solutions",
            why="the figures of the problem differ by too many orders of magnitude",
            fix="check the figures of devices, links and ops for a unit that is off",
        )
    bound = min(weakest, best.value) if start is None else -INF
    return Answer(best.values, best.value, bound, infeasible=False, finished=False)


def relax(program: Program, time_limit_s: float) -> Relaxation | None:
    """``None`` where even the relaxation has no solution, none was found in time, or its duals do not prove it."""
    lp = _lp(program)
    lp.integrality_ = []
    solver = _solver(lp, time_limit_s)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    found = solver.getSolution()
    values, reduced = tuple(found.col_value), tuple(found.col_dual)
    bound = program.worth(values)
    if abs(_dual_bound(program, reduced, found.row_dual) - bound) > CLOSE * max(abs(bound), 1.0):
        return None
    return Relaxation(values, reduced, bound)


def _dual_bound(program: Program, reduced: Sequence[float], row_dual: Sequence[float]) -> float:
    """What the duals prove: no point costs less."""
    duals = np.concatenate([np.array(reduced), np.array(row_dual)])
    lower = np.array(program.lower + program.row_lower)
    upper = np.array(program.upper + program.row_upper)
    sides = np.where(duals > 0, lower, upper)
    small = np.abs(duals) <= CLOSE * max(1.0, float(np.abs(program.cost).max(initial=0.0)))
    sides = np.where(small & ~np.isfinite(sides), 0.0, sides)
    return float((duals * sides).sum())


def _consistent(answer: Answer, best: Answer, gap: float) -> bool:
    """Whether an answer can be true, given the best point that is known."""
    if answer.infeasible:
        return best.values is None
    if best.values is None:
        return not answer.finished
    allowed = max(CLOSE * abs(best.value), 1e-9)
    if answer.bound > best.value + allowed:
        return False
    return not answer.finished or best.value - answer.bound <= gap * abs(best.value) + allowed


def _point(program: Program, start: Sequence[float] | None) -> Answer:
    """What is known before HiGHS is asked."""
    if start is None or program.violation(start) > TOLERANCE:
        return Answer(None, INF, -INF, infeasible=False, finished=False)
    return Answer(tuple(start), program.worth(start), -INF, infeasible=False, finished=False)


def _checked(program: Program, answer: Answer) -> Answer:
    """The answer with the cost of its point computed, and without a point that is none."""
    if answer.values is None:
        return answer
    if program.violation(answer.values) > TOLERANCE:
        return replace(answer, values=None, value=INF)
    return replace(answer, value=program.worth(answer.values))


def _ask(program: Program, way: Way, limits: Limits, start: Sequence[float] | None) -> Answer:
    """What HiGHS says."""
    solver = _solver(_lp(program), limits.time_limit_s)
    solver.setOptionValue("mip_rel_gap", limits.gap)
    solver.setOptionValue("mip_abs_gap", 1e-12)
    if limits.enough is not None:
        solver.setOptionValue("objective_target", limits.enough)
    if limits.most_nodes is not None:
        solver.setOptionValue("mip_max_nodes", limits.most_nodes)
    for name, value in way.options:
        solver.setOptionValue(name, value)
    if start is not None and way.started:
        solution = highspy.HighsSolution()
        solution.col_value = list(start)
        solver.setSolution(solution)
    if limits.proved is not None:
        proved = limits.proved
        solver.cbMipInterrupt.subscribe(lambda event: _stop_at(event, proved))
    solver.run()
    return _answer(solver, any(program.integer))


def _stop_at(event: Any, proved: float) -> None:
    if event.data_out.mip_dual_bound >= proved:
        event.interrupt()


def _solver(lp: highspy.HighsLp, time_limit_s: float) -> highspy.Highs:
    with diverted():  # 1.16 prints a banner, before it can be told not to
        solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("time_limit", time_limit_s)
    solver.passModel(lp)
    return solver


def _lp(program: Program) -> highspy.HighsLp:
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(program.lower), len(program.row_lower)
    lp.col_lower_, lp.col_upper_ = np.array(program.lower), np.array(program.upper)
    lp.col_cost_ = np.array(program.cost)
    lp.row_lower_, lp.row_upper_ = np.array(program.row_lower), np.array(program.row_upper)
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = np.array(program.starts)
    lp.a_matrix_.index_ = np.array(program.columns, dtype=np.int32)
    lp.a_matrix_.value_ = np.array(program.values)
    kinds = {True: highspy.HighsVarType.kInteger, False: highspy.HighsVarType.kContinuous}
    lp.integrality_ = [kinds[integer] for integer in program.integer]
    return lp


def _answer(solver: highspy.Highs, integer: bool) -> Answer:
    status, info = solver.getModelStatus(), solver.getInfo()
    known = highspy.HighsModelStatus
    if status == known.kInfeasible:
        return Answer(None, INF, INF, infeasible=True, finished=True)
    stopped = (known.kTimeLimit, known.kSolutionLimit, known.kObjectiveTarget, known.kInterrupt)
    if status not in (known.kOptimal, *stopped):
        raise PlanError(
            "ORCH-P050",
            f"the solver stopped with {solver.modelStatusToString(status)!r}",
            why="the problem is unbounded or its figures differ by too many orders of magnitude",
            fix="check the figures of devices, links and ops for a unit that is off",
        )
    found = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    bound = info.mip_dual_bound if integer else info.objective_function_value
    return Answer(
        tuple(solver.getSolution().col_value) if found else None,
        info.objective_function_value if found else INF,
        -INF if math.isnan(bound) else bound,
        infeasible=False,
        finished=status == known.kOptimal,
    )
