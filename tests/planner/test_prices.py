"""The annuity price: known values, its limits, and what it must never do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planner.prices import HOURS_PER_YEAR, annuity_usd_per_hour, derived_annuity

money = st.floats(1.0, 1e6)
rates = st.floats(1e-4, 0.5)
years = st.floats(0.5, 20.0)


def test_without_interest_and_power_it_is_the_price_over_its_hours() -> None:
    assert annuity_usd_per_hour(35_040, 4, 0.0, 0, 0.40) == pytest.approx(1.0)


def test_power_is_added_at_the_price_of_electricity() -> None:
    assert annuity_usd_per_hour(0, 4, 0.08, 700, 0.40) == pytest.approx(0.28)


def test_the_instalments_pay_the_purchase_back_with_interest() -> None:
    instalment = annuity_usd_per_hour(25_000, 4, 0.08, 0, 0) * HOURS_PER_YEAR / 12
    owed = 25_000.0
    for _ in range(48):
        owed = owed * (1 + 0.08 / 12) - instalment
    assert owed == pytest.approx(0.0, abs=1e-6)


@given(money, years, rates)
def test_interest_costs_and_the_purchase_is_covered(capex: float, over: float, rate: float) -> None:
    price = annuity_usd_per_hour(capex, over, rate, 0, 0)
    assert price * over * HOURS_PER_YEAR >= capex
    assert price < annuity_usd_per_hour(capex, over, rate * 1.1, 0, 0)
    assert annuity_usd_per_hour(2 * capex, over, rate, 0, 0) == pytest.approx(2 * price)


@pytest.mark.parametrize("wrong", [(-1, 4, 0.1, 0, 0), (1, 0, 0.1, 0, 0), (1, 4, -0.1, 0, 0), (1, 4, 0.1, -1, 0)])
def test_impossible_terms_are_refused(wrong: tuple[float, float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        annuity_usd_per_hour(*wrong)


@pytest.mark.parametrize(("capex", "power"), [(None, 700.0), (25_000.0, None), (None, None)])
def test_half_known_is_unknown(capex: float | None, power: float | None) -> None:
    assert derived_annuity(capex, power) is None
