"""What a plan's hardware and services cost an hour and a month.

A device is paid for as long as it is rented, busy or not, and all of its ``count``; a service by the tokens of the runs
that arrive. What has no price is named, and the bill of the others is not the whole.
"""

from __future__ import annotations

from typing import Final

from orchestrator.planner.plan import Bill, Plan

HOURS_A_MONTH: Final = 730.0


def bill(plan: Plan) -> Bill | None:
    """The bill of the devices and services that the plan uses; None where no price of any is known."""
    parts = _devices(plan) | _services(plan)
    known = [usd for usd in parts.values() if usd is not None]
    if not known:
        return None
    whole = sum(known) if len(known) == len(parts) else None
    return Bill(
        usd_per_hour=whole, usd_per_month=None if whole is None else whole * HOURS_A_MONTH, parts_usd_per_hour=parts
    )


def _devices(plan: Plan) -> dict[str, float | None]:
    # Bookkeeping runs wherever the coordinator does, which need not be rented for it.
    used = {op.device: op.place == "inline" for op in sorted(plan.ops, key=lambda op: op.place != "inline")}
    shared = [plan.cluster.engine(each.engine).device for op in plan.ops for each in op.shares]
    used |= dict.fromkeys(shared, False)
    return {
        each.name: None if each.usd_per_hour is None else each.usd_per_hour * each.count
        for each in plan.cluster.devices
        if each.name in used and not (used[each.name] and each.usd_per_hour is None)
    }


def _services(plan: Plan) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for engine in plan.cluster.engines:
        calls = [op for op in plan.ops if op.place == f"engine:{engine.name}"]
        if engine.device is not None or not calls:
            continue
        usd = 0.0
        for op in calls:
            if op.cost_usd is None or plan.rate_per_s is None:
                found[engine.name] = None
                break
            usd += op.cost_usd.mid * op.count.mid * plan.rate_per_s * 3600
        else:
            found[engine.name] = usd
    return found
