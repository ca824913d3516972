"""Replies on the screen while several calls run at once."""

from __future__ import annotations

import pytest

from orchestrator.cli.screen import Screen
from orchestrator.cli.stream import Replies
from orchestrator.errors import Error
from orchestrator.runtime.journal.events import Feed, OpCaught, OpDone, OpFailed, RunDone, RunFailed, Token


def shown(capfd: pytest.CaptureFixture[str], *entries: Feed | tuple[str, Feed], several: bool = False) -> list[str]:
    screen = Screen(live=False)
    replies = Replies(screen, several=several)
    for entry in entries:
        case, event = entry if isinstance(entry[0], str) and isinstance(entry[1], tuple) else ("one", entry)
        replies.of(case).push(event)  # type: ignore[arg-type]
    replies.close()
    screen.close()
    return capfd.readouterr().err.splitlines()


def done(op: str, frame: str = "") -> OpDone:
    return OpDone(frame, op, (None,), 0.0)


def test_two_calls_at_once_are_two_pieces(capfd: pytest.CaptureFixture[str]) -> None:
    lines = shown(
        capfd,
        Token("", "a", 0, "one "),
        Token("", "b", 0, "uno "),
        Token("", "a", 0, "two"),
        Token("", "b", 0, "due"),
        done("a"),
        Token("", "b", 0, " tre"),
        done("b"),
    )
    assert lines == ["a: one two", "b: uno due tre"]


def test_samples_and_items_have_labels_of_their_own(capfd: pytest.CaptureFixture[str]) -> None:
    lines = shown(
        capfd,
        Token("each[0]/", "a", 0, "x"),
        Token("each[1]/", "a", 0, "y"),
        Token("each[0]/", "a", 1, "z"),
        done("a", "each[1]/"),
        done("a", "each[0]/"),
    )
    assert lines == ["each[0]/a: x", "each[1]/a: y", "each[0]/a#2: z"]


def test_attempts_do_not_mix(capfd: pytest.CaptureFixture[str]) -> None:
    lines = shown(
        capfd,
        Token("", "a", 0, "wro"),
        OpFailed("", "a", 1, "ORCH-R003", "the reply does not fit", 0.0, 0.0),
        Token("", "a", 0, "right", 2),
        done("a"),
    )
    assert lines == ["a: wro", "a failed: the reply does not fit; it is tried again", "a (attempt 2): right"]


def test_the_loser_of_a_race_keeps_nobody_waiting(capfd: pytest.CaptureFixture[str]) -> None:
    screen = Screen(live=False)
    observer = Replies(screen, several=False).of("one")
    observer.push(Token("race_1.slow/", "a", 0, "half"))
    observer.push(Token("race_10.x/", "c", 0, "other"))
    observer.push(done("race_1"))
    observer.push(done("c", "race_10.x/"))
    assert capfd.readouterr().err.splitlines() == ["race_1.slow/a: half", "race_10.x/c: other"]


@pytest.mark.parametrize("end", [RunDone(None, 0.0), RunFailed("ORCH-R024", "cancelled", None, None, 0.0)])
def test_the_end_of_a_run_ends_its_replies_and_no_others(capfd: pytest.CaptureFixture[str], end: Feed) -> None:
    screen = Screen(live=False)
    replies = Replies(screen, several=True)
    replies.of("first").push(Token("", "a", 0, "x"))
    replies.of("second").push(Token("", "a", 0, "y"))
    replies.of("first").push(end)
    replies.of("second").push(Token("", "a", 0, "y"))
    assert capfd.readouterr().err == "first a: x\nsecond a: yy"


@pytest.mark.parametrize("late", [RunDone(None, 0.0), done("a")])
def test_what_comes_after_the_close_finds_nothing_to_end(capfd: pytest.CaptureFixture[str], late: Feed) -> None:
    replies = Replies(Screen(live=False), several=False)
    replies.of("one").push(Token("", "a", 0, "x"))
    replies.close()
    replies.of("one").push(late)
    assert capfd.readouterr().err.startswith("a: x\n")


def test_a_reply_cannot_command_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    assert shown(capfd, Token("", "a", 0, "\x1b]0;title\x07ok\tgood"), done("a")) == ["a: ]0;titleok\tgood"]


def test_a_reply_that_was_cut_beside_a_failure_keeps_nothing_waiting(capfd: pytest.CaptureFixture[str]) -> None:
    error = Error("ORCH-R001", "no", "builtins.KeyError")
    lines = shown(
        capfd,
        Token("attempt.try/", "a", 0, "one "),
        OpFailed("attempt.try/", "bad", 1, "ORCH-R001", "no", None, 0.0),
        OpCaught("", "attempt", 1, 0, error, 0.0),
        Token("attempt.except/", "b", 0, "two"),
        done("b", "attempt.except/"),
        done("attempt"),
    )
    assert lines == ["attempt.try/a: one ", "attempt.except/b: two"]
