"""Between plans and the program's variables, both ways."""

from __future__ import annotations

from orchestrator.planner.solver.evaluate import Spread, replicas, routes, sustained_per_s, timing
from orchestrator.planner.solver.model import Model

DUST = 1e-5
"""Shares below are the solver's rounding."""


def point_of(model: Model, spread: Spread, rate: float | None) -> list[float] | None:
    """Values of all columns for a plan at a rate, or ``None`` where the program left something out that it uses."""
    of, values = model.of, [0.0] * len(model.program.lower)
    count = replicas(of, spread, rate)
    whole = 1.0
    if model.rate is not None:
        whole = rate or 0.0
        values[model.rate] = whole
    for columns, shares in zip(model.w, spread.shares, strict=True):
        for pick, share in shares.items():
            values[columns[pick]] = share * whole
    for k, number in count.items():
        values[model.r[k]] = float(number)
    for name, column in model.used.items():
        values[column] = float(any(of.configurations[k].name == name for k in count))
    for at, flow in model.flows.items():
        for way, share in routes(of, spread, at).items():
            if way not in flow:
                return None
            values[flow[way]] = share * whole
    _time(model, spread, values)
    inside = all(value <= upper + 1e-6 for value, upper in zip(values, model.program.upper, strict=True))
    return values if inside else None


def _time(model: Model, spread: Spread, values: list[float]) -> None:
    """Sets the columns of the critical path, and of what is used."""
    of = model.of
    for o, levels in enumerate(model.levels):
        slowest = max(of.options[o][pick].seconds for pick in spread.shares[o])
        for level, column in levels:
            values[column] = float(slowest >= level)
    for (o, pool, moves), column in model.here.items():
        engines = [of.options[o][pick] for pick in spread.shares[o] if of.options[o][pick].pool == pool]
        values[column] = float(
            any(not moves or of.configurations[each.configuration].mode != "aggregated" for each in engines)
        )
    found = timing(of, spread)
    for at, column in model.delays.items():
        values[column] = found.delay_s[at] / model.unit_s
    if model.end is not None:
        for o, column in enumerate(model.starts):
            values[column] = found.start_s[o] / model.unit_s
        values[model.end] = found.seconds / model.unit_s


def spread_of(model: Model, values: tuple[float, ...]) -> Spread:
    """The shares of each op, and the ways of the transfers that have a flow."""
    shares = []
    for columns in model.w:
        whole = sum(values[column] for column in columns)
        kept = {c: values[column] for c, column in enumerate(columns) if values[column] > DUST * whole}
        if not kept:  # nothing is carried at all
            kept = {max(range(len(columns)), key=lambda c: model.program.upper[columns[c]]): 1.0}
        whole = sum(kept.values())
        shares.append({c: value / whole for c, value in kept.items()})
    ways = {}
    if model.splits:
        whole = values[model.rate] if model.rate is not None else 1.0
        for at, flow in model.flows.items():
            ways[at] = {pair: values[column] / whole for pair, column in flow.items() if values[column] > DUST * whole}
    return Spread(tuple(shares), ways)


def rate_of(model: Model, spread: Spread, values: tuple[float, ...]) -> float:
    """The rate a solution for the objective throughput reaches."""
    assert model.rate is not None
    count = {k: round(values[column]) for k, column in enumerate(model.r)}
    return min(values[model.rate], sustained_per_s(model.of, spread, count))
