"""No key of a policy lets programs overtake another one for ever."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planner.policies.overtaking import kept_in_bounds

ANYTHING = st.floats() | st.sampled_from([inf, -inf, nan])


@pytest.mark.parametrize(
    ("key_s", "kept_s"), [(7.0, 7.0), (4.0, 5.0), (99.0, 15.0), (inf, 15.0), (-inf, 5.0), (nan, 15.0)]
)
def test_keys_are_kept_within_a_time_of_the_arrival(key_s: float, kept_s: float) -> None:
    assert kept_in_bounds(key_s, 5.0, 10.0) == kept_s


@given(ANYTHING, ANYTHING, st.floats(0, 1e9), st.floats(0, 1e6), st.floats(1e-3, 1e6))
def test_nobody_is_overtaken_by_who_arrives_later_than_that(
    mine_s: float, other_s: float, arrival_s: float, longest_s: float, later_s: float
) -> None:
    mine = kept_in_bounds(mine_s, arrival_s, longest_s)
    assert mine <= kept_in_bounds(other_s, arrival_s + longest_s + later_s, longest_s)
