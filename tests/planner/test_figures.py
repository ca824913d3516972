import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.dsl.declared.policy import parse_seconds
from orchestrator.planner import figures
from orchestrator.planner.interval import Interval


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (5e-6, "5µs"), (1e-9, "0.001µs"), (0.00123, "1.2ms"), (0.9999, "1s"), (59.9, "60s"), (7200, "2h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert figures.duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0"), (134.4, "134"), (1508, "1.5k"), (999.9, "1k"), (2.5e6, "2.5M")])
def test_tokens(count: float, text: str) -> None:
    assert figures.tokens(count) == text


@pytest.mark.parametrize(
    ("usd", "text"),
    [(0, "$0"), (0.000004, "<$0.0001"), (0.00063, "$0.00063"), (0.0123, "$0.012"), (1234.5, "$1,234.50")],
)
def test_dollars(usd: float, text: str) -> None:
    assert figures.dollars(usd) == text


def test_spreads_times_and_shares() -> None:
    assert figures.spread(Interval(1, 2, 3), figures.duration) == "2s (1s-3s)"
    assert figures.spread(Interval.exact(2), figures.duration) == "2s"
    assert figures.times(Interval(0, 2, 4)) == "0-4"
    assert figures.times(Interval.exact(5)) == "5"
    assert [figures.share(part, 100) for part in (0, 0.2, 50)] == ["0%", "<1%", "50%"]


@given(st.floats(1e-7, 1e6))
def test_what_to_ask_for_can_be_asked_for_and_is_no_less(seconds: float) -> None:
    asked = parse_seconds(figures.at_least(seconds))
    assert seconds * (1 - 1e-9) <= asked <= seconds * 1.11 + 1e-6
