"""Backoff doubles, is jittered within half and all of the wait, and only repeats what may change."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import BudgetError, EngineError, RunError
from orchestrator.runtime.execution.retry import wait_s
from orchestrator.runtime.program.specs import Policy


@given(st.integers(1, 50), st.floats(0, 100), st.floats(0, 100), st.booleans())
def test_the_wait_stays_within_its_bounds(attempt: int, backoff_s: float, most_s: float, jitter: bool) -> None:
    policy = Policy(attempts=100, backoff_s=backoff_s, max_backoff_s=most_s, jitter=jitter)
    longest = min(most_s, backoff_s * 2 ** (attempt - 1))
    wait = wait_s(policy, attempt, OSError(), Random(attempt))
    assert wait is not None
    assert longest / 2 <= wait <= longest
    assert jitter or wait == longest


def test_attempts_include_the_first() -> None:
    assert wait_s(Policy(attempts=2), 1, OSError(), Random()) is not None
    assert wait_s(Policy(attempts=2), 2, OSError(), Random()) is None


@pytest.mark.parametrize(
    ("error", "repeated"),
    [
        (OSError(), True),
        (ValueError(), True),
        (TypeError(), False),
        (EngineError("ORCH-E010", "timed out"), True),
        (EngineError("ORCH-E001", "no such engine"), False),
        (RunError("ORCH-R004", "timeout"), True),
        (RunError("ORCH-R020", "once"), False),
        (BudgetError("ORCH-R010", "over"), False),
    ],
)
def test_what_is_worth_repeating(error: Exception, repeated: bool) -> None:
    assert (wait_s(Policy(attempts=3), 1, error, Random()) is not None) is repeated


def test_on_restricts_to_subclasses_of_the_named_exceptions() -> None:
    policy = Policy(attempts=3, on=("builtins.OSError",))
    assert wait_s(policy, 1, ConnectionError(), Random()) is not None
    assert wait_s(policy, 1, ValueError(), Random()) is None
    wrapped = RunError("ORCH-R001", "inside a structured op")
    wrapped.__cause__ = ConnectionError()
    assert wait_s(policy, 1, wrapped, Random()) is not None
