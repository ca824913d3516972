"""The gate: what counts as worse, and who is blamed."""

from __future__ import annotations

import pytest

from orchestrator.errors import PlanError
from orchestrator.planner.check import check
from orchestrator.planner.interval import Interval
from orchestrator.planner.plan import Plan
from tests.planner.test_plan import op, small_plan


def made(slow_s: float = 2.0, usd: float | None = 0.01, p95_s: float | None = None, source: str = "app.py:7") -> Plan:
    cost = Interval.exact(usd) if usd is not None else None
    ops = (
        op("quick", cost_usd=Interval.exact(0.001)),
        op("slow", seconds=Interval.exact(slow_s), after=("quick",), source=source, cost_usd=cost),
    )
    total = Interval.exact(usd + 0.001) if usd is not None else None
    p95_s = 1 + slow_s if p95_s is None else p95_s
    return small_plan(ops=ops, seconds=Interval.exact(1 + slow_s), cost_usd=total, p95_s=p95_s, critical_path=())


def worse(before: Plan, after: Plan, tolerance: float = 0.05) -> PlanError:
    with pytest.raises(PlanError) as caught:
        check(before, after, tolerance)
    return caught.value


def test_equal_better_and_slightly_worse_pass() -> None:
    assert check(made(), made()).changed == ()
    check(made(), made(slow_s=1.0, usd=0.001))
    check(made(), made(slow_s=2.1, usd=0.0105))


def test_just_beyond_the_tolerance_fails_and_just_within_passes() -> None:
    check(made(p95_s=100.0), made(p95_s=105.0))
    assert worse(made(p95_s=100.0), made(p95_s=105.1)).code == "ORCH-P030"
    check(made(p95_s=100.0), made(p95_s=105.1), 0.06)
    assert worse(made(p95_s=100.0), made(p95_s=100.1), 0.0).code == "ORCH-P030"


def test_the_op_that_did_it_is_named_with_its_line() -> None:
    [problem] = worse(made(), made(slow_s=5.0)).diagnostics
    assert problem.code == "ORCH-P030"
    assert "3s → 6s (+100.0%; 5.0% is allowed)" in problem.message
    assert "slow (+3s)" in (problem.why or "")
    assert "quick" not in (problem.why or "")
    assert str(problem.where) == "app.py:7"


def test_a_dearer_op_is_named() -> None:
    [problem] = worse(made(), made(usd=0.02)).diagnostics
    assert problem.code == "ORCH-P031"
    assert "$11.00 → $21.00" in problem.message
    assert "slow (+$10.00)" in (problem.why or "")


def test_slower_and_dearer_are_told_together() -> None:
    found = worse(made(), made(slow_s=9.0, usd=1.0))
    assert [each.code for each in found.diagnostics] == ["ORCH-P030", "ORCH-P031"]


def test_a_price_that_was_known_must_stay_known() -> None:
    [problem] = worse(made(), made(usd=None)).diagnostics
    assert problem.code == "ORCH-P032"
    assert "slow" in (problem.why or "")
    check(made(usd=None), made(usd=5.0))
    check(made(usd=None), made(usd=None))


def test_a_wider_estimate_blames_the_op_whose_high_end_rose() -> None:
    before = made()
    wide = before.ops[1].model_copy(update={"seconds": Interval(2, 2, 50)})
    after = before.model_copy(update={"ops": (before.ops[0], wide), "p95_s": 40.0})
    assert "slow" in (worse(before, after).diagnostics[0].why or "")


def test_an_order_that_got_worse_blames_no_op() -> None:
    before = made().model_copy(update={"p95_s": 2.0})
    assert "no single op" in (worse(before, made()).diagnostics[0].why or "")
    rated = made().model_copy(update={"rate_per_s": 3.0})
    assert "another rate" in (worse(before, rated).diagnostics[0].why or "")


def test_a_plan_without_a_p95_gets_one() -> None:
    before = made().model_copy(update={"p95_s": None})
    check(before, made())
    assert worse(before, made(slow_s=4.0)).code == "ORCH-P030"


def test_a_source_that_is_no_line_is_left_out() -> None:
    assert worse(made(source=""), made(slow_s=5.0, source="")).diagnostics[0].where is None


def test_plans_of_different_workflows_are_not_compared() -> None:
    assert worse(made(), made().model_copy(update={"workflow": "other"})).code == "ORCH-P033"
