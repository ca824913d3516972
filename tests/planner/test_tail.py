"""The 95th percentile of a plan's seconds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from orchestrator.planner import tail
from orchestrator.planner.interval import ZERO, Interval
from orchestrator.planner.plan import OpPlan, Plan
from orchestrator.planner.rollup import with_seconds
from orchestrator.planner.tail import LEVEL, p95_s, quantiles
from tests.planner.test_plan import op, small_plan
from tests.planner.test_rollup import everything, leaves


def chain(*ops: OpPlan, **changes: object) -> Plan:
    seconds = Interval(*(sum(each.seconds.bounds[at] for each in ops) for at in range(3)))
    return small_plan(ops=ops, seconds=seconds, critical_path=(), **changes)


def test_a_plan_without_doubt_takes_what_it_says() -> None:
    made = chain(op("a", seconds=Interval.exact(2)), op("b", seconds=Interval.exact(3), after=("a",)))
    assert p95_s(made) == pytest.approx(5.0)
    assert p95_s(small_plan(ops=(), seconds=ZERO, critical_path=())) == 0


def test_one_op_has_the_percentile_of_its_distribution() -> None:
    made = chain(op("a", seconds=Interval(1, 2, 6)))
    # The 95th percentile is 0.363 deviates beyond the 90th, at the slope of the upper half.
    assert p95_s(made) == pytest.approx(6 + (6 - 2) * (1.6449 - 1.2816) / 1.2816, rel=0.05)


def test_doubts_in_a_row_partly_cancel() -> None:
    apart = [op(f"op_{n}", place=f"place_{n}", seconds=Interval(1, 2, 6)) for n in range(8)]
    linked = [each.model_copy(update={"after": (f"op_{n - 1}",) if n else ()}) for n, each in enumerate(apart)]
    alone = p95_s(chain(apart[0]))
    assert 8 * 2 < p95_s(chain(*linked)) < 0.9 * 8 * alone


def test_what_shares_a_place_errs_together() -> None:
    def row(place: str) -> Plan:
        ops = [op(f"op_{n}", place=place.format(n), seconds=Interval(1, 2, 6)) for n in range(8)]
        return chain(*(each.model_copy(update={"after": (f"op_{n - 1}",) if n else ()}) for n, each in enumerate(ops)))

    assert p95_s(row("engine:main")) > 1.05 * p95_s(row("place_{}"))


def test_the_slower_of_two_side_by_side_counts() -> None:
    both = (op("a", place="x", seconds=Interval(1, 2, 6)), op("b", place="y", seconds=Interval(1, 2, 6)))
    assert p95_s(small_plan(ops=both, seconds=Interval(1, 2, 6), critical_path=())) > p95_s(chain(both[0]))


def test_an_arm_that_does_nothing_leaves_the_other_half_the_runs() -> None:
    inside = op("arm", seconds=Interval.exact(4), parent="b", region="then", count=Interval(0, 0.5, 1))
    branch = op("b", kind="branch", place="inline", seconds=Interval(0, 2, 4))
    made = small_plan(ops=(branch, inside), seconds=Interval(0, 2, 4), critical_path=())
    assert p95_s(made) == pytest.approx(4.0)


def test_it_depends_on_the_plan_alone() -> None:
    made = everything(1.0, 0.5)
    assert p95_s(made) == p95_s(Plan.from_json(made.to_json()))
    renamed = small_plan(ops=(op("z", seconds=ZERO), *made.ops), seconds=made.seconds, critical_path=())
    assert p95_s(renamed) == p95_s(made)


def test_it_grows_with_any_op() -> None:
    made = everything(1.0, 0.5)
    for name, seconds in leaves(made).items():
        assert p95_s(with_seconds(made, {name: seconds.scaled(1.5)})) >= p95_s(made)


@given(st.lists(st.floats(0, 1e3), min_size=3, max_size=3).map(sorted), st.floats(-4, 4), st.floats(-4, 4))
def test_quantiles_rise_and_hit_the_bounds(bounds: list[float], one: float, other: float) -> None:
    interval = Interval(*bounds)
    low, high = quantiles(interval, np.array(sorted([one, other])))
    assert 0 <= low <= high * (1 + 1e-9)
    at = quantiles(interval, np.array([-1.2815515655446004, 0.0, 1.2815515655446004]))
    assert at == pytest.approx(np.array(interval.bounds), rel=1e-6, abs=1e-9)


def test_an_interval_covers_its_level() -> None:
    drawn = quantiles(Interval(1, 2, 6), np.random.default_rng(1).standard_normal(20_000))
    assert np.mean((drawn >= 1) & (drawn <= 6)) == pytest.approx(LEVEL, abs=0.01)


def test_draws_in_pieces_are_the_draws_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = everything(slow_s=7.0, quick_s=2.0)
    whole = tail.draws(made)
    held: list[int] = []

    def quantiles_of(seconds: Interval, deviates: NDArray[np.float64]) -> NDArray[np.float64]:
        held.append(len(deviates))
        return quantiles(seconds, deviates)

    monkeypatch.setattr(tail, "AT_ONCE", 900 * len(made.ops))
    monkeypatch.setattr(tail, "quantiles", quantiles_of)
    assert np.array_equal(tail.draws(made), whole)
    assert set(held) == {900, 4_000 - 4 * 900}
