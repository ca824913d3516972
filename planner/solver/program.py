"""A mixed-integer linear program as sparse rows, and HiGHS behind one function.

``highspy`` and ``ortools`` cannot be imported in one process, whichever comes first: their symbols clash. This is the
only module that imports either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import highspy
import numpy as np

from orchestrator.errors import PlanError

INF: Final = math.inf
Terms = list[tuple[int, float]]
"""Column and coefficient."""


@dataclass
class Program:
    """Minimise ``cost @ x`` over ``lower <= x <= upper`` and the rows."""

    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    cost: list[float] = field(default_factory=list)
    integer: list[bool] = field(default_factory=list)
    row_lower: list[float] = field(default_factory=list)
    row_upper: list[float] = field(default_factory=list)
    starts: list[int] = field(default_factory=lambda: [0])
    columns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def column(self, lower: float = 0.0, upper: float = INF, *, integer: bool = False) -> int:
        """A new variable; its position."""
        self.lower.append(lower)
        self.upper.append(upper)
        self.cost.append(0.0)
        self.integer.append(integer)
        return len(self.lower) - 1

    def row(self, terms: Terms, lower: float = -INF, upper: float = INF) -> None:
        """``lower <= sum of terms <= upper``; each column at most once."""
        kept = [(column, value) for column, value in terms if value != 0.0]
        self.columns += [column for column, _ in kept]
        self.values += [value for _, value in kept]
        self.starts.append(len(self.columns))
        self.row_lower.append(lower)
        self.row_upper.append(upper)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the solver proved. ``values`` is ``None`` where it found no solution."""

    values: tuple[float, ...] | None
    value: float
    bound: float
    """Proved: no solution costs less."""
    infeasible: bool
    seconds: float


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
    costs less than ``proved``. From a feasible point ``start`` the bound may be wrong and is therefore not given: HiGHS
    1.15.1, presolving with a start, has called a start optimal that was not. Raises :class:`PlanError` ORCH-P050 when
    HiGHS fails or the program is unbounded.
    """
    solver = _solver(_lp(program), time_limit_s)
    solver.setOptionValue("mip_rel_gap", gap)
    solver.setOptionValue("mip_abs_gap", 1e-12)
    if enough is not None:
        solver.setOptionValue("objective_target", enough)
    if most_nodes is not None:
        solver.setOptionValue("mip_max_nodes", most_nodes)
    if start is not None:
        solution = highspy.HighsSolution()
        solution.col_value = list(start)
        solver.setSolution(solution)
    if proved is not None:
        solver.cbMipInterrupt.subscribe(lambda event: _stop_at(event, proved))
    solver.run()
    answer = _answer(solver)
    return answer if start is None else replace(answer, bound=-INF)


def _stop_at(event: Any, proved: float) -> None:
    if event.data_out.mip_dual_bound >= proved:
        event.interrupt()


def relax(program: Program, time_limit_s: float) -> Relaxation | None:
    """``None`` where even the relaxation has no solution, or none was found in time."""
    lp = _lp(program)
    lp.integrality_ = []
    solver = _solver(lp, time_limit_s)
    solver.run()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    found = solver.getSolution()
    bound = solver.getInfo().objective_function_value
    return Relaxation(tuple(found.col_value), tuple(found.col_dual), bound)


def _solver(lp: highspy.HighsLp, time_limit_s: float) -> highspy.Highs:
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


def _answer(solver: highspy.Highs) -> Answer:
    status, info = solver.getModelStatus(), solver.getInfo()
    seconds = solver.getRunTime()
    known = highspy.HighsModelStatus
    if status == known.kInfeasible:
        return Answer(None, INF, INF, True, seconds)
    stopped = (known.kTimeLimit, known.kSolutionLimit, known.kObjectiveTarget, known.kInterrupt)
    if status not in (known.kOptimal, *stopped):
        raise PlanError(
            "ORCH-P050",
            f"the solver stopped with {solver.modelStatusToString(status)!r}",
            why="the problem is unbounded or its figures differ by too many orders of magnitude",
            fix="check the figures of devices, links and ops for a unit that is off",
        )
    found = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    values = tuple(solver.getSolution().col_value) if found else None
    bound = info.mip_dual_bound if any(solver.getLp().integrality_) else info.objective_function_value
    return Answer(values, info.objective_function_value if found else INF, bound, False, seconds)
