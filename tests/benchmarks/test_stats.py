"""Intervals and ratios, against values worked out elsewhere."""

import math

import pytest

from benchmarks.harness.stats import error_ratio, error_ratio_interval, growth_exponent, spread, wilson


def test_wilson_agrees_with_the_published_example() -> None:
    # 81 of 263: Newcombe (Statistics in Medicine 17, 1998), method 3.
    low, high = wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (5, 10)])
def test_wilson_stays_within_a_share_and_around_it(k: int, n: int) -> None:
    low, high = wilson(k, n)
    assert 0 <= low <= k / n <= high <= 1


def test_wilson_refuses_impossible_counts() -> None:
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson(3, 2)


def test_error_ratio_counts_errors_not_successes() -> None:
    base = [True] * 6 + [False] * 4
    ours = [True] * 8 + [False] * 2
    assert error_ratio(ours, base) == 0.5
    assert error_ratio([True], [True]) == 0.0
    assert math.isinf(error_ratio([False], [True]))
    with pytest.raises(ValueError, match="same questions"):
        error_ratio([True], [True, False])


def test_the_paired_interval_covers_the_ratio_and_is_seeded() -> None:
    base = [i % 4 != 0 for i in range(400)]
    ours = [ok or i % 8 == 0 for i, ok in enumerate(base)]
    low, high = error_ratio_interval(ours, base, draws=500)
    assert low < error_ratio(ours, base) < high
    assert (low, high) == error_ratio_interval(ours, base, draws=500)


def test_drawing_whole_groups_widens_the_interval_when_a_group_errs_together() -> None:
    groups = [i // 20 for i in range(400)]
    base = [group % 4 != 0 for group in groups]
    ours = [group % 8 != 0 for group in groups]
    single = error_ratio_interval(ours, base, draws=500)
    grouped = error_ratio_interval(ours, base, groups, draws=500)
    assert grouped[1] - grouped[0] > single[1] - single[0]


def test_growth_exponent_of_known_powers() -> None:
    assert growth_exponent([10, 100, 1000], [1, 10, 100]) == pytest.approx(1.0)
    assert growth_exponent([10, 100], [1, 100]) == pytest.approx(2.0)


def test_spread() -> None:
    assert spread([3, 1, 2]) == (2, 1, 3)
