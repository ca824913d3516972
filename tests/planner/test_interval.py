import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planner.interval import ZERO, Interval, either, latest, total

figures = st.one_of(st.floats(0, 1e12), st.floats(0, 1e300))
intervals = st.lists(figures, min_size=3, max_size=3).map(lambda bounds: Interval(*sorted(bounds)))


@pytest.mark.parametrize("bounds", [(2, 1, 3), (1, 3, 2), (-1, 0, 1), (0, 1, float("inf")), (0, float("nan"), 1)])
def test_bounds_out_of_order_are_refused(bounds: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="lo <= mid <= hi"):
        Interval(*bounds)


@given(intervals, intervals, st.lists(intervals, max_size=5))
def test_arithmetic_keeps_the_order(a: Interval, b: Interval, more: list[Interval]) -> None:
    for made in (a + b, a * b, a.scaled(b.mid), total(more), latest(more), either(more)):
        assert made.lo <= made.mid <= made.hi


@given(intervals, intervals)
def test_either_holds_both_and_latest_is_no_earlier_than_each(a: Interval, b: Interval) -> None:
    hull = either([a, b])
    assert hull.lo <= min(a.lo, b.lo)
    assert hull.hi >= max(a.hi, b.hi)
    last = latest([a, b])
    assert all(x >= max(y, z) for x, y, z in zip(last.bounds, a.bounds, b.bounds, strict=True))


def test_nothing_takes_no_time() -> None:
    assert total([]) == latest([]) == either([]) == ZERO


def test_around_and_contains() -> None:
    guess = Interval.around(6, 3)
    assert guess.bounds == (2, 6, 18)
    assert 18 in guess
    assert 1.9 not in guess
