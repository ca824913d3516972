"""Retry, timeout, budget and SLO: what is accepted, and how it is written into the IR."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import Budget, Retry
from orchestrator.dsl.declared.policy import (
    PolicyError,
    checked_budget,
    parse_budget,
    parse_seconds,
    policy_opts,
    slo_opts,
)

WRITTEN = {
    "500ms": 0.5, "5s": 5, " 1.5 m ": 90, "1h": 3600, "10 sec": 10, "30 seconds": 30, "2 mins": 120, "1 hour": 3600,
    "1h30m": 5400, "1m 30s": 90, "2 days": 172800, ".5s": 0.5, "250µs": 250e-6,
}  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), [*WRITTEN.items(), (2, 2.0), (timedelta(minutes=1), 60)])
def test_durations(text: Any, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@given(st.decimals("0.001", "100000", places=3))
def test_dollars_round_trip(usd: Any) -> None:
    assert parse_budget(f"${usd}") == Budget(usd=float(usd))


def test_several_bounds() -> None:
    assert parse_budget("$0.02, 2000 tokens, 30s") == Budget(0.02, 2000, 30.0)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("250k tokens", Budget(tokens=250_000)),
        ("2.5M tok", Budget(tokens=2_500_000)),
        ("3 million tokens", Budget(tokens=3_000_000)),
        ("120,000 tokens", Budget(tokens=120_000)),
        ("120_000 tokens", Budget(tokens=120_000)),
        ("1 Token", Budget(tokens=1)),
        ("5 cents", Budget(usd=0.05)),
        ("0.5 USD", Budget(usd=0.5)),
        ("US$ 1,250", Budget(usd=1250.0)),
        ("3 min", Budget(seconds=180.0)),
        ("1h 15m", Budget(seconds=4500.0)),
        ("$1,000, 120,000 tokens and 2 hours", Budget(1000.0, 120_000, 7200.0)),
        ("50 tokens,300s", Budget(tokens=50, seconds=300.0)),
    ],
)
def test_budgets_as_people_write_them(text: str, budget: Budget) -> None:
    assert parse_budget(text) == budget


@pytest.mark.parametrize(
    "text",
    ["", " ", ",", "250k", "250", "$0,02", "1,5M tokens", "two tokens", "-3 tokens", "$-1", "nan tokens", "inf s",
     "2k s", "2 min 30 tokens", "$5 tokens", "5M", "$"],
)  # fmt: skip
def test_what_is_no_budget_gets_the_forms_that_are(text: str) -> None:
    with pytest.raises(PolicyError, match="is not a budget") as caught:
        parse_budget(text)
    assert "400k tokens" in caught.value.fix


@pytest.mark.parametrize(
    "text", ["0 tokens", "$0", "0s", "1.5 tokens", "0.0001k tokens", "1e400 tokens", "$1e999", "10000000000 b tokens",
             "$1, $2", "10 tokens, 20 tokens"],
)  # fmt: skip
def test_bounds_that_cannot_be_kept_are_refused(text: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse_budget(text)
    assert "is not a budget" not in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize(
    "budget",
    [Budget(usd=True), Budget(tokens=True), Budget(tokens=2.5), Budget(tokens=0), Budget(tokens=2**63),  # type: ignore[arg-type]
     Budget(usd=float("nan")), Budget(seconds=float("inf")), Budget(usd=10**400), Budget(usd="1"), Budget(tokens=-1)],  # type: ignore[arg-type]
)  # fmt: skip
def test_numbers_that_are_no_bound_are_refused(budget: Budget) -> None:
    with pytest.raises(PolicyError):
        checked_budget(budget)


def test_numbers_of_other_kinds_become_plain_ones() -> None:
    given = Budget(usd=Decimal("0.25"), tokens=5.0, seconds=Fraction(1, 2))  # type: ignore[arg-type]
    assert checked_budget(given) == Budget(0.25, 5, 0.5)


def test_opts() -> None:
    assert policy_opts(retry=2, timeout="5s", budget="$1") == {
        "retry": {"attempts": 2, "backoff_s": 0.5, "max_backoff_s": 30.0, "jitter": True},
        "timeout_s": 5.0,
        "budget_usd": 1.0,
    }
    assert policy_opts(retry=Retry(on=[TimeoutError]))["retry"]["on"] == ["builtins.TimeoutError"]  # type: ignore[index]
    assert policy_opts(retry=Retry(on=OSError)) == policy_opts(retry=Retry(on=(OSError,)))
    assert policy_opts() == {}


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"timeout": -1}, "a timeout of -1"),
        ({"timeout": float("nan")}, "a timeout of nan"),
        ({"timeout": "soon"}, "'soon' is not a duration"),
        ({"retry": 0}, "retry of 0 attempts"),
        ({"retry": True}, "True is not a retry policy"),
        ({"timeout": "5"}, "'5' is not a duration"),
        ({"timeout": "5 s 3 apples"}, "is not a duration"),
        ({"timeout": timedelta(0)}, "a timeout of 0"),
        ({"timeout": [5]}, r"\[5\] is not a duration"),
        ({"retry": 2.5}, "2.5 is not a retry policy"),
        ({"retry": Retry(attempts="3")}, "retry of '3' attempts"),
        ({"retry": Retry(attempts=2**40)}, "retry of 1099511627776 attempts"),
        ({"retry": Retry(backoff_s=-1)}, "a backoff of -1 s"),
        ({"retry": Retry(backoff_s=float("nan"))}, "a backoff of nan s"),
        ({"retry": Retry(on="TimeoutError")}, "retry on 'TimeoutError'"),
        ({"retry": Retry(on=[TimeoutError, 408])}, "retry on "),
        ({"budget": Budget(usd="5")}, "a budget in dollars of '5'"),
        ({"budget": Budget(seconds=float("inf"))}, "a budget in seconds of inf"),
        ({"budget": "2 euros"}, "'2 euros' is not a budget"),
        ({"budget": Budget()}, "a budget without any bound"),
        ({"budget": Budget(usd=-1)}, "a budget in dollars of -1"),
        ({"budget": 3}, "3 is not a budget"),
    ],
)
def test_invalid(policy: dict[str, Any], message: str) -> None:
    with pytest.raises(PolicyError, match=message) as caught:
        policy_opts(**policy)
    assert caught.value.fix


def test_slo() -> None:
    assert slo_opts("p95<8s") == {"slo": "p95 < 8s"}
    assert slo_opts("p99.9 <= 500ms") == {"slo": "p99.9 < 0.5s"}
    for wrong in ("p95", "8s", "p0 < 1s", "p95 < 0s", 5, True):
        with pytest.raises(PolicyError):
            slo_opts(wrong)  # type: ignore[arg-type]
