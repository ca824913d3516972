"""Quantiles of a stream stay within their stated error."""

from __future__ import annotations

from sys import getsizeof

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planner.simulate.quantiles import RELATIVE_ERROR, SMALLEST_S, Quantiles

durations = st.lists(st.floats(1e-5, 1e6), min_size=1, max_size=200)


@given(durations, st.floats(0, 1))
def test_a_quantile_is_within_the_relative_error_of_the_value_at_its_rank(values: list[float], share: float) -> None:
    stream = Quantiles()
    for value in values:
        stream.add(value)
    exact = sorted(values)[int(share * (len(values) - 1))]
    answer = stream.quantile(share)
    assert answer is not None
    assert abs(answer - exact) <= RELATIVE_ERROR * exact * (1 + 1e-9)


@given(durations, durations)
def test_merging_counts_both_streams(left: list[float], right: list[float]) -> None:
    one, other, both = Quantiles(), Quantiles(), Quantiles()
    for value in left:
        one.add(value)
    for value in right:
        other.add(value)
    for value in left + right:
        both.add(value)
    one.merge(other)
    assert one.count == both.count
    assert [one.quantile(q) for q in (0, 0.5, 1)] == [both.quantile(q) for q in (0, 0.5, 1)]
    assert one.largest == max(left + right)


def test_nothing_zero_and_huge() -> None:
    stream = Quantiles()
    assert (stream.quantile(0.5), stream.mean) == (None, None)
    stream.add(0.0)
    stream.add(SMALLEST_S)
    assert stream.quantile(1.0) == 0.0
    stream.add(1e12)
    assert stream.quantile(0.0) == 0.0
    last = stream.quantile(1.0)
    assert last is not None
    assert 9e6 < last <= 1e12


def test_size_does_not_depend_on_the_number_of_values() -> None:
    stream = Quantiles()
    before = getsizeof(stream._buckets)
    for i in range(10_000):
        stream.add(i * 1.7)
    assert getsizeof(stream._buckets) == before
