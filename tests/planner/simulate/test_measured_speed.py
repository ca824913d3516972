"""Coefficients from measured steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import PlanError
from orchestrator.planner.simulate.measured_speed import MeasuredStep, fit_speed
from orchestrator.planner.simulate.speed import ReplicaSpeed

PREFILLS = [(32, 0), (256, 0), (1024, 0), (2000, 0), (64, 1500), (512, 900)]
DECODES = [(1, 80), (1, 2000), (4, 1200), (8, 2200), (16, 2100), (16, 9000)]


def measured(speed: ReplicaSpeed, calls: float = 1.0) -> list[MeasuredStep]:
    """What a client would see of an engine of that speed."""
    rows = []
    for tokens, cached in PREFILLS:
        seconds = speed.mixed_s(tokens, tokens * (cached + tokens / 2), cached + tokens, 0, 0) + calls * speed.call_s
        rows.append(MeasuredStep(tokens, 0, 0, seconds, cached_tokens=cached, calls=calls))
    rows += [MeasuredStep(0, b, k, speed.mixed_s(0, 0, 0, b, k)) for b, k in DECODES]
    return rows


cost = st.floats(0.0, 1.0)


@settings(max_examples=50, deadline=None)
@given(token=cost, sequence=cost, pair=cost, kv=cost, step=st.floats(0.1, 1.0), prefill=cost)
def test_what_a_linear_engine_does_is_predicted(
    token: float, sequence: float, pair: float, kv: float, step: float, prefill: float
) -> None:
    """Coefficients may be exchanged where the rows cannot tell them apart; predictions between the rows agree."""
    truth = ReplicaSpeed(
        token_s=4e-5 * token, weight_s=0.0, kv_token_s=1e-6 * kv, step_s=4e-3 * step, pair_s=1e-8 * pair,
        prefill_step_s=2e-3 * prefill, sequence_s=3e-4 * sequence,
    )  # fmt: skip
    fit = fit_speed(measured(truth))
    assert fit.mean_error <= fit.worst_error < 0.03
    for p, b, k in [(700, 0, 0), (0, 6, 3000), (400, 8, 4000)]:
        expected = truth.mixed_s(p, p * p / 2, p, b, k)
        assert fit.speed.mixed_s(p, p * p / 2, p, b, k) == pytest.approx(expected, rel=0.1)


def test_the_time_of_a_call_is_told_from_that_of_a_step_where_rows_allow() -> None:
    truth = ReplicaSpeed(
        token_s=3e-5, weight_s=0.0, kv_token_s=4e-7, step_s=3e-3, prefill_step_s=1e-3, sequence_s=2e-4, call_s=5e-3
    )
    outside = measured(truth)
    alone = fit_speed(outside).speed
    assert alone.call_s == 0.0
    assert alone.prefill_step_s == pytest.approx(6e-3, rel=0.1)
    assert fit_speed(outside, call_s=5e-3).speed.prefill_step_s == pytest.approx(1e-3, rel=0.3)
    assert fit_speed(outside + measured(truth, calls=0.0)).speed.call_s == pytest.approx(5e-3, rel=0.1)


def test_no_step_is_free() -> None:
    rows = [MeasuredStep(10, 0, 0, 1.0), MeasuredStep(0, 1, 0, 0.1), MeasuredStep(0, 10, 0, 1.0)]
    assert fit_speed(rows).speed.step_s > 0


def test_what_does_not_say_how_fast_an_engine_is_is_refused() -> None:
    good = measured(ReplicaSpeed(token_s=1e-5, weight_s=0.0, kv_token_s=0.0, step_s=1e-3))
    for wrong in (replace(good[0], seconds=0.0), replace(good[0], prefill_tokens=-1), replace(good[0], calls=1e400)):
        with pytest.raises(PlanError, match="ORCH-P114"):
            fit_speed([*good, wrong])
    for missing in (good[:6], good[6:], []):
        with pytest.raises(PlanError, match="ORCH-P115"):
            fit_speed(missing)
