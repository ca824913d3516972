"""The calls of an op whose engines share them: what each engine does, and what that makes of the op.

An op with :attr:`~orchestrator.planner.plan.OpPlan.shares` counts on each of its engines by its share. A call takes on
each what the cost model says for that engine, scaled as the op's own seconds are (by corrections from measured runs,
by waiting). An execution meets one of them: its seconds are the mean of their middles, between the lowest low and the
highest high.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from orchestrator.planner.breakdown import batch_cap, spent
from orchestrator.planner.cost.call import CallCost, call_cost
from orchestrator.planner.interval import Interval, total
from orchestrator.planner.plan import OpPlan, Plan, Share
from orchestrator.planner.rollup import with_seconds
from orchestrator.planner.serving import Serving, resolve

ONE_REPLY: Final[Mapping[str, int]] = {}
"""Replies of each model call where no call samples several."""


def engines_of(op: OpPlan) -> tuple[str, ...]:
    """The engines that take calls of the op, the one with most of them first; none for anything but a model call."""
    if op.shares:
        return tuple(each.engine for each in op.shares)
    name = op.place.removeprefix("engine:")
    return (name,) if name != op.place else ()


def calls_by_engine(plan: Plan, samples: Mapping[str, int] = ONE_REPLY) -> dict[str, list[OpPlan]]:
    """The model calls of each engine, each as often as the engine has it and with the engine's own figures."""
    found: dict[str, list[OpPlan]] = {}
    for op in plan.ops:
        if op.kind == "decode" and op.count.mid > 0:
            for engine, part in parts(plan, op, samples):
                found.setdefault(engine, []).append(part)
    return found


def parts(plan: Plan, op: OpPlan, samples: Mapping[str, int] = ONE_REPLY) -> tuple[tuple[str, OpPlan], ...]:
    """By engine what it does of a model call: ``count`` is its share of the executions."""
    if not op.shares:
        return tuple((engine, op) for engine in engines_of(op))
    replies = samples.get(op.id, 1)
    servings = [resolve(plan.cluster.engine(each.engine), plan.cluster) for each in op.shares]
    costs = [_cost(op, serving, replies) for serving in servings]
    mean = sum(each.share * cost.seconds.mid for each, cost in zip(op.shares, costs, strict=True))
    scale = op.seconds.mid / mean if mean > 0 else 1.0
    found = []
    for each, serving, cost in zip(op.shares, servings, costs, strict=True):
        update = {
            "place": f"engine:{each.engine}",
            "device": serving.engine.device,
            "shares": (),
            "seconds": cost.seconds.scaled(scale),
            "count": op.count.scaled(each.share),
        }
        part = op.model_copy(update=update)
        if op.batch_cap is not None:
            own = {"batch_cap": batch_cap(part, serving, replies), "spent_s": spent(part, serving, replies)}
            part = part.model_copy(update=own)
        found.append((each.engine, part))
    return tuple(found)


def shared(plan: Plan, shares: Mapping[str, tuple[Share, ...]], samples: Mapping[str, int]) -> Plan:
    """The plan, placed at each op's first share, with all shares, and the seconds and dollars that they make."""
    ops: dict[str, OpPlan] = {}
    for name, each in shares.items():
        op, replies = plan.by_id[name], samples.get(name, 1)
        costs = [_cost(op, resolve(plan.cluster.engine(one.engine), plan.cluster), replies) for one in each]
        scale = op.seconds.mid / costs[0].seconds.mid if costs[0].seconds.mid > 0 else 1.0
        weights = [one.share for one in each]
        dollars = [cost.cost_usd for cost in costs if cost.cost_usd is not None]
        ops[name] = op.model_copy(
            update={
                "shares": each,
                "seconds": mixed([cost.seconds.scaled(scale) for cost in costs], weights),
                "cost_usd": mixed([usd.scaled(scale) for usd in dollars], weights)
                if len(dollars) == len(costs)
                else None,
            }
        )
    if not ops:
        return plan
    timed = with_seconds(plan, {name: op.seconds for name, op in ops.items()})
    update = {name: {"shares": op.shares, "cost_usd": op.cost_usd} for name, op in ops.items()}
    every = tuple(op.model_copy(update=update.get(op.id, {})) for op in timed.ops)
    costs_usd = [op.cost_usd for op in every]
    priced = [op.cost_usd * op.count for op in every if op.cost_usd is not None]
    return timed.model_copy(update={"ops": every, "cost_usd": total(priced) if None not in costs_usd else None})


def mixed(of: Sequence[Interval], weights: Iterable[float]) -> Interval:
    """One of several, met as often as its weight says: the hull, with the weighted mean of the middles."""
    lo, hi = min(each.lo for each in of), max(each.hi for each in of)
    mean = sum(each.mid * weight for each, weight in zip(of, weights, strict=True))
    return Interval(lo, min(max(mean, lo), hi), hi)


def _cost(op: OpPlan, serving: Serving, replies: int) -> CallCost:
    return call_cost(serving, op.tokens_in, op.tokens_in, op.tokens_out.scaled(1 / replies), replies)
