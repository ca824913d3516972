"""Problems without a plan, and problems that are none."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.errors import PlanError
from orchestrator.planner.placement import (
    Choice,
    Configuration,
    Link,
    Op,
    Pool,
    Problem,
    Transfer,
    Workload,
    explain_infeasible,
    pareto,
    solve,
)
from orchestrator.planner.solver import conflict as conflicts
from orchestrator.planner.solver.limits import limits
from tests.planner.placements import brute_force, loosened, random_problem


def two_ops(**load: float | None) -> Problem:
    """Two ops of a second each on one pool of two devices."""
    ways = (Choice("gpu", seconds=1.0, busy_s=0.5),)
    return Problem(
        pools=(Pool("gpu", "h100", 2, 3.6, 700.0, 80e9),),
        configurations=(Configuration("gpu", "gpu", memory_bytes=40e9),),
        ops=(Op("draft", ways), Op("check", ways)),
        transfers=(Transfer("draft", "check", 1e9),),
        workload=Workload(**load),  # type: ignore[arg-type]
    )


def refused(problem: Problem, code: str, *, objective: Any = "cost", **options: Any) -> str:
    with pytest.raises(PlanError) as caught:
        solve(problem, objective, **options)
    assert caught.value.code == code
    return str(caught.value)


# Conflicts.


def test_an_sla_nothing_meets_names_the_fastest_plan() -> None:
    text = refused(two_ops(sla_s=1.5), "ORCH-P047")
    assert "no plan keeps these limits together: sla" in text
    assert "`sla_s` allows 1.5 s, the fastest plan takes 2 s" in text
    assert "raise `sla_s` to 2.001 s" in text
    solve(two_ops(sla_s=2.001), "cost")


def test_a_budget_and_a_rate_conflict_and_each_could_give_way() -> None:
    found = explain_infeasible(two_ops(rate_per_s=1.0, budget_usd_per_hour=5.0))
    assert found is not None
    assert found.limits == ("budget", "rate")
    assert found.smallest
    assert "the cheapest plan takes $7.2/h" in found.why
    assert "0.8 can be had" in found.why
    solve(two_ops(rate_per_s=0.8, budget_usd_per_hour=5.0), "cost")
    solve(two_ops(rate_per_s=1.0, budget_usd_per_hour=7.2), "cost")


def test_a_rate_beyond_the_pool_names_its_devices() -> None:
    text = refused(two_ops(rate_per_s=2.0), "ORCH-P047")
    assert "rate, capacity of gpu" in text
    assert "pool 'gpu' has 2 x h100" in text


def test_pools_that_are_not_linked_are_named() -> None:
    apart = replace(
        two_ops(),
        pools=(Pool("gpu", "h100", 2, 1.0), Pool("cpu", "x86", 2, 1.0)),
        configurations=(Configuration("gpu", "gpu"), Configuration("cpu", "cpu")),
        ops=(Op("draft", (Choice("gpu", 1.0, 1.0),)), Op("check", (Choice("cpu", 1.0, 1.0),))),
    )
    assert "no link leads from 'gpu' to 'cpu'" in refused(apart, "ORCH-P047")
    solve(replace(apart, links=(Link("gpu", "cpu", 1e9),)), "cost")


def test_a_problem_with_a_plan_has_no_conflict() -> None:
    assert explain_infeasible(two_ops(sla_s=2.0, rate_per_s=1.0, budget_usd_per_hour=7.2)) is None


@pytest.mark.parametrize("seed", range(40))
def test_a_conflict_is_the_smallest_there_is(seed: int) -> None:
    """By brute force over all plans and all smaller sets of limits."""
    problem = random_problem(seed, most_ops=4, most_plans=60)
    problem = replace(problem, workload=replace(problem.workload, sla_s=(problem.workload.sla_s or 4.0) / 2))
    try:
        found = explain_infeasible(problem)
    except PlanError as error:
        assert error.code == "ORCH-P044", error
        return
    if found is None:
        assert brute_force(problem) is not None
        return
    assert found.smallest
    together = frozenset(found.limits)
    assert brute_force(loosened(problem, together)) is None
    for member in together:
        assert brute_force(loosened(problem, together - {member})) is not None
    for smaller in itertools.combinations(limits(problem), len(together) - 1):
        assert brute_force(loosened(problem, frozenset(smaller))) is not None


@pytest.mark.parametrize("seed", range(40, 70))
def test_without_time_for_the_smallest_no_member_is_too_many(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conflicts, "_SEARCH_SHARE", 0.0)
    problem = random_problem(seed, most_ops=4, most_plans=60)
    try:
        found = explain_infeasible(problem)
    except PlanError as error:
        assert error.code == "ORCH-P044", error
        return
    if found is None:
        assert brute_force(problem) is not None
        return
    assert not found.smallest
    together = frozenset(found.limits)
    assert brute_force(loosened(problem, together)) is None
    for member in together:
        assert brute_force(loosened(problem, together - {member})) is not None


# Problems that are none.


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_each_wrong_figure_is_named_by_part_and_field(bad: float) -> None:
    good = two_ops()
    [way] = good.ops[0].choices
    cases: list[tuple[Problem, str]] = [
        (
            replace(good, pools=(replace(good.pools[0], usd_per_device_hour=bad),)),
            "`usd_per_device_hour` of pool 'gpu'",
        ),
        (replace(good, pools=(replace(good.pools[0], watts=bad),)), "`watts` of pool 'gpu'"),
        (replace(good, configurations=(replace(good.configurations[0], kv_bytes=bad),)), "`kv_bytes` of configuration"),
        (replace(good, ops=(replace(good.ops[0], executions=bad), good.ops[1])), "`executions` of op 'draft'"),
        (
            replace(good, ops=(replace(good.ops[0], choices=(replace(way, seconds=bad),)), good.ops[1])),
            "`seconds` of op 'draft' on 'gpu'",
        ),
        (replace(good, transfers=(Transfer("draft", "check", bad),)), "`moved_bytes` of transfer 'draft' -> 'check'"),
        (replace(good, links=(Link("gpu", "gpu", bad),)), "`bytes_per_s` of link 'gpu' -> 'gpu'"),
        (replace(good, workload=Workload(rate_per_s=bad)), "`rate_per_s` of the workload"),
        (replace(good, workload=Workload(utilisation=bad)), "`utilisation` of the workload"),
    ]
    for problem, named in cases:
        assert named in refused(problem, "ORCH-P040")


def test_zero_is_no_rate_no_bandwidth_and_no_sla() -> None:
    good = two_ops()
    refused(replace(good, workload=Workload(rate_per_s=0.0)), "ORCH-P040")
    refused(replace(good, workload=Workload(sla_s=0.0)), "ORCH-P040")
    refused(replace(good, links=(Link("gpu", "gpu", 0.0),)), "ORCH-P040")
    refused(replace(good, workload=Workload(utilisation=1.5)), "ORCH-P040")


def test_all_problems_are_reported_together() -> None:
    bad = replace(two_ops(), pools=(Pool("gpu", "h100", -2, -1.0),), workload=Workload(rate_per_s=-1.0))
    with pytest.raises(PlanError) as caught:
        solve(bad, "cost")
    assert len(caught.value.diagnostics) == 3


def test_an_empty_cluster_and_an_empty_workflow() -> None:
    good = two_ops()
    assert "the cluster is empty" in refused(replace(good, pools=(replace(good.pools[0], count=0),)), "ORCH-P041")
    refused(Problem((), (), good.ops), "ORCH-P041")
    refused(replace(good, ops=(), transfers=()), "ORCH-P041")


def test_names_that_nothing_or_two_things_bear() -> None:
    good = two_ops()
    assert "names 'tpu'" in refused(replace(good, configurations=(Configuration("gpu", "tpu"),)), "ORCH-P042")
    refused(replace(good, transfers=(Transfer("draft", "chekc"),)), "ORCH-P042")
    refused(replace(good, links=(Link("gpu", "cpu", 1.0),)), "ORCH-P042")
    refused(replace(good, ops=(Op("draft", (Choice("tp2", 1.0, 1.0),)), good.ops[1])), "ORCH-P042")
    assert "two are named op 'draft'" in refused(replace(good, ops=(good.ops[0], *good.ops)), "ORCH-P042")


def test_a_cycle_is_spelled_out() -> None:
    round_trip = replace(two_ops(), transfers=(Transfer("draft", "check"), Transfer("check", "draft")))
    text = refused(round_trip, "ORCH-P043")
    assert "draft -> check -> draft" in text or "check -> draft -> check" in text
    refused(replace(two_ops(), transfers=(Transfer("draft", "draft"),)), "ORCH-P043")


def test_a_model_that_fits_nowhere_names_what_is_short() -> None:
    good = two_ops()
    text = refused(replace(good, configurations=(Configuration("gpu", "gpu", memory_bytes=140e9),)), "ORCH-P044")
    assert "needs 140 GB of `memory_bytes` and a device has 80 GB" in text
    refused(replace(good, ops=(Op("draft", ()), good.ops[1])), "ORCH-P044")


# Prices nobody knows.


def with_an_unpriced_pool() -> Problem:
    """The pool nobody knows the price of would win if unknown were 0."""
    good = two_ops()
    ways = (*good.ops[0].choices, Choice("free", 1.0, 0.5))
    return replace(
        good,
        pools=(*good.pools, Pool("free", "h200", 2, None)),
        configurations=(*good.configurations, Configuration("free", "free")),
        ops=tuple(replace(op, choices=ways) for op in good.ops),
        links=(Link("gpu", "free", 1e9), Link("free", "gpu", 1e9)),
    )


def test_an_unknown_price_is_refused_or_left_out_and_said() -> None:
    problem = with_an_unpriced_pool()
    assert "`usd_per_device_hour` of pool 'free'" in refused(problem, "ORCH-P045")
    assert "`watts` of pool 'free'" in refused(problem, "ORCH-P046", objective="energy")
    found = solve(problem, "cost", leave_out_unknown=True)
    assert {each.configuration for each in found.assignment.values()} == {"gpu"}
    assert found.left_out == ("pool 'free'",)
    with pytest.raises(PlanError, match="ORCH-P045"):
        pareto(problem)
    refused(replace(problem, workload=Workload(budget_usd_per_hour=1.0)), "ORCH-P045", objective="latency")


def test_a_plan_on_an_unpriced_pool_has_no_price() -> None:
    problem = with_an_unpriced_pool()
    quick = tuple(
        replace(
            op, choices=tuple(replace(way, seconds=0.1) if way.configuration == "free" else way for way in op.choices)
        )
        for op in problem.ops
    )
    found = solve(replace(problem, ops=quick), "latency")
    assert {each.configuration for each in found.assignment.values()} == {"free"}
    assert found.usd_per_hour is None
    assert found.usd_per_run is None
    assert found.joules_per_run is None


def test_a_charge_or_an_egress_price_that_is_unknown() -> None:
    good = two_ops()
    unpriced = replace(good, ops=(Op("draft", (Choice("gpu", 1.0, 0.5, usd=None),)), good.ops[1]))
    assert "`usd` of configuration 'gpu'" in refused(unpriced, "ORCH-P045")
    assert "op 'draft' has nowhere to run" in refused(unpriced, "ORCH-P045", leave_out_unknown=True)
    link = replace(with_an_unpriced_pool(), links=(Link("gpu", "gpu", 1e9, usd_per_byte=None),))
    assert "`usd_per_byte` of link 'gpu' -> 'gpu'" in refused(link, "ORCH-P045")


# Arguments.


def test_nothing_bounds_the_throughput_of_ops_that_occupy_nothing() -> None:
    idle = replace(two_ops(), ops=(Op("draft", (Choice("gpu", 1.0, 0.0),)), Op("check", (Choice("gpu", 1.0, 0.0),))))
    refused(idle, "ORCH-P049", objective="throughput")


def test_arguments_out_of_range() -> None:
    refused(two_ops(), "ORCH-P051", gap=-0.1)
    refused(two_ops(), "ORCH-P051", time_limit_s=math.nan)
    with pytest.raises(PlanError, match="ORCH-P051"):
        pareto(two_ops(), 1)


def test_a_solver_without_time_says_so() -> None:
    draw = random.Random(0)
    names = [f"p{at}" for at in range(6)]
    ops = tuple(
        Op(f"o{at}", tuple(Choice(name, draw.uniform(1, 9), draw.uniform(1, 9)) for name in names)) for at in range(40)
    )
    problem = Problem(
        tuple(Pool(name, "x", 500, draw.uniform(1, 9)) for name in names),
        tuple(Configuration(name, name) for name in names),
        ops,
        tuple(Transfer(f"o{at - 1}", f"o{at}", 1e9) for at in range(1, 40)),
        tuple(Link(p, q, 1e9) for p in names for q in names if p != q),
        Workload(rate_per_s=1.0, sla_s=150.0),
    )
    refused(problem, "ORCH-P048", time_limit_s=0.0)
