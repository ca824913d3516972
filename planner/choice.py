"""Choosing one of several whole plans, and saying of the others why they lost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.errors import PlanError
from orchestrator.planner.breakdown import on_critical_path
from orchestrator.planner.figures import at_least, dollars, duration, share, two_digits
from orchestrator.planner.interval import total
from orchestrator.planner.plan import Objective, Plan, Rejected
from orchestrator.planner.queueing import capacity_runs_per_s
from orchestrator.planner.shares import parts

KEPT: Final = 3
"""Rejected plans that are named."""
TOO_SLOW: Final = "ORCH-P020"
"""What says that no plan keeps the SLA."""
NO_DIFFERENCE: Final = 0.005
"""Relative differences below this are not worth a word."""


@dataclass(frozen=True)
class Candidate:
    """One whole plan, or why there is none."""

    label: str
    plan: Plan | None
    error: PlanError | None = None
    because: str = ""
    """What the user would have to change before it could be taken; empty when nothing."""
    alone: Plan | None = None
    """The plan for runs that have the cluster to themselves, where the tail at a rate is still to be simulated: until
    then ``plan`` has the tail of those, which is less."""


def best(candidates: Sequence[Candidate], objective: Objective, sla_s: float | None) -> Candidate:
    """The plan to take: of those that keep the SLA the best for the objective, the first of equals.

    Raises :class:`PlanError`: the first candidate's own when there is no plan at all, ORCH-P020 when none keeps the
    SLA, ORCH-P022 when none has a figure for the objective.
    """
    possible = [each for each in candidates if each.plan is not None and not each.because]
    if not possible:
        assert candidates[0].error is not None
        raise candidates[0].error
    in_time = [each for each in possible if each.plan is not None and keeps(each.plan, sla_s)]
    if not in_time:
        raise _too_slow(possible, sla_s)
    taken = min(in_time, key=lambda each: _rank(each, objective))
    if math.isinf(_rank(taken, objective)[1]):
        raise _unknown(objective)
    return taken


def fastest(candidates: Sequence[Candidate]) -> Candidate:
    """The plan with the shortest tail; of candidates without plans the first."""
    return min(candidates, key=lambda each: math.inf if each.plan is None else each.plan.p95_s or 0.0)


def keeps(plan: Plan, sla_s: float | None) -> bool:
    """Whether 95 % of the runs stay below the SLA; always, when there is none."""
    return sla_s is None or (plan.p95_s is not None and plan.p95_s <= sla_s)


def joules(plan: Plan) -> float | None:
    """Energy of one run: thermal design power of each op's devices while it works, at the middle estimate.

    An upper estimate, as if each op had its devices to itself. ``None`` when a device that answers model calls has no
    known power.
    """
    found = 0.0
    for op in plan.ops:
        if op.kind != "decode":
            continue
        for name, part in parts(plan, op):
            power_w = plan.cluster.device(part.device).power_w if part.device is not None else None
            if power_w is None:
                return None
            wanted = plan.cluster.engine(name).option("tensor_parallel_size")
            waits = part.wait_s.mid if part.wait_s is not None else 0.0
            devices = wanted if isinstance(wanted, int) and wanted > 0 else 1
            found += max(part.seconds.mid - waits, 0.0) * part.count.mid * power_w * devices
    return found


def rejected(chosen: Plan, others: Sequence[Candidate], sla_s: float | None) -> tuple[Rejected, ...]:
    """The best :data:`KEPT` of the others: plans before impossible ones, those that keep the SLA first."""

    def order(each: Candidate) -> tuple[bool, bool, tuple[float, float, float]]:
        slow = each.plan is not None and not keeps(each.plan, sla_s)
        return each.plan is None, slow, _rank(each, chosen.objective)

    return tuple(_rejected(chosen, each, sla_s) for each in sorted(others, key=order)[:KEPT])


def _rank(candidate: Candidate, objective: Objective) -> tuple[float, float, float]:
    """Smaller is better: what is unknown, the objective's figure (infinite where unknown), seconds."""
    plan = candidate.plan
    if plan is None:
        return math.inf, math.inf, math.inf
    seconds, unknown, figure = plan.seconds.mid, 0, math.inf
    match objective:
        case "latency":
            figure = seconds
        case "cost":
            # Prices of what every plan uses, such as tools, are often unknown: the known part then decides.
            priced = [op.cost_usd * op.count for op in plan.ops if op.cost_usd is not None]
            unknown, figure = len(plan.ops) - len(priced), total(priced).mid
        case "throughput":
            capacity = capacity_runs_per_s(plan)
            figure = 1 / capacity if capacity is not None else math.inf
        case "energy":
            needed = joules(plan)
            figure = needed if needed is not None else math.inf
    return unknown, figure, seconds


def _rejected(chosen: Plan, other: Candidate, sla_s: float | None) -> Rejected:
    plan = other.plan
    if plan is None:
        reason = other.error.message if other.error is not None else "it cannot be planned"
        details = other.error.diagnostics[0].why if other.error is not None else None
        return Rejected(
            label=other.label, seconds=None, cost_usd=None, why=f"{reason}{f' ({details})' if details else ''}"
        )
    reasons = [] if keeps(plan, sla_s) else [f"its p95 of {duration(plan.p95_s or 0.0)} misses the SLA"]
    reasons += _differences(chosen, plan)
    reasons += [other.because] if other.because else []
    label = _label(chosen, plan) or other.label
    return Rejected(label=label, seconds=plan.seconds, cost_usd=plan.cost_usd, why="; ".join(reasons))


def _label(chosen: Plan, plan: Plan) -> str:
    """Where it has model calls that the chosen plan has elsewhere."""
    moves: dict[str, None] = {}
    for op in plan.ops:
        taken = chosen.by_id.get(op.id)
        if op.kind != "decode" or taken is None:
            continue
        if op.place != taken.place:
            moves[f"{op.place} instead of {taken.place}"] = None
        elif op.device != taken.device:
            moves[f"{op.place} on {op.device} instead of {taken.device}"] = None
    return ", ".join(moves)


def _differences(chosen: Plan, plan: Plan) -> list[str]:
    """By how much it is worse or better, the objective's figure first."""
    found = {"latency": _compared(chosen.seconds.mid, plan.seconds.mid, duration, "slower", "faster")}
    if chosen.cost_usd is None or plan.cost_usd is None:
        unknown = plan.cost_usd is None and chosen.cost_usd is not None
        found["cost"] = "its price is unknown" if unknown else ""
    else:
        found["cost"] = _compared(chosen.cost_usd.mid, plan.cost_usd.mid, dollars, "dearer", "cheaper")
    if chosen.objective == "throughput":
        most, other = capacity_runs_per_s(chosen), capacity_runs_per_s(plan)
        if most is not None and other is not None:
            found["throughput"] = f"takes {other:.2g} runs/s, not {most:.2g}"
    if chosen.objective == "energy":
        least, own = joules(chosen), joules(plan)
        if least is not None and own is not None:
            found["energy"] = f"{_energy(own)} instead of {_energy(least)}"
    ordered = sorted(found, key=lambda name: name != chosen.objective)
    return [found[name] for name in ordered if found[name]] or ["as fast and as dear"]


def _energy(joules: float) -> str:
    return f"{two_digits(joules / 1000)} kJ" if joules >= 1000 else f"{two_digits(joules)} J"


def _compared(chosen: float, other: float, form: Callable[[float], str], more: str, less: str) -> str:
    if abs(other - chosen) <= NO_DIFFERENCE * max(chosen, other):
        return ""
    relative = f" ({share(abs(other - chosen), chosen)})" if 0 < abs(other - chosen) < 10 * chosen else ""
    return f"{form(abs(other - chosen))} {more if other > chosen else less}{relative}"


def _too_slow(candidates: Sequence[Candidate], sla_s: float | None) -> PlanError:
    assert sla_s is not None
    plan = fastest(candidates).plan
    assert plan is not None
    parts = [f"{name} {share(part, plan.seconds.mid)}" for name, part in on_critical_path(plan).items()]
    return PlanError(
        TOO_SLOW,
        f"no plan keeps the SLA of {duration(sla_s)}: the fastest of {len(candidates)} has a p95 of "
        f"{duration(plan.p95_s or 0.0)}",
        why=f"on its critical path {' → '.join(_worth_naming(plan))} the time goes into {', '.join(parts[:3])}",
        fix=f"ask for {at_least(plan.p95_s or 0.0)} or more, bound replies with max_tokens, or see what a device "
        "would change with `orch explain TARGET --what-if device=NAME`",
    )


def _worth_naming(plan: Plan) -> list[str]:
    """The ops of the critical path that take a hundredth of the time or more."""
    return [name for name in plan.critical_path if plan.by_id[name].seconds.mid >= 0.01 * plan.seconds.mid]


def _unknown(objective: Objective) -> PlanError:
    needs = {"throughput": "an engine on a known device", "energy": "power_w of every device that answers model calls"}
    return PlanError(
        "ORCH-P022",
        f"nothing can be planned for {objective}: the figures it needs are unknown",
        why=f"it takes {needs[objective]}",
        fix="describe the hardware in a cluster file and name it with --cluster",
    )
