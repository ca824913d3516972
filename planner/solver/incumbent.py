"""A good plan to start from: simulated annealing from the rounded relaxation, over the choices that it likes.

Where whole replicas must carry a load, the exact search spends most of its time looking for a plan near the bound that
it proves early; this finds one in a fraction of a second. Seeded and bounded in steps. It proves nothing, and the
search does without where it finds none.
"""

from __future__ import annotations

import math
import random
from typing import Final

from orchestrator.planner.solver.instance import Instance
from orchestrator.planner.solver.neighbours import Change, Neighbours, Rules

_PENALTY: Final = 20.0
"""It is what a limit exceeded by its own size costs, relative to the objective."""
_WHOLE: Final = 0.75
_HEAT: Final = 0.005
"""Temperature at the start, relative to the objective."""
_MOST_PAIRS: Final = 400
"""Combinations of a prefill and a decode that are tried as one move."""


def incumbent(of: Instance, rules: Rules, first: list[int], steps: int, seed: int = 0) -> list[int] | None:
    """Choices that keep all limits and have a low objective, or ``None`` where none was met in ``steps`` moves.

    ``first`` may break limits.
    """
    units = _units(of, rules)
    if units is None:
        return None
    draw = random.Random(seed)
    plan = Neighbours(of, rules, _paired(of, rules, units, first), _WHOLE)
    movable = [unit for unit in units if len(unit) > 1]
    best, best_value = ([*plan.picks], plan.value(1.0)) if plan.excess() == 0 else (None, math.inf)
    if not movable:
        return best
    scale = abs(plan.value(_WHOLE)) or 1.0
    energy = plan.value(_WHOLE) + _PENALTY * scale * plan.excess()
    for step in range(steps):
        heat = _HEAT * scale * (1 - step / steps) ** 2
        changes = _proposal(plan, movable, draw)
        if not changes or _breaks_sla(plan, changes):
            continue
        before = [(op, plan.picks[op]) for op, _ in changes]
        after = _energy_after(plan, changes, scale)
        if after <= energy or draw.random() < math.exp((energy - after) / max(heat, 1e-300)):
            energy = after
            if len(changes) == 1 and rules.timed and rules.objective != "latency":
                plan.retime()
            if plan.value(1.0) < best_value and plan.excess() == 0:
                best, best_value = [*plan.picks], plan.value(1.0)
        else:
            for op, pick in reversed(before):
                plan.change(op, pick)
            if _retimed(plan, changes):
                plan.retime()
    return best


Unit = list[list[Change]]
"""All ways of placing an op, or the two halves of a call, together."""


def _units(of: Instance, rules: Rules) -> list[Unit] | None:
    """``None`` where something cannot be placed, or calls share a half."""
    partner: dict[int, int] = {}
    for edge in of.edges:
        if edge.transfer.pair:
            if edge.src in partner or edge.dst in partner:
                return None
            partner[edge.src], partner[edge.dst] = edge.dst, edge.src
    options = [[c for c, ok in enumerate(allowed) if ok] for allowed in rules.allowed]
    units: list[Unit] = []
    for op in range(len(of.ops)):
        other = partner.get(op)
        if other is None:
            units.append([[(op, pick)] for pick in options[op]])
        elif op < other:
            units.append(_pair_unit(of, op, other, options))
    return None if any(not unit for unit in units) else units


def _pair_unit(of: Instance, src: int, dst: int, options: list[list[int]]) -> Unit:
    unit: Unit = [
        [(src, a), (dst, b)]
        for a in options[src]
        for b in options[dst]
        if of.problem.pairs_with(of.options[src][a].choice, of.options[dst][b].choice)
    ]
    if len(unit) <= _MOST_PAIRS:
        return unit
    return unit[:: math.ceil(len(unit) / _MOST_PAIRS)]


def _paired(of: Instance, rules: Rules, units: list[Unit], first: list[int]) -> list[int]:
    """``first``, but each unit that is placed in a way that is not allowed goes where it is quickest."""
    picks = [*first]
    for unit in units:
        if not any(all(picks[op] == pick for op, pick in way) for way in unit):
            for op, pick in min(unit, key=lambda way: _through(of, rules, way)):
                picks[op] = pick
    return picks


def _through(of: Instance, rules: Rules, way: list[Change]) -> float:
    return sum(rules.windows.through(op, of.options[op][pick]) for op, pick in way)


def _proposal(plan: Neighbours, movable: list[Unit], draw: random.Random) -> list[Change]:
    """One unit elsewhere, or two that change places."""
    unit = movable[int(draw.random() * len(movable))]
    way = unit[int(draw.random() * len(unit))]
    changes = [(op, pick) for op, pick in way if plan.picks[op] != pick]
    if len(changes) != 1 or draw.random() < 0.7:
        return changes
    [(op, pick)] = changes
    here = plan.option(op).configuration
    there = plan.of.options[op][pick].configuration
    other = movable[int(draw.random() * len(movable))]
    if len(other[0]) != 1 or other[0][0][0] == op or plan.option(other[0][0][0]).configuration != there:
        return changes
    back = [each for way in other for each in way if plan.of.options[each[0]][each[1]].configuration == here]
    return [*changes, *back[:1]]


def _breaks_sla(plan: Neighbours, changes: list[Change]) -> bool:
    """Quick refusal of a single move, exact while the run keeps its SLA."""
    most = plan.rules.sla_s
    if most is None or len(changes) > 1 or plan.seconds > most:
        return False
    [(op, pick)] = changes
    return plan.through(op, plan.of.options[op][pick]) > most


def _retimed(plan: Neighbours, changes: list[Change]) -> bool:
    """Whether paths must be known to judge the changes."""
    most = plan.rules.sla_s
    return len(changes) > 1 or most is None or plan.rules.objective == "latency" or plan.seconds > most


def _energy_after(plan: Neighbours, changes: list[Change], scale: float) -> float:
    late = _retimed(plan, changes)
    for op, pick in changes:
        plan.change(op, pick)
    if late:
        plan.retime()
    return plan.value(_WHOLE) + _PENALTY * scale * plan.excess()
