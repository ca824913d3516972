"""Forecasts of pauses: a distribution's laws, and the coverage that conformal bounds promise."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import ceil, inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.runtime.kv.forecast import MOST_ENCODED, MOST_POINTS, Forecast
from orchestrator.runtime.kv.hints import KvHint

times = st.floats(0, 1e6)
pauses = st.lists(st.one_of(times, st.sampled_from([0.0, 1.0, 2.0, inf])), min_size=1, max_size=40)
HEAVY_TAILS: dict[str, Callable[[random.Random], float]] = {
    "lognormal": lambda draw: draw.lognormvariate(0.0, 2.0),
    "pareto": lambda draw: draw.paretovariate(0.9),  # its mean does not exist
}


@given(pauses, times)
def test_questions_are_answered_as_the_pauses_themselves_would(seen: list[float], t: float) -> None:
    forecast = Forecast.of(seen)
    n = len(seen)
    assert forecast.count == n
    assert forecast.probability_by(t) == pytest.approx(sum(d <= t for d in seen) / n)
    assert forecast.mean_within(t) == pytest.approx(sum(min(d, t) for d in seen) / n)
    assert forecast.never == pytest.approx(sum(d == inf for d in seen) / n)


@given(pauses, st.integers(1, 40))
def test_a_quantile_is_an_order_statistic(seen: list[float], rank: int) -> None:
    rank = min(rank, len(seen))
    assert Forecast.of(seen).quantile(rank / len(seen)) == sorted(seen)[rank - 1]


@given(pauses, times, times)
def test_given_an_age_the_rest_is_what_those_that_lasted_longer_had_left(
    seen: list[float], age: float, t: float
) -> None:
    rest = Forecast.of(seen).given(age)
    left = [d - age for d in seen if d > age] if age > 0 else seen
    if left:
        assert rest.probability_by(t) == pytest.approx(sum(d <= t for d in left) / len(left))
        assert rest.mean_within(t) == pytest.approx(sum(min(d, t) for d in left) / len(left))
    else:
        assert (rest.never, rest.quantile(0.01), rest.mean_within(t)) == (1.0, inf, t)


@given(pauses, times)
def test_encoded_it_is_nearly_the_same_and_then_stays_the_same(seen: list[float], t: float) -> None:
    forecast = Forecast.of(seen)
    quantiles = forecast.encoded()
    assert 1 <= len(quantiles) <= MOST_ENCODED
    assert quantiles == sorted(quantiles)
    decoded = Forecast.decoded(quantiles)
    assert abs(decoded.probability_by(t) - forecast.probability_by(t)) <= 0.5 / MOST_ENCODED + 1e-9
    assert decoded.encoded() == quantiles


def test_it_travels_in_a_hint() -> None:
    forecast = Forecast.of([0.5, 1.0, inf])
    read = KvHint.from_args(KvHint(pause_s=tuple(forecast.encoded())).to_args())
    assert Forecast.decoded(read.pause_s) == Forecast.decoded(forecast.encoded())
    assert Forecast.decoded([2.5]).encoded() == [2.5]


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_many_pauses_are_thinned_and_never_look_shorter(seed: int) -> None:
    draw = random.Random(seed)
    seen = sorted(draw.lognormvariate(0.0, 2.0) for _ in range(2000))
    forecast = Forecast.of(seen)
    assert len(forecast.times_s) <= MOST_POINTS
    ratio = (seen[-1] / max(seen[0], 1e-3)) ** (1 / (MOST_POINTS - 2))
    for rank, t in enumerate(seen, 1):
        assert t <= forecast.quantile(rank / len(seen)) <= max(t, 1e-3) * ratio


def test_thinning_keeps_the_edge_of_a_mode() -> None:
    short = [1.0 + i / 1000 for i in range(400)]
    forecast = Forecast.of(short + [60.0] * 100)
    assert forecast.quantile(0.8) == short[-1]
    assert forecast.probability_by(59.0) == pytest.approx(0.8)


@pytest.mark.parametrize("tail", HEAVY_TAILS)
@pytest.mark.parametrize(("n", "coverage"), [(9, 0.9), (30, 0.9), (99, 0.95), (50, 0.5)])
def test_conformal_bounds_cover_heavy_tails(tail: str, n: int, coverage: float) -> None:
    draw, trials = random.Random(20 + n), 4000
    pause = HEAVY_TAILS[tail]
    covered = sum(pause(draw) <= Forecast.of(pause(draw) for _ in range(n)).upper(coverage) for _ in range(trials))
    exact = ceil((n + 1) * coverage - 1e-9) / (n + 1)  # of the next pause's n + 1 equally likely ranks
    assert covered / trials == pytest.approx(exact, abs=4 * (exact * (1 - exact) / trials) ** 0.5)


def test_a_bound_is_infinite_when_it_is_not_known() -> None:
    assert Forecast.of([1.0] * 8).upper(0.9) == inf  # nine are needed
    assert Forecast.of([1.0] * 9).upper(0.9) == 1.0
    assert Forecast.of([1.0] * 8 + [inf]).upper(0.9) == inf
    assert Forecast.of([1.0] * 8 + [inf]).upper(0.8) == 1.0
    assert Forecast.lognormal(1.0, 2.0).upper(0.5) == inf  # nothing was seen


def test_a_lognormal_has_its_median_and_its_tail() -> None:
    forecast = Forecast.lognormal(median_s=1.0, sigma=2.0)
    assert forecast.quantile(0.5) == pytest.approx(1.0, rel=0.25)
    assert forecast.quantile(0.9) == pytest.approx(13.0, rel=0.25)
    assert 0 < forecast.never < 0.002
