"""Of all plans that are as good as the one that was found, one that no other beats in what was not asked for.

After the objective come latency, cost (where every price is known) and the number of devices, each minimised while
those before are held at what they came to: no plan is as good in all and better in one. Each search starts from the
plan before, so that it can only get better, and proves nothing: the proof is of what was asked for. Where the program
is large, only what the plan uses already is shared out anew, and a plan for which that is large too stays as it is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from orchestrator.planner.solver.bounds import Allowed, fitting, windows
from orchestrator.planner.solver.evaluate import TOLERANCE, Spread, parts, timing, value
from orchestrator.planner.solver.formulate import formulate
from orchestrator.planner.solver.highs import run
from orchestrator.planner.solver.instance import Instance
from orchestrator.planner.solver.model import Model
from orchestrator.planner.solver.point import point_of, spread_of
from orchestrator.planner.solver.problem import Goal, Objective

LARGE: Final = 500
"""Columns from which on a program takes too long for what it may gain."""
NODES: Final = 1000
"""After which a search ends with the best that it has found."""
AFTER: Final[tuple[Goal, ...]] = ("latency", "cost", "devices")


@dataclass(frozen=True, slots=True)
class Sequel:
    """What later searches have in common."""

    of: Instance
    objective: Objective
    rate: float | None
    gap: float
    cut: Callable[[Model], None] | None

    def undominated(self, spread: Spread, time_limit_s: float) -> Spread:
        """A plan as good for the objective as ``spread``, and best in what comes after it."""
        began = time.perf_counter()
        held: list[Goal] = [self.objective]
        for goal in AFTER:
            left = time_limit_s - (time.perf_counter() - began)
            if goal not in held and left > 0 and self._has_rivals(goal, spread):
                spread = self._better(goal, held, spread, left)
                held.append(goal)
        return spread

    def _value(self, goal: Goal, spread: Spread) -> float | None:
        return value(self.of, goal, spread, self.rate)

    def _has_rivals(self, goal: Goal, spread: Spread) -> bool:
        """Whether another plan could be better in a goal, as far as can be told without looking for it."""
        now, engines = self._value(goal, spread), self.of.configurations
        if now is None or (
            goal == "cost" and any(self.of.usd_per_replica_hour(k) is None for k in range(len(engines)))
        ):
            return False
        if goal == "latency":
            return windows(self.of, fitting(self.of)).least_s < now * (1 - TOLERANCE)
        return goal != "devices" or now > min(each.devices for each in engines)

    def _better(self, goal: Goal, held: list[Goal], spread: Spread, time_limit_s: float) -> Spread:
        model = self._model(goal, held, spread, None)
        if len(model.program.lower) > LARGE:
            model = self._model(goal, held, spread, self._used(spread))
        if len(model.program.lower) > LARGE:
            return spread
        answer = run(
            model.program,
            gap=self.gap,
            time_limit_s=time_limit_s,
            start=point_of(model, spread, self.rate),
            most_nodes=NODES,
        )
        if answer.values is None:
            return spread
        found = spread_of(model, answer.values)
        kept = all(_at_most(self._value(each, found), self._value(each, spread)) for each in (goal, *held))
        return found if kept else spread

    def _used(self, spread: Spread) -> Allowed:
        """The choices of configurations that the plan uses."""
        used = {option.configuration for option, _ in parts(self.of, spread)}
        return [[option.configuration in used for option in options] for options in self.of.options]

    def _model(self, goal: Goal, held: list[Goal], spread: Spread, allowed: Allowed | None) -> Model:
        load = self.of.problem.workload
        if goal == "latency" or "latency" in held:
            load = replace(load, sla_s=min(load.sla_s or math.inf, timing(self.of, spread).seconds))
        if self.objective == "throughput":
            load = replace(load, throughput_per_s=self.rate)
        figures = {each: self._value(each, spread) for each in held if each not in ("latency", "throughput")}
        model = formulate(
            replace(self.of, problem=replace(self.of.problem, workload=load)),
            goal,
            allowed=allowed,
            held={each: most for each, most in figures.items() if most is not None},
        )
        if self.cut is not None:
            self.cut(model)
        return model


def _at_most(found: float | None, most: float | None) -> bool:
    return found is not None and most is not None and found <= most * (1 + TOLERANCE)
