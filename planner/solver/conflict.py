"""Why there is no plan: the smallest set of limits that cannot be kept together.

An implicit hitting set search (Ignatiev et al. 2015, "Smallest MUS Extraction with Minimal Hitting Set Dualization"):
every plan that breaks some limits shows that a conflict must contain one of those. Take the smallest set that contains
one of each collection seen so far; if no plan keeps that set, it is a smallest conflict, else the plan found is
extended to keep as many limits as possible, and what it still breaks is one more collection. When time runs out,
limits are deleted one by one as long as no plan appears (a deletion filter), which gives a conflict that is minimal
but perhaps not the smallest.
"""

from __future__ import annotations

import time
from dataclasses import replace

from orchestrator.errors import PlanError
from orchestrator.planner.solver import evaluate
from orchestrator.planner.solver.formulate import formulate
from orchestrator.planner.solver.highs import run
from orchestrator.planner.solver.instance import Instance, instance
from orchestrator.planner.solver.limits import BUDGET, RATE, SLA, limits
from orchestrator.planner.solver.point import spread_of
from orchestrator.planner.solver.problem import Objective, Problem, Workload
from orchestrator.planner.solver.program import Program
from orchestrator.planner.solver.search import Effort, search
from orchestrator.planner.solver.solution import Conflict, Solution

_SEARCH_SHARE = 0.5
"""It is the share of the time for the smallest conflict; the rest is for the deletion filter and the remedies."""
_PROBE = Effort(gap=0.01, time_limit_s=5.0)
Limits = frozenset[str]


class _Oracle:
    """Whether some plan keeps a set of limits; remembers what it was asked."""

    def __init__(self, of: Instance, everything: Limits, deadline: float) -> None:
        self.of, self.everything, self.deadline = of, everything, deadline
        self.known: dict[Limits, Limits | None] = {}

    def kept_with(self, asked: Limits) -> Limits | None:
        """All limits that a plan which keeps the asked ones keeps, or ``None`` where there is none.

        Raises :class:`PlanError` ORCH-P048 when time runs out.
        """
        if asked not in self.known:
            model = formulate(self.of, None, without=self.everything - asked)
            left = max(0.1, self.deadline - time.perf_counter())
            answer = run(model.program, gap=1.0, time_limit_s=left)
            if answer.values is None and not answer.infeasible:
                raise PlanError("ORCH-P048", "time ran out while the conflict was looked for", fix="allow more time")
            spread = None if answer.values is None else spread_of(model, answer.values)
            self.known[asked] = None if spread is None else self._kept(spread, asked)
        return self.known[asked]

    def _kept(self, spread: evaluate.Spread, asked: Limits) -> Limits:
        """What a plan keeps; one that need not carry the rate is looked at with a replica of each kind."""
        wanted = self.of.problem.workload.sizing_per_s
        rate = wanted if RATE in asked else None
        count = evaluate.replicas(self.of, spread, rate)
        broken = {each.name for each in evaluate.usage(self.of, spread, count, rate) if not each.kept}
        if rate is None and wanted is not None:
            broken.add(RATE)
        kept = self.everything - broken
        # Without the memory the program counts fewer replicas than the plan has, which may then break what was asked.
        return kept if asked <= kept != self.everything else asked


def conflict(problem: Problem, time_limit_s: float) -> Conflict | None:
    """The smallest conflict, or ``None`` where a plan keeps all limits."""
    began = time.perf_counter()
    of, everything = instance(problem), frozenset(limits(problem))
    oracle = _Oracle(of, everything, began + time_limit_s)
    if oracle.kept_with(everything) is not None:
        return None
    order = limits(problem)
    found, smallest = _smallest(oracle, began + _SEARCH_SHARE * time_limit_s), True
    if found is None:
        found, smallest = _minimal(oracle, order), False
    names = tuple(name for name in order if name in found)
    return Conflict(names, smallest, *_advice(problem, names))


def _smallest(oracle: _Oracle, deadline: float) -> Limits | None:
    """``None`` where time ran out."""
    collections: list[Limits] = []
    while time.perf_counter() < deadline:
        candidate = _hitting(oracle.everything, collections)
        kept = oracle.kept_with(candidate)
        if kept is None:
            return candidate
        for name in sorted(oracle.everything - kept):
            if name not in kept and (more := oracle.kept_with(kept | {name})) is not None:
                kept = more
        collections.append(oracle.everything - kept)
    return None


def _hitting(everything: Limits, collections: list[Limits]) -> Limits:
    """The smallest set that meets every collection."""
    if not collections:
        return frozenset()
    names, program = sorted(everything), Program()
    columns = {name: program.column(0.0, 1.0, integer=True) for name in names}
    program.cost = [1.0] * len(names)
    for each in collections:
        program.row([(columns[name], 1.0) for name in sorted(each)], lower=1.0)
    values = run(program, gap=0.0, time_limit_s=10.0).values
    assert values is not None
    return frozenset(name for name in names if values[columns[name]] > 0.5)


def _minimal(oracle: _Oracle, order: tuple[str, ...]) -> Limits:
    """No member can be left out; where time is too short to tell, it stays."""
    kept = oracle.everything
    for name in order:
        try:
            if oracle.kept_with(kept - {name}) is None:
                kept -= {name}
        except PlanError:
            break
    return kept


def _advice(problem: Problem, names: tuple[str, ...]) -> tuple[str, str]:
    """Why, and what to change: for each member how far it would have to give way, the others being kept."""
    why, fix = [], []
    for name in names:
        load = problem.workload
        if name == SLA:
            best = _probe(problem, "latency", replace(load, sla_s=None))
            why.append(f"`sla_s` allows {load.sla_s:g} s" + (f", the fastest plan takes {best:.4g} s" if best else ""))
            fix.append(f"raise `sla_s` to {_above(best)} s" if best else "raise `sla_s`")
        elif name == BUDGET:
            best = _probe(problem, "cost", replace(load, budget_usd_per_hour=None))
            asked = f"`budget_usd_per_hour` allows ${load.budget_usd_per_hour:g}/h"
            why.append(asked + (f", the cheapest plan takes ${best:.4g}/h" if best else ""))
            fix.append(f"raise `budget_usd_per_hour` to {_above(best)}" if best else "raise `budget_usd_per_hour`")
        elif name == RATE:
            best = _probe(problem, "throughput", replace(load, rate_per_s=None, throughput_per_s=None))
            field = "rate_per_s" if load.sizing_per_s == load.rate_per_s else "throughput_per_s"
            why.append(
                f"`{field}` asks for {load.sizing_per_s:g} runs/s" + (f", {best:.4g} can be had" if best else "")
            )
            fix.append(f"lower `{field}`" + (f" to {best:.4g} or less" if best else ""))
        else:
            why.append(_structural(problem, name))
            fix.append(f"widen the {name}")
    return "; ".join(why), ", or ".join(fix)


def _structural(problem: Problem, name: str) -> str:
    kind, _, rest = name.partition(" ")
    if kind == "link":
        src, _, dst = rest.partition(" -> ")
        each = problem.link.get((src, dst))
        return f"no link leads from {src!r} to {dst!r}" if each is None else f"link {rest} carries too little"
    pool = problem.pool[rest.removeprefix("of ")]
    if kind == "capacity":
        return f"pool {pool.name!r} has {pool.count} x {pool.device}"
    return f"a device of pool {pool.name!r} holds {pool.memory_bytes / 1e9:.4g} GB"


def _above(value: float) -> str:
    """Four digits, rounded so that the value itself is allowed."""
    return f"{value * 1.0005:.4g}"


def _probe(problem: Problem, objective: Objective, load: Workload) -> float | None:
    """The best value under a looser load; ``None`` where the other limits conflict too, or it takes too long."""
    try:
        found: Solution | None = search(replace(problem, workload=load), objective, _PROBE)
    except PlanError:
        return None
    if found is None:
        return None
    return found.usd_per_hour if objective == "cost" else found.value
