"""Reservations never let spending exceed a budget, and failing to reserve changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import BudgetError
from orchestrator.runtime.budget import Ledger, Need
from orchestrator.runtime.program import Limits

STEPS = st.lists(st.tuples(st.integers(0, 50), st.floats(0, 1)), max_size=20)


@given(STEPS, st.integers(0, 200), st.integers(0, 200))
def test_no_ledger_of_the_chain_is_ever_overdrawn(steps: list[tuple[int, float]], outer: int, inner: int) -> None:
    run = Ledger(Limits(tokens=outer))
    op = Ledger(Limits(tokens=inner), run)
    for worst, share in steps:
        before = (run.tokens, op.tokens)
        try:
            op.reserve("op", Need(worst, 0.0), None)
        except BudgetError:
            assert (run.tokens, op.tokens) == before
            assert before[0] + worst > outer or before[1] + worst > inner
            continue
        op.settle(Need(worst, 0.0), Need(int(worst * share), 0.0))
        assert run.tokens <= outer
        assert op.tokens <= inner


def test_the_error_names_the_op_what_it_needs_and_what_is_left() -> None:
    ledger = Ledger(Limits(usd=0.02))
    ledger.charge_own(Need(0, 0.015))
    with pytest.raises(BudgetError) as raised:
        ledger.reserve("llm_3", Need(0, 0.01), None)
    assert raised.value.code == "ORCH-R010"
    assert "`llm_3`" in raised.value.message
    assert "$0.010000" in raised.value.message
    assert "$0.005000" in raised.value.message


def test_tokens_left_is_the_tightest_of_the_chain() -> None:
    run = Ledger(Limits(tokens=100))
    assert Ledger(Limits(tokens=30), run).tokens_left() == 30
    assert Ledger(Limits(usd=1.0), run).tokens_left() == 100
    assert Ledger(Limits()).tokens_left() is None
