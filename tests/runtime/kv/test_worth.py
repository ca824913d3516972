"""The worth of a pin in advance: what was learned, else declared, else a prior; and the engine's own rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planner.plan import Pin
from orchestrator.runtime.kv.durations import DurationModel
from orchestrator.runtime.kv.hints import PauseKey
from orchestrator.runtime.kv.pauses import features, forecast_of
from orchestrator.runtime.kv.worth import worth_of

PIN = Pin(
    op="llm_1", tool="run", turns_left=1.0, longest_s=300.0, tokens=1000.0, prefill_s=2.0, kv_share=0.2
)  # fmt: skip


def learned(seconds: list[float], tool: str = "run") -> DurationModel:
    model = DurationModel()
    for turn, took in enumerate(seconds):
        model.began(f"s{turn}", PauseKey("w", tool), turn * 1e4)
        model.ended(f"s{turn}", turn * 1e4 + took)
    return model


def test_what_was_seen_of_the_tool_comes_before_the_users_word() -> None:
    model, key = learned([3.0] * 40), PauseKey("w", "run")
    seen = forecast_of(model, key, typical_s=0.1)
    assert seen is not None
    assert (seen.source, seen.quantile(0.5)) == ("tool", 3.0)


def test_the_users_word_comes_before_other_tools() -> None:
    model, key = learned([3.0] * 40, tool="other"), PauseKey("w", "run")
    declared, others = forecast_of(model, key, typical_s=0.1), forecast_of(model, key, typical_s=None)
    assert declared is not None
    assert others is not None
    assert declared.quantile(0.5) == pytest.approx(0.1, rel=0.1)
    assert declared.quantile(0.9) == pytest.approx(0.3, rel=0.15)
    assert others.source == "workflow"
    assert forecast_of(None, key, None) is None


def test_a_worthwhile_pin_outlasts_its_pause_and_a_long_tool_gets_none() -> None:
    quick = worth_of(PIN, "w", learned([0.5] * 50))
    assert (quick.source, quick.count, quick.median_s) == ("tool", 50, 0.5)
    assert quick.ttl_s is not None
    assert quick.ttl_s >= 0.5
    assert quick.hit_probability > 0.9
    assert quick.saved_s == pytest.approx(2.0 * quick.hit_probability)
    slow = worth_of(PIN, "w", learned([200.0] * 50))
    assert slow.ttl_s is not None
    assert slow.ttl_s < 30  # the prior keeps a small chance of a quick return
    assert slow.hit_probability < 0.05


def test_of_a_human_and_of_an_unknown_engine() -> None:
    human = worth_of(PIN.model_copy(update={"longest_s": 0.0, "because": "waits for a human"}), "w", DurationModel())
    assert (human.ttl_s, human.hit_probability, human.saved_s) == (0.0, 0.0, 0.0)
    unknown = worth_of(PIN.model_copy(update={"prefill_s": None}), "w", DurationModel())
    assert (unknown.ttl_s, unknown.saved_s, unknown.source) == (None, None, "prior")


@given(st.lists(st.floats(0.01, 500.0), max_size=30), st.floats(0.0, 300.0), st.floats(0.0, 1.0))
def test_worth_stays_within_its_bounds(seconds: list[float], longest_s: float, share: float) -> None:
    pin = PIN.model_copy(update={"longest_s": longest_s, "kv_share": share})
    worth = worth_of(pin, "w", learned(seconds))
    assert worth.ttl_s is not None
    assert worth.saved_s is not None
    assert 0.0 <= worth.ttl_s <= longest_s
    assert 0.0 <= worth.saved_s <= 2.0
    assert worth.upper_s is None or worth.median_s is None or worth.upper_s >= worth.median_s


def test_features_are_short_scalars_that_the_user_named() -> None:
    named = features(("a", "b", "c", "d"), ("x" * 100, 3, ["secret"], True))
    assert named == ("a=" + "x" * 64, "b=3", "d=True")
    assert features(("a", "b"), (10**5000, -(2**100))) == (f"b={-(2**100)}",)
