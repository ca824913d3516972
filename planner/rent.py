"""What a run costs where devices are rented by the hour for a rate of runs, however busy they are."""

from __future__ import annotations

from orchestrator.planner.interval import ZERO, Interval, total
from orchestrator.planner.plan import Plan


def rented(plan: Plan) -> Plan:
    """The plan with the rent of its sites shared by the runs that arrive, and by model calls as they use the devices.

    Without a rate nobody shares anything, and each call costs its time on the devices, as it does in any other plan.
    """
    if plan.rate_per_s is None or not plan.sites:
        return plan
    devices = {site.device for site in plan.sites}
    calls = [op for op in plan.ops if op.kind == "decode" and op.device in devices]
    used = sum(op.cost_usd.mid * op.count.mid for op in calls if op.cost_usd is not None)
    prices = [each.usd_per_hour for each in plan.cluster.devices if each.name in devices]
    if not used or any(price is None for price in prices):
        return plan
    hourly = sum((each.usd_per_hour or 0.0) * each.count for each in plan.cluster.devices if each.name in devices)
    share = hourly / 3600 / plan.rate_per_s / used
    ids = {op.id for op in calls}
    ops = tuple(
        op.model_copy(update={"cost_usd": Interval.exact(op.cost_usd.mid * share)})
        if op.id in ids and op.cost_usd is not None
        else op
        for op in plan.ops
    )
    costs = [op.cost_usd for op in ops]
    # A call that may run more or less often does not change the rent.
    rest = [op.cost_usd * op.count for op in ops if op.id not in ids and op.cost_usd is not None]
    whole = total([Interval.exact(hourly / 3600 / plan.rate_per_s), *rest]) if None not in costs else None
    return plan.model_copy(update={"ops": ops, "cost_usd": whole if whole != ZERO else plan.cost_usd})
