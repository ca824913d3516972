"""One exact search: program, proof, and the plan read back from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Final

from orchestrator.errors import PlanError
from orchestrator.planner.solver import evaluate
from orchestrator.planner.solver.bounds import Allowed, fitting, windows
from orchestrator.planner.solver.evaluate import Spread, whole
from orchestrator.planner.solver.formulate import formulate
from orchestrator.planner.solver.highs import CLOSE, Relaxation, relax, run
from orchestrator.planner.solver.incumbent import incumbent
from orchestrator.planner.solver.instance import Instance, Option, instance
from orchestrator.planner.solver.kernel import Penalties, kernel, penalties, rounded, undecided
from orchestrator.planner.solver.model import Model
from orchestrator.planner.solver.neighbours import Rules
from orchestrator.planner.solver.point import point_of, rate_of, spread_of
from orchestrator.planner.solver.problem import Objective, Problem
from orchestrator.planner.solver.sequel import Sequel
from orchestrator.planner.solver.solution import Share, Solution

DIRECT: Final = 500
"""Columns up to which the program is solved at once."""
DIRECT_SPLIT: Final = 5
"""Times as many, where ops split: what the kernel leaves open is then the whole program, once more."""
ANNEALED: Final = 3e-3
"""Choices are annealed over whose penalties are at most this share of the bound."""
STEPS_PER_OP: Final = 100
"""About a tenth of a second for 60 ops."""
KERNEL_NODES: Final = 200
"""After which a plan that the kernel still has not improved to within the gap is proved with more choices."""


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
    cut: Callable[[Model], None] | None = None,
) -> Solution | None:
    """The best plan of a checked problem without unknown figures; ``None`` where there is none.

    Among plans that are as good it is the fastest, then the cheapest where prices are known, then the one with the
    fewest devices (``sequel.py``). ``cut`` may add rows. Raises :class:`PlanError` ORCH-P048 when time runs out before
    any plan was found, ORCH-P049 when nothing bounds the throughput.
    """
    began = time.perf_counter()
    of = instance(problem)
    if objective == "throughput" and not any(max(option.need) for _, _, option in of.choices()):
        raise PlanError(
            "ORCH-P049",
            "nothing bounds the throughput",
            why="no op occupies a device: every `busy_s` is 0",
            fix="give the seconds of a replica that an execution takes, or choose another objective",
        )

    def program(allowed: Allowed | None) -> Model:
        model = formulate(of, objective, allowed=allowed)
        if cut is not None:
            cut(model)
        return model

    def anneal(model: Model, relaxed: Relaxation, dear: Penalties) -> list[int] | None:
        # The annealing knows no cuts, and replicas of its plans are the fewest the rate needs.
        if cut is not None or objective == "throughput":
            return None
        return _annealed(model, objective, relaxed, dear)

    proof = _prove(program, anneal, effort, began)
    if proof is None or proof.rate == 0:  # a use that carries nothing is no plan
        return None
    bound = proof.bound * proof.model.scale * (-1.0 if objective == "throughput" else 1.0)
    left_s = effort.time_limit_s - (time.perf_counter() - began)
    spread = Sequel(of, objective, proof.rate, effort.gap, cut).undominated(proof.spread, left_s)
    found = solution(of, objective, spread, proof.rate, bound)
    took = time.perf_counter() - began
    return replace(found, left_out=left_out, solve_s=took, open_because=_open(found, effort, took))


def _open(found: Solution, effort: Effort, took_s: float) -> str | None:
    """Why the plan is not proved to be as good as was asked for; ``None`` where it is."""
    if found.gap <= effort.gap + CLOSE:
        return None
    if took_s >= effort.time_limit_s:
        return f"time ran out after {took_s:.3g} s"
    return f"the solver (highspy {version('highspy')}) did not get closer, in any way it was asked"


@dataclass(frozen=True, slots=True)
class _Proof:
    model: Model
    values: tuple[float, ...]
    value: float
    bound: float
    """It is in units of the model's cost, as ``value`` is."""

    @property
    def spread(self) -> Spread:
        return spread_of(self.model, self.values)

    @property
    def rate(self) -> float | None:
        """What the plan was made for, or reaches."""
        if self.model.rate is None:
            return self.model.of.problem.workload.sizing_per_s
        return rate_of(self.model, self.spread, self.values)


def _prove(
    program: Callable[[Allowed | None], Model],
    anneal: Callable[[Model, Relaxation, Penalties], list[int] | None],
    effort: Effort,
    began: float,
) -> _Proof | None:
    """Directly where the program is small, else by parts (``kernel.py``)."""

    def left() -> float:
        return max(0.0, effort.time_limit_s - (time.perf_counter() - began))

    everything = program(None)
    found = _by_parts(everything, program, anneal, effort, left)
    if found is None or _cutoff(found, effort) <= found.bound + CLOSE * abs(found.value) or not left():
        return found or _direct(everything, effort, left())
    # The parts left it open, which only a solver that is wrong about one of them can do.
    direct = _direct(everything, effort, left())
    if direct is None or direct.value * everything.scale > found.value * found.model.scale:
        return found
    return direct


def _by_parts(
    everything: Model,
    program: Callable[[Allowed | None], Model],
    anneal: Callable[[Model, Relaxation, Penalties], list[int] | None],
    effort: Effort,
    left: Callable[[], float],
) -> _Proof | None:
    """``None`` where the program is small, has no relaxation, or its kernel no plan."""
    most = DIRECT * (DIRECT_SPLIT if everything.splits else 1)
    relaxed = relax(everything.program, left()) if len(everything.program.lower) > most else None
    if relaxed is None:
        return None
    dear = penalties(everything, relaxed)
    picks = anneal(everything, relaxed, dear)
    first = program(_with(kernel(everything, relaxed, dear), None if picks is None else whole(picks)))
    to_first = everything.scale / first.scale
    bound = relaxed.bound * to_first
    found = _started(first, picks, bound)
    if found is None or _cutoff(found, effort) > bound:
        answer = run(
            first.program,
            gap=effort.gap,
            time_limit_s=left() / 2,
            start=None if found is None else found.values,
            enough=bound + effort.gap * abs(bound),
            most_nodes=KERNEL_NODES,
        )
        if answer.values is not None and (found is None or answer.value < found.value):
            found = _Proof(first, answer.values, answer.value, bound)
    if found is None:
        return None
    cutoff = _cutoff(found, effort)
    if cutoff <= bound:
        return found
    room = (cutoff - bound + 1e-7 * abs(found.value)) / to_first
    # A choice of which a plan takes a little is not ruled out by what taking all of it would cost.
    rest = everything if everything.splits else program(_with(undecided(everything, dear, room), found.spread))
    return _improved(rest, found, cutoff, effort, left())


def _started(model: Model, picks: list[int] | None, bound: float) -> _Proof | None:
    """An annealed plan, where there is one."""
    rate = model.of.problem.workload.sizing_per_s
    point = point_of(model, whole(picks), rate) if picks is not None else None
    if point is None:
        return None
    value = sum(cost * at for cost, at in zip(model.program.cost, point, strict=True))
    return _Proof(model, tuple(point), value, bound)


def _cutoff(found: _Proof, effort: Effort) -> float:
    """What a plan must cost less than to matter."""
    return found.value - effort.gap * abs(found.value)


def _with(allowed: Allowed, spread: Spread | None) -> Allowed:
    """The plan's own choices are always allowed."""
    for o, shares in enumerate(spread.shares if spread is not None else ()):
        for pick in shares:
            allowed[o][pick] = True
    return allowed


def _improved(rest: Model, found: _Proof, cutoff: float, effort: Effort, time_limit_s: float) -> _Proof:
    """The best plan of ``rest`` or ``found`` itself; what ``rest`` leaves out costs ``cutoff`` or more."""
    to_rest = found.model.scale / rest.scale
    answer = run(rest.program, gap=effort.gap, time_limit_s=time_limit_s, proved=cutoff * to_rest)
    bound = min(max(answer.bound, found.bound * to_rest), cutoff * to_rest)
    if answer.values is None or answer.value > found.value * to_rest:
        return replace(found, bound=bound / to_rest)
    return _Proof(rest, answer.values, answer.value, bound)


def _direct(model: Model, effort: Effort, time_limit_s: float) -> _Proof | None:
    answer = run(model.program, gap=effort.gap, time_limit_s=time_limit_s)
    if answer.infeasible:
        return None
    if answer.values is None:
        raise PlanError(
            "ORCH-P048",
            f"no plan was found within {effort.time_limit_s:g} s, nor a proof that there is none",
            fix="allow more time, or offer fewer configurations per op",
        )
    return _Proof(model, answer.values, answer.value, answer.bound)


def _annealed(model: Model, objective: Objective, relaxed: Relaxation, dear: Penalties) -> list[int] | None:
    of, load = model.of, model.of.problem.workload
    rules = Rules(
        objective,
        kernel(model, relaxed, dear, ANNEALED),
        windows(of, fitting(of)),
        load.sizing_per_s,
        load.sla_s,
        load.budget_usd_per_hour,
    )
    return incumbent(of, rules, rounded(model, relaxed), STEPS_PER_OP * len(of.ops))


def solution(of: Instance, objective: Objective, spread: Spread, rate: float | None, bound: float) -> Solution:
    """Everything that follows from the choices; replicas are the fewest that carry the rate."""
    count = evaluate.replicas(of, spread, rate)
    timed = evaluate.timing(of, spread)
    value = evaluate.value(of, objective, spread, rate)
    assert value is not None
    # A bound that rounding put on the wrong side of the plan it bounds would read as a negative gap.
    bound = max(bound, value) if objective == "throughput" else min(bound, value)
    return Solution(
        objective=objective,
        value=value,
        bound=bound,
        shares={
            op.id: _shares(options, shares)
            for op, options, shares in zip(of.ops, of.options, spread.shares, strict=True)
        },
        replicas={of.configurations[k].name: number for k, number in sorted(count.items())},
        seconds=timed.seconds,
        critical_path=tuple(of.ops[o].id for o in timed.path),
        usd_per_hour=evaluate.usd_per_hour(of, spread, count, rate),
        usd_per_run=evaluate.usd_per_run(of, spread, count, rate),
        joules_per_run=evaluate.joules_per_run(of, spread),
        throughput_per_s=evaluate.sustained_per_s(of, spread, count),
        usage=evaluate.usage(of, spread, count, rate),
        left_out=(),
        solve_s=0.0,
    )


def _shares(options: tuple[Option, ...], shares: Mapping[int, float]) -> tuple[Share, ...]:
    found = [Share(options[pick].choice, share) for pick, share in sorted(shares.items())]
    return tuple(sorted(found, key=lambda each: -each.share))
