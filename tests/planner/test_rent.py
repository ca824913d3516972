from pathlib import Path

import pytest

from orchestrator.planner.plan import Plan
from orchestrator.planner.rent import rented
from tests.planner.test_siting import planned


def rent_usd_per_s(plan: Plan) -> float:
    sites = {site.device for site in plan.sites}
    return sum((each.usd_per_hour or 0) * each.count for each in plan.cluster.devices if each.name in sites) / 3600


def test_at_a_rate_model_calls_share_the_rent(tmp_path: Path) -> None:
    plan = planned(tmp_path, objective="cost", rate_per_s=2.0)
    calls = [op for op in plan.ops if op.kind == "decode"]
    shares = [op.cost_usd.mid * op.count.mid for op in calls if op.cost_usd is not None]
    assert sum(shares) == pytest.approx(rent_usd_per_s(plan) / 2.0)
    assert plan.cost_usd is not None
    assert plan.cost_usd.lo >= rent_usd_per_s(plan) / 2.0 * 0.999


def test_without_a_rate_a_call_costs_its_time(tmp_path: Path) -> None:
    plan = planned(tmp_path, objective="cost")
    assert rented(plan) is plan


def test_an_unknown_price_stays_unknown(tmp_path: Path) -> None:
    plan = planned(tmp_path, objective="cost", rate_per_s=2.0)
    unpriced = tuple(each.model_copy(update={"usd_per_hour": None}) for each in plan.cluster.devices)
    cluster = plan.cluster.model_copy(update={"devices": unpriced})
    without = plan.model_copy(update={"cluster": cluster})
    assert rented(without) is without
