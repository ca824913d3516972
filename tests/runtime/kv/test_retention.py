"""Decisions: what is kept for how long, who is taken on, in what order, and what is given up for whom."""

from __future__ import annotations

from math import inf

import pytest

from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.load import Load
from orchestrator.runtime.kv.pins import Outcome
from orchestrator.runtime.kv.prefixes import Prefix
from orchestrator.runtime.kv.retention import Retention
from orchestrator.runtime.kv.retention_options import RetentionOptions
from tests.runtime.kv.taking_turns import BUSY, QUIET, run, turn_of


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
    assert retention.intake.admits(turns[0], Load(), 0.0)
    for turn in turns[1:]:
        turn.prefix = system
        retention.intake._unfit = None
    assert [retention.intake.admits(turn, Load(), 0.0) for turn in turns[1:]] == [True, True, True, False, False]
    for turn in turns[:4]:
        retention.begun(turn, prompt_tokens=1, hit_tokens=0, now_s=0.0)
        decision = retention.ended(turn, tokens=45 * 32, blocks=45, load=QUIET, now_s=0.0, prefix=system)
        retention.keep(turn, decision, turn.session, now_s=0.0)
    assert [(pin.session, pin.blocks, pin.own_blocks) for pin in retention.table.pins()] == [
        ("a", 45, 5), ("b", 45, 5), ("c", 40, 0), ("d", 40, 0)
    ]  # fmt: skip
    assert retention.table.pinned_blocks == 50
    assert [retention.intake.admits(turn, Load(), 0.0) for turn in turns[4:]] == [True, True]


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


def test_a_pin_is_as_much_worth_when_a_fork_of_it_arrives() -> None:
    retention = Retention[str](100)
    run(retention, "parent", pause_s=(2.0,))
    fork = turn_of(retention, "fork", blocks=12)
    fork.prefix = Prefix("parent", 10)
    retention.shares("parent", fork.prefix, pinned=True)
    assert not retention.due(BUSY, 0.1), "it is back soon"
    assert retention.due(BUSY, 60.0)


def test_a_session_that_is_said_to_be_over_while_it_runs_is_not_kept() -> None:
    retention = Retention[str](100)
    turn = turn_of(retention, "s")
    assert retention.intake.admits(turn, Load(), 0.0)
    retention.begun(turn, prompt_tokens=320, hit_tokens=0, now_s=0.0)
    retention.over("s", 0.5)
    assert retention.ended(turn, tokens=320, blocks=10, load=QUIET, now_s=1.0).blocks == 0
    assert run(retention, "s", at_s=2.0).blocks == 10, "its next turn says that it goes on"


def test_samples_of_one_request_learn_one_pause() -> None:
    retention = Retention[str](100)
    twins = [turn_of(retention, "s", tool="build") for _ in range(4)]
    for turn in twins:
        assert retention.intake.admits(turn, Load(idle=True), 0.0)
        retention.begun(turn, prompt_tokens=320, hit_tokens=0, now_s=0.0)
    for turn in twins:
        retention.ended(turn, tokens=320, blocks=10, load=QUIET, now_s=1.0)
    turn_of(retention, "s", now_s=31.0)
    assert retention.durations.forecast(KvHint(tool="build").key).count == 1


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


WRONG: list[dict[str, object]] = [
    {"budget": 1.5},
    {"ttl_s": -1.0},
    {"patience_s": float("nan")},
    {"overtaking": inf},
    {"longest_s": -1.0},
    {"order": "x"},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetentionOptions(**wrong)  # type: ignore[arg-type]
