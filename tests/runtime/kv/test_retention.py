"""Decisions: what is kept for how long, who is taken on, in what order, and what is given up for whom."""

from __future__ import annotations

from math import inf

import pytest

from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.pins import Outcome
from orchestrator.runtime.kv.prefixes import Prefix
from orchestrator.runtime.kv.retention import Decision, Load, Retention, RetentionOptions, Turn

BUSY = Load(waiting=4, prefill_s_per_token=1e-3)
QUIET = Load(prefill_s_per_token=1e-3)


def turn_of(retention: Retention[str], session: str, *, blocks: int = 10, now_s: float = 0.0, **hint: object) -> Turn:
    turn, _ = retention.arrived(session, KvHint(**{"turns_left": 1.0, **hint}), blocks=blocks, now_s=now_s)  # type: ignore[arg-type]
    return turn


def run(retention: Retention[str], session: str, *, load: Load = QUIET, at_s: float = 0.0, **hint: object) -> Decision:
    """A whole turn of 10 blocks of 32 tokens; its pin is entered if it is to have one."""
    turn = turn_of(retention, session, now_s=at_s, **hint)
    assert turn.pinned or retention.admits(turn, Load(idle=True), at_s)
    retention.begun(turn, prompt_tokens=320, hit_tokens=0, now_s=at_s)
    decision = retention.ended(turn, tokens=320, blocks=10, load=load, now_s=at_s)
    if decision.blocks:
        retention.keep(turn, decision, f"blocks of {session}", now_s=at_s)
    return decision


def test_while_nobody_waits_keeping_is_free() -> None:
    assert run(Retention(100), "s", pause_s=(1e4,)).ttl_s == RetentionOptions().longest_ttl_s


def test_under_pressure_short_pauses_are_kept_and_long_ones_are_not() -> None:
    retention = Retention[str](100)
    assert 0.5 < run(retention, "short", load=BUSY, pause_s=(0.5,)).ttl_s < 1.0
    assert run(retention, "long", load=BUSY, pause_s=(60.0,)).blocks == 0
    assert retention.table.outcomes[Outcome.DECLINED] == 1


def test_a_pause_is_learned_by_tool() -> None:
    retention = Retention[str](1000)
    for number in range(40):
        for tool, pause_s in (("look", 0.1), ("build", 100.0)):
            session, begun_s = f"{tool}{number}", 1000.0 * number
            run(retention, session, tool=tool, at_s=begun_s)
            turn_of(retention, session, now_s=begun_s + pause_s)
            retention.over(session, begun_s + pause_s)
    look, build = (run(retention, tool, load=BUSY, tool=tool, at_s=1e6) for tool in ("look", "build"))
    assert look.blocks == 10
    assert look.ttl_s > 0.1
    assert look.worth_s > 10 * build.worth_s
    assert build.ttl_s < 1.0, "a hundred seconds are not waited for"


@pytest.mark.parametrize("hint", [{"release": True}, {"turns_left": 0.0}, {"pin_ttl_s": 0.0}])
def test_nothing_is_kept_of_what_will_not_come_back(hint: dict[str, object]) -> None:
    assert run(Retention(100), "s", **hint).blocks == 0


def test_the_budget_clips_and_then_rejects() -> None:
    retention = Retention[str](100, RetentionOptions(budget=0.15))
    assert run(retention, "a").blocks == 10
    assert run(retention, "b").blocks == 5
    assert run(retention, "c").blocks == 0
    assert [retention.table.outcomes[each] for each in (Outcome.PINNED, Outcome.CLIPPED, Outcome.REJECTED)] == [1, 1, 1]


def test_pins_made_in_quiet_times_are_reviewed_under_pressure() -> None:
    retention = Retention[str](100)
    run(retention, "soon", pause_s=(2.0,))
    run(retention, "late", pause_s=(250.0,))
    assert [pin.session for pin in retention.due(BUSY, 1.0)] == ["late"]
    assert retention.table.outcomes[Outcome.EXPIRED] == 1


def test_a_review_grants_no_more_than_the_client_asked_for() -> None:
    retention = Retention[str](1000)
    run(retention, "s", pin_ttl_s=5.0, pause_s=(1.0, 4.0, 9.0, 1e6))
    at_s = 0.0
    while "s" in retention.table:
        at_s += 0.5
        retention.due(Load(waiting=1, prefill_s_per_token=1.0), at_s)
    assert at_s <= 5.0
    run(retention, "s", at_s=10.0, pin_ttl_s=5.0)
    assert retention.extend("s", 20.0, 14.0), "unless it asks again"
    assert not retention.due(QUIET, 30.0)
    assert retention.due(QUIET, 34.0)
    assert not retention.extend("s", 1.0, 40.0)
    run(retention, "s", at_s=50.0)
    assert not retention.extend("s", float("nan"), 50.0)


def test_a_pin_lasts_while_its_turn_waits_and_no_longer_if_that_is_given_up() -> None:
    retention = Retention[str](100, RetentionOptions(ttl_s=5.0))
    run(retention, "s")
    turns = [turn_of(retention, "s", now_s=4.0) for _ in range(2)]
    assert all(turn.pinned for turn in turns)
    assert not retention.due(BUSY, 100.0)
    retention.gone(turns[0])
    assert not retention.due(BUSY, 101.0)
    retention.gone(turns[1])
    assert [pin.session for pin in retention.due(BUSY, 101.0)] == ["s"]


def test_sessions_that_begin_alike_pay_for_that_once() -> None:
    retention = Retention[str](100, RetentionOptions(budget=0.5))
    system = Prefix("system", 40)
    turns = [turn_of(retention, name, blocks=45) for name in "abcdef"]
    assert retention.admits(turns[0], Load(), 0.0)
    for turn in turns[1:]:
        turn.prefix = system
        retention._unfit_since = -1
    assert [retention.admits(turn, Load(), 0.0) for turn in turns[1:]] == [True, True, True, False, False]
    for turn in turns[:4]:
        retention.begun(turn, prompt_tokens=1, hit_tokens=0, now_s=0.0)
        decision = retention.ended(turn, tokens=45 * 32, blocks=45, load=QUIET, now_s=0.0, prefix=system)
        retention.keep(turn, decision, turn.session, now_s=0.0)
    assert [(pin.session, pin.blocks, pin.own_blocks) for pin in retention.table.pins()] == [
        ("a", 45, 5), ("b", 45, 5), ("c", 40, 0), ("d", 40, 0)
    ]  # fmt: skip
    assert retention.table.pinned_blocks == 50
    assert [retention.admits(turn, Load(), 0.0) for turn in turns[4:]] == [True, True]


def test_an_aborted_turn_gives_back_what_it_would_have_taken() -> None:
    retention = Retention[str](100)
    run(retention, "s")
    big = turn_of(retention, "s", blocks=95)
    other = turn_of(retention, "other", blocks=80)
    assert not retention.admits(other, Load(), 0.0)
    retention.gone(big)
    assert retention.admits(other, Load(), 0.0)


def test_growth_is_learned_from_turns_that_ended() -> None:
    retention = Retention[str](1000)
    run(retention, "s")
    retention.gone(turn_of(retention, "s", blocks=900))
    assert retention.footprint.growth == 0.0
    turn = turn_of(retention, "s", blocks=900)
    retention.begun(turn, prompt_tokens=330, hit_tokens=320, now_s=1.0)
    retention.ended(turn, tokens=480, blocks=15, load=QUIET, now_s=2.0)
    assert retention.footprint.growth == 5.0


def test_a_turn_is_held_back_until_it_fits_to_its_end() -> None:
    retention = Retention[str](100)
    first = turn_of(retention, "a", blocks=70)
    second = turn_of(retention, "b", blocks=40)
    assert retention.admits(first, Load(), 0.0)
    assert retention.holds(second)
    assert not retention.admits(second, Load(), 0.0)
    retention.gone(first)
    assert retention.admits(second, Load(), 0.0)


def test_a_session_with_two_turns_at_once_holds_memory_until_both_have_ended() -> None:
    retention = Retention[str](100, RetentionOptions(ttl_s=0.0))
    twins = [turn_of(retention, "a", blocks=70) for _ in range(2)]
    other = turn_of(retention, "b", blocks=40)
    assert all(retention.admits(twin, Load(idle=True), 0.0) for twin in twins)
    retention.gone(twins[0])
    assert not retention.admits(other, Load(), 0.0)
    retention.ended(twins[1], tokens=70, blocks=70, load=Load(), now_s=1.0)
    assert retention.admits(other, Load(), 1.0)
    assert not retention._running["a"]


def test_whatever_fits_an_empty_cache_goes_on_when_nothing_else_does_or_after_its_patience() -> None:
    retention = Retention[str](100, RetentionOptions(patience_s=5.0))
    assert retention.admits(turn_of(retention, "idle", blocks=1000), Load(idle=True), 0.0)
    patient, next_one = (turn_of(retention, name, blocks=1000) for name in ("x", "y"))
    assert not retention.admits(patient, Load(), 5.0)
    assert retention.admits(patient, Load(), 5.1)
    assert retention.urgency(patient) == -inf
    assert not retention.admits(next_one, Load(), 5.1), "one at a time"
    retention.begun(patient, prompt_tokens=1, hit_tokens=0, now_s=5.2)
    assert retention.admits(next_one, Load(), 5.3)


def test_a_patient_turn_that_cannot_run_keeps_the_others_waiting_for_a_while_only() -> None:
    retention = Retention[str](100, RetentionOptions(patience_s=5.0))
    stuck, next_one = (turn_of(retention, name, blocks=1000) for name in ("x", "y"))
    assert retention.admits(stuck, Load(), 6.0)
    assert not retention.admits(next_one, Load(), 10.9)
    assert retention.admits(next_one, Load(), 11.1)


def test_small_demands_go_first_but_only_so_far() -> None:
    retention = Retention[str](100, RetentionOptions(overtaking=10.0))
    large = turn_of(retention, "large", blocks=50, critical_path_s=2.0)
    soon = turn_of(retention, "soon", blocks=1, critical_path_s=0.1, now_s=9.0)
    later = turn_of(retention, "later", blocks=1, critical_path_s=0.1, now_s=10.1)
    assert retention.urgency(soon) < retention.urgency(large) < retention.urgency(later)


def test_a_session_that_never_ends_overtakes_nobody_for_longer_than_its_patience() -> None:
    retention = Retention[str](100, RetentionOptions(patience_s=30.0))
    waiting = turn_of(retention, "waiting", now_s=1000.0)
    turn_of(retention, "old", program="old")
    run(retention, "old", program="old", at_s=1000.0)
    assert retention.urgency(turn_of(retention, "old", program="old", now_s=1050.0)) < retention.urgency(waiting)
    run(retention, "old", program="old", at_s=1060.0)
    assert retention.urgency(turn_of(retention, "old", program="old", now_s=1060.1)) > retention.urgency(waiting)


def test_pins_yield_to_whom_they_must() -> None:
    retention = Retention[str](100)
    run(retention, "kept")
    waits = turn_of(retention, "waits")
    asked = {"load": Load(), "now_s": 1.0}
    assert retention.may_take(None, running=False, **asked)
    assert retention.may_take(waits, running=True, **asked)
    assert not retention.may_take(waits, running=False, **asked)
    assert retention.may_take(waits, running=False, others_wait=True, **asked)
    assert retention.may_take(waits, running=False, load=Load(idle=True), now_s=1.0)
    assert retention.may_take(waits, running=False, load=Load(), now_s=31.0)
    pin = retention.gives_up(waits)
    assert pin is not None
    assert pin.held == "blocks of kept"
    assert retention.gives_up(waits) is None


def test_the_next_turn_consumes_the_pin_and_counts_what_was_lost() -> None:
    retention = Retention[str](100)
    run(retention, "s")
    turn = turn_of(retention, "s", now_s=1.0)
    assert turn.pinned
    assert [pin.session for pin in retention.begun(turn, prompt_tokens=400, hit_tokens=256, now_s=1.5)] == ["s"]
    assert retention.begun(turn, prompt_tokens=400, hit_tokens=0, now_s=2.0) == [], "a preempted turn counts once"
    assert dict(retention.tokens) == {"prompt": 720, "hit": 256, "recomputed": 64}


def test_only_what_a_prompt_repeats_can_be_lost() -> None:
    """Replies come back without their reasoning, conversations are summarised, names are used for anything."""
    hashes = [f"h{at}" for at in range(10)]
    for then, known in (
        (hashes, 320),
        ([*hashes[:8], "other"], 256),
        ([*hashes[:7], "other", "text"], 224),
        (["unrelated"] * 10, 0),
        (hashes[:6], 0),
        ((), 0),
    ):
        retention = Retention[str](100)
        turn = turn_of(retention, "s")
        retention.begun(turn, prompt_tokens=260, hit_tokens=0, now_s=0.0, hashes=hashes[:8])
        retention.ended(turn, tokens=320, blocks=10, load=QUIET, now_s=0.0, hashes=hashes)
        again = turn_of(retention, "s", now_s=1.0)
        retention.begun(again, prompt_tokens=330, hit_tokens=0, now_s=1.0, hashes=then)
        assert retention.tokens["recomputed"] == known
        assert retention.guard is not None
        assert retention.guard.lost_blocks == max(known // 32 - 1, 0)


def test_a_reset_is_nobodys_loss() -> None:
    retention = Retention[str](100)
    for at_s in range(1, 60):
        run(retention, "s", at_s=float(at_s))
        assert [pin.session for pin in retention.reset()] == ["s"]
    assert retention.guard is not None
    assert retention.guard.trusted
    assert retention.tokens["recomputed"] == 0


def test_a_prefetch_teaches_no_pause() -> None:
    retention = Retention[str](100)
    run(retention, "warm", tool="build", prefetch=True)
    retention.over("warm", 60.0)
    assert retention.durations.forecast(KvHint(tool="build").key).source == "prior"


def test_a_superseded_session_is_dropped_when_its_successor_arrives() -> None:
    retention = Retention[str](100)
    run(retention, "old")
    _, ended = retention.arrived("new", KvHint(supersedes=("old", "new")), blocks=5, now_s=1.0)
    assert [pin.session for pin in ended] == ["old"]
    assert retention.table.outcomes[Outcome.SUPERSEDED] == 1


def test_an_untrusted_prediction_makes_no_pin_and_ends_those_there_are() -> None:
    retention = Retention[str](100)
    run(retention, "kept")
    assert retention.guard is not None
    retention.guard.trusted = False
    assert run(retention, "other").blocks == 0
    assert [pin.session for pin in retention.due(QUIET, 0.0)] == ["kept"]


def test_a_fixed_ttl_asks_nobody() -> None:
    retention = Retention[str](100, RetentionOptions(ttl_s=2.0))
    assert run(retention, "s", load=BUSY, pause_s=(60.0,)).ttl_s == 2.0
    assert retention.due(BUSY, 1.9) == []
    assert len(retention.due(BUSY, 2.0)) == 1


@pytest.mark.parametrize("wrong", [{"budget": 1.5}, {"ttl_s": -1.0}, {"patience_s": float("nan")}, {"overtaking": inf}])
def test_options_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetentionOptions(**wrong)  # type: ignore[arg-type]
