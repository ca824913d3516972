"""Between choices and the program's variables, both ways."""

from __future__ import annotations

from orchestrator.planner.solver.evaluate import picked, replicas, sustained_per_s, timing
from orchestrator.planner.solver.model import Model


def point_of(model: Model, picks: list[int], rate: float | None) -> list[float] | None:
    """Values of all columns for a plan at a rate, or ``None`` where the program left something out that it uses."""
    of, values = model.of, [0.0] * len(model.program.lower)
    chosen = picked(of, picks)
    count = replicas(of, picks, rate)
    for o, pick in enumerate(picks):
        values[model.x[o][pick]] = 1.0
        if model.rate is not None:
            values[model.w[o][pick]] = rate or 0.0
    if model.rate is not None:
        values[model.rate] = rate or 0.0
    for k, number in count.items():
        values[model.r[k]] = float(number)
    for name, column in model.used.items():
        values[column] = float(any(of.configurations[k].name == name for k in count))
    for flows, amount in ((model.flows, 1.0), (model.rate_flows, rate or 0.0)):
        for at, flow in flows.items():
            src, dst = chosen[of.edges[at].src], chosen[of.edges[at].dst]
            if of.problem.stays(of.edges[at].transfer, src.choice, dst.choice):
                continue
            if (src.pool, dst.pool) not in flow:
                return None
            values[flow[src.pool, dst.pool]] = amount
    if model.end is not None:
        found = timing(of, picks)
        for o, column in enumerate(model.starts):
            values[column] = (found.end_s[o] - chosen[o].seconds) / model.unit_s
        values[model.end] = found.seconds / model.unit_s
    inside = all(value <= upper + 1e-6 for value, upper in zip(values, model.program.upper, strict=True))
    return values if inside else None


def picks_of(model: Model, values: tuple[float, ...]) -> list[int]:
    """The choice of each op."""
    return [max(range(len(columns)), key=lambda c: values[columns[c]]) for columns in model.x]


def rate_of(model: Model, picks: list[int], values: tuple[float, ...]) -> float:
    """The rate a solution for the objective throughput reaches."""
    assert model.rate is not None
    count = {k: round(values[column]) for k, column in enumerate(model.r)}
    return min(values[model.rate], sustained_per_s(model.of, picks, count))
