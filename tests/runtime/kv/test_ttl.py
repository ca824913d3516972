"""The TTL rule against brute force, and where its answer is known."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtime.kv.forecast import Forecast
from orchestrator.runtime.kv.ttl import Ttl, best_ttl

times = st.floats(0.001, 1000)
pauses = st.lists(st.one_of(times, st.sampled_from([1.0, 2.0, inf])), min_size=1, max_size=30)
BIMODAL = Forecast.of([1.0 + i / 100 for i in range(8)] * 4 + [60.0] * 8)


def worth(rest_s: list[float], ttl_s: float, benefit_s: float, rent: float) -> float:
    """Of keeping for ``ttl_s``, averaged over what may be left of the pause."""
    return sum(benefit_s * (d <= ttl_s) - rent * min(d, ttl_s) for d in rest_s) / len(rest_s)


@given(pauses, st.floats(0.01, 100), st.floats(0.001, 10), st.floats(0.01, 500), st.one_of(st.just(0.0), times))
def test_no_other_ttl_is_worth_more(
    seen: list[float], benefit_s: float, rent: float, longest_s: float, age_s: float
) -> None:
    best = best_ttl(Forecast.of(seen), benefit_s=benefit_s, rent=rent, longest_s=longest_s, elapsed_s=age_s)
    rest_s = [d - age_s for d in seen if d > age_s] or [inf]
    tried = [0.0, longest_s, *(d for d in rest_s if d <= longest_s)]
    most = max(worth(rest_s, ttl_s, benefit_s, rent) for ttl_s in tried)
    assert 0.0 <= best.ttl_s <= longest_s
    assert best.worth_s == pytest.approx(most, abs=1e-6)
    assert best.worth_s == pytest.approx(worth(rest_s, best.ttl_s + 1e-9, benefit_s, rent), abs=1e-6)
    assert best.hit_probability == pytest.approx(sum(d <= best.ttl_s + 1e-9 for d in rest_s) / len(rest_s), abs=1e-6)


@given(pauses, st.floats(0.01, 100), st.floats(0.01, 500))
def test_free_memory_is_used_to_the_end(seen: list[float], benefit_s: float, longest_s: float) -> None:
    best = best_ttl(Forecast.of(seen), benefit_s=benefit_s, rent=0.0, longest_s=longest_s)
    assert best.ttl_s == longest_s
    assert best.hit_probability == pytest.approx(sum(d <= longest_s for d in seen) / len(seen))


@given(pauses, st.floats(0, 10))
def test_what_saves_nothing_is_not_kept(seen: list[float], rent: float) -> None:
    assert best_ttl(Forecast.of(seen), benefit_s=0.0, rent=rent, longest_s=300.0) == Ttl(0.0, 0.0, 0.0)


def test_a_mostly_quick_tool_is_waited_for_just_past_its_quick_mode() -> None:
    best = best_ttl(BIMODAL, benefit_s=4.0, rent=0.5, longest_s=300.0)
    assert best.ttl_s == 1.07
    assert best.hit_probability == pytest.approx(0.8)


def test_once_it_is_past_its_quick_mode_it_is_not_waited_for() -> None:
    assert best_ttl(BIMODAL, benefit_s=4.0, rent=0.5, longest_s=300.0, elapsed_s=2.0).ttl_s == 0.0


def test_shortly_before_it_returns_it_is_waited_for() -> None:
    best = best_ttl(BIMODAL, benefit_s=4.0, rent=0.5, longest_s=300.0, elapsed_s=55.0)
    assert best == Ttl(5.0, pytest.approx(4.0 - 0.5 * 5.0), 1.0)


def test_a_long_tool_is_not_waited_for() -> None:
    assert best_ttl(Forecast.of([60.0] * 20), benefit_s=4.0, rent=0.5, longest_s=300.0).ttl_s == 0.0


def test_outlived_everything_known_it_is_not_waited_for() -> None:
    assert best_ttl(Forecast.of([1.0] * 20), benefit_s=4.0, rent=0.5, longest_s=300.0, elapsed_s=2.0).ttl_s == 0.0


def test_of_equally_good_ttls_the_shorter_wins() -> None:
    slow = Forecast.of([1.0, 3.0])
    assert best_ttl(slow, benefit_s=2.0, rent=1.0, longest_s=300.0) == Ttl(0.0, 0.0, 0.0)
    quicker = Forecast.of([1.0, 1.0, 3.0])  # two more seconds for a third of two seconds' benefit
    assert best_ttl(quicker, benefit_s=2.0, rent=1.0, longest_s=300.0).ttl_s == 1.0
