"""Who is taken on, in what order, and what that is worth to those who wait."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planner.policies import ORDERS
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.load import Load, StepClock
from orchestrator.runtime.kv.retention import Retention
from orchestrator.runtime.kv.retention_options import RetentionOptions
from tests.runtime.kv.taking_turns import QUIET, run, turn_of


def test_a_turn_is_held_back_until_it_fits_to_its_end() -> None:
    retention = Retention[str](100)
    first = turn_of(retention, "a", blocks=70)
    second = turn_of(retention, "b", blocks=40)
    assert retention.intake.admits(first, Load(), 0.0)
    assert retention.intake.holds(second)
    assert not retention.intake.admits(second, Load(), 0.0)
    retention.gone(first)
    assert retention.intake.admits(second, Load(), 0.0)


def test_a_session_with_two_turns_at_once_holds_memory_until_both_have_ended() -> None:
    retention = Retention[str](100, RetentionOptions(ttl_s=0.0))
    twins = [turn_of(retention, "a", blocks=70) for _ in range(2)]
    other = turn_of(retention, "b", blocks=40)
    assert all(retention.intake.admits(twin, Load(idle=True), 0.0) for twin in twins)
    retention.gone(twins[0])
    assert not retention.intake.admits(other, Load(), 0.0)
    retention.ended(twins[1], tokens=70, blocks=70, load=Load(), now_s=1.0)
    assert retention.intake.admits(other, Load(), 1.0)
    assert not retention.intake.running("a")


def test_whatever_fits_an_empty_cache_goes_on_when_nothing_else_does_or_after_its_patience() -> None:
    retention = Retention[str](100, RetentionOptions(patience_s=5.0))
    assert retention.intake.admits(turn_of(retention, "idle", blocks=1000), Load(idle=True), 0.0)
    patient, next_one = (turn_of(retention, name, blocks=1000) for name in ("x", "y"))
    assert not retention.intake.admits(patient, Load(), 5.0)
    assert retention.intake.admits(patient, Load(), 5.1)
    assert retention.intake.urgency(patient) == -inf
    assert not retention.intake.admits(next_one, Load(), 5.1), "one at a time"
    retention.begun(patient, prompt_tokens=1, hit_tokens=0, now_s=5.2)
    assert retention.intake.admits(next_one, Load(), 5.3)


def test_a_patient_turn_that_cannot_run_keeps_the_others_waiting_for_a_while_only() -> None:
    retention = Retention[str](100, RetentionOptions(patience_s=5.0))
    stuck, next_one = (turn_of(retention, name, blocks=1000) for name in ("x", "y"))
    assert retention.intake.admits(stuck, Load(), 6.0)
    assert not retention.intake.admits(next_one, Load(), 10.9)
    assert retention.intake.admits(next_one, Load(), 11.1)


def test_small_demands_go_first_but_only_so_far() -> None:
    retention = Retention[str](100, RetentionOptions(overtaking=10.0))
    large = turn_of(retention, "large", blocks=50, critical_path_s=2.0)
    soon = turn_of(retention, "soon", blocks=1, critical_path_s=0.1, now_s=9.0)
    later = turn_of(retention, "later", blocks=1, critical_path_s=0.1, now_s=10.1)
    assert retention.intake.urgency(soon) < retention.intake.urgency(large) < retention.intake.urgency(later)


def test_a_session_that_never_ends_overtakes_nobody_for_longer_than_its_patience() -> None:
    retention = Retention[str](100, RetentionOptions(patience_s=30.0))
    waiting = turn_of(retention, "waiting", now_s=1000.0)
    turn_of(retention, "old", program="old")
    run(retention, "old", program="old", at_s=1000.0)
    assert retention.intake.urgency(turn_of(retention, "old", program="old", now_s=1050.0)) < retention.intake.urgency(
        waiting
    )
    run(retention, "old", program="old", at_s=1060.0)
    assert retention.intake.urgency(turn_of(retention, "old", program="old", now_s=1060.1)) > retention.intake.urgency(
        waiting
    )


def test_an_aborted_turn_gives_back_what_it_would_have_taken() -> None:
    retention = Retention[str](100)
    run(retention, "s")
    big = turn_of(retention, "s", blocks=95)
    other = turn_of(retention, "other", blocks=80)
    assert not retention.intake.admits(other, Load(), 0.0)
    retention.gone(big)
    assert retention.intake.admits(other, Load(), 0.0)


def test_growth_is_learned_from_turns_that_ended() -> None:
    retention = Retention[str](1000)
    run(retention, "s")
    retention.gone(turn_of(retention, "s", blocks=900))
    assert retention.intake.footprint.growth == 0.0
    turn = turn_of(retention, "s", blocks=900)
    retention.begun(turn, prompt_tokens=330, hit_tokens=320, now_s=1.0)
    retention.ended(turn, tokens=480, blocks=15, load=QUIET, now_s=2.0)
    assert retention.intake.footprint.growth == 5.0
    preempted = turn_of(retention, "s")
    retention.begun(preempted, prompt_tokens=480, hit_tokens=0, now_s=3.0)
    retention.ended(preempted, tokens=0, blocks=0, load=QUIET, now_s=3.0)
    again = turn_of(retention, "s")
    retention.begun(again, prompt_tokens=480, hit_tokens=0, now_s=4.0)
    retention.ended(again, tokens=480, blocks=15, load=QUIET, now_s=4.0)
    assert 4.0 < retention.intake.footprint.growth < 5.0, "it lost its blocks; it has not grown from nothing"


def test_in_an_order_of_the_planner_the_program_with_the_least_time_to_spare_goes_first() -> None:
    """Each counts its deadline from its own arrival, on whatever clock; without one the shortest is first."""
    retention = Retention[str](100, RetentionOptions(order="least-laxity"))
    said: dict[str, dict[str, float]] = {
        "unhurried": {"program_arrival_s": 500.0, "critical_path_s": 90.0},
        "far": {"program_arrival_s": 500.0, "deadline_s": 560.0, "critical_path_s": 10.0},
        "near": {"program_arrival_s": 70.0, "deadline_s": 90.0, "critical_path_s": 10.0},
        "long": {"program_arrival_s": 70.0, "deadline_s": 130.0, "critical_path_s": 55.0},
    }
    turns = [turn_of(retention, name, now_s=7.0, **hint) for name, hint in said.items()]
    order = sorted(turns, key=retention.intake.urgency)
    assert [turn.session for turn in order] == ["long", "near", "far", "unhurried"]


def test_without_a_word_deadlines_count_where_there_are_any() -> None:
    retention = Retention[str](100)
    due = turn_of(retention, "due", program_arrival_s=0.0, deadline_s=9.0, critical_path_s=2.0)
    plain = turn_of(retention, "plain", program_arrival_s=0.0, blocks=50, critical_path_s=2.0)
    assert retention.intake.urgency(due) == 7.0
    assert retention.intake.urgency(plain) == RetentionOptions().overtaking * 0.5 * 2.0


def test_a_later_turn_of_a_program_is_as_urgent_as_what_is_left_of_it() -> None:
    retention = Retention[str](100, RetentionOptions(order="least-laxity"))
    known: dict[str, Any] = {"program": "p", "program_arrival_s": 0.0, "deadline_s": 50.0}
    first = turn_of(retention, "p", now_s=1.0, critical_path_s=40.0, **known)
    later = turn_of(retention, "p", now_s=9.0, critical_path_s=10.0, **known)
    assert retention.intake.urgency(later) - retention.intake.urgency(first) == 30.0


def test_orders_ask_for_the_speed_that_the_engine_has_shown() -> None:
    speed = StepClock()
    speed.prefill_s_per_token, speed.decode_step_s = 0.01, 0.5
    retention = Retention[str](100, RetentionOptions(order="least-laxity"), speed=speed)
    hint: dict[str, Any] = {"program_arrival_s": 0.0, "deadline_s": 50.0}
    short, long = (
        retention.arrived(name, KvHint(**hint), blocks=1, now_s=0.0, tokens=tokens)[0]
        for name, tokens in {"short": (10, 2.0), "long": (1000, 20.0)}.items()
    )
    assert retention.intake.urgency(short) == pytest.approx(50.0 - 0.1 - 1.0)
    assert retention.intake.urgency(long) == pytest.approx(50.0 - 10.0 - 10.0)


HOSTILE = st.none() | st.floats(0, 1e308)


@given(
    st.sampled_from([None, *ORDERS]),
    st.tuples(HOSTILE, HOSTILE, HOSTILE, HOSTILE),
    st.tuples(HOSTILE, HOSTILE, HOSTILE, HOSTILE),
    st.floats(0.001, 1e4),
)
def test_no_claim_overtakes_a_turn_by_more_than_the_bound(
    order: str | None, mine: tuple[Any, ...], other: tuple[Any, ...], later_s: float
) -> None:
    """What comes longest_s and its patience later is later in the order, whatever it and those before it say."""
    options = RetentionOptions(order=order, longest_s=60.0, patience_s=20.0, overtaking=0.0)
    retention = Retention[str](100, options)
    names = ("program_arrival_s", "deadline_s", "call_s", "critical_path_s")
    waiting = turn_of(retention, "waiting", now_s=5000.0, **dict(zip(names, mine, strict=True)))
    after_s = 5000.0 + options.longest_s + options.patience_s + later_s
    overtaking = turn_of(retention, "overtaking", now_s=after_s, **dict(zip(names, other, strict=True)))
    assert retention.intake.urgency(waiting) <= retention.intake.urgency(overtaking)
