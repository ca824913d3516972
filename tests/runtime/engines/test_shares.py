"""Engines take their shares of an op's calls, whatever else happens to them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtime.engines.shares import Deficits

NAMES = "abcd"
WEIGHTS = st.lists(st.integers(1, 50), min_size=2, max_size=4)


def shares_of(weights: list[int]) -> list[tuple[str, float]]:
    total = sum(weights)
    return [(name, weight / total) for name, weight in zip(NAMES, weights, strict=False)]


def calls(deficits: Deficits, count: int, offered: str) -> list[str]:
    taken = []
    for _ in range(count):
        taken.append(deficits.next(offered))
        deficits.took(taken[-1], offered)
    return taken


@given(WEIGHTS, st.integers(1, 300))
def test_each_engine_takes_its_share_of_any_number_of_calls(weights: list[int], count: int) -> None:
    shares = shares_of(weights)
    taken = calls(Deficits(shares), count, NAMES[: len(shares)])
    for name, share in shares:
        assert abs(taken.count(name) - share * count) < len(shares)
    assert taken == calls(Deficits(shares), count, NAMES[: len(shares)])  # in the same order every time


@given(WEIGHTS, st.lists(st.integers(0, 3), max_size=40))
def test_calls_that_could_not_choose_are_made_up_for(weights: list[int], stay: list[int]) -> None:
    shares = shares_of(weights)
    offered, deficits = NAMES[: len(shares)], Deficits(shares)
    took = Counter(offered[place % len(shares)] for place in stay)
    for name, count in took.items():
        for _ in range(count):
            deficits.took(name, offered)
    took.update(calls(deficits, 50 * len(stay) + 50, offered))
    for name, share in shares:
        assert took[name] == pytest.approx(share * took.total(), abs=len(shares))


def test_an_engine_that_is_down_leaves_its_share_to_the_others_and_is_owed_nothing_for_it() -> None:
    deficits = Deficits([("a", 0.5), ("b", 0.375), ("c", 0.125)])
    assert Counter(calls(deficits, 80, "abc")) == {"a": 40, "b": 30, "c": 10}
    assert Counter(calls(deficits, 80, "bc")) == {"b": 60, "c": 20}
    assert Counter(calls(deficits, 80, "abc")) == {"a": 40, "b": 30, "c": 10}


def test_nobody_takes_a_call_that_nobody_is_offered() -> None:
    with pytest.raises(ValueError, match="empty"):
        Deficits([("a", 1.0)]).next(())


def test_what_a_long_run_took_without_a_choice_is_not_made_up_for_by_thousands() -> None:
    deficits, both = Deficits([("fast", 0.9), ("slow", 0.1)]), ["fast", "slow"]
    for _ in range(30_000):
        deficits.took("fast", both)
    assert calls(deficits, 500, both).count("fast") > 250
