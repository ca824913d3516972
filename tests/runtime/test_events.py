"""Events survive their JSON form."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from orchestrator.errors import Error, SourceLoc
from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.events import (
    Event,
    FrameOpened,
    OpCaught,
    OpFailed,
    OpsDone,
    OpSettled,
    OpStarted,
    OpUnsettled,
    ReplyUnfit,
    Reserved,
    RunDone,
    RunFailed,
    RunResumed,
    RunStarted,
    Spent,
    TimerSet,
    decode,
    encode,
    occurrence,
    region_key,
)
from orchestrator.runtime.specs import Limits

EVENTS: list[Event] = [
    RunStarted("r", "w", "hash", ("question", 3), 1.0),
    RunStarted("r", "w", "hash", (), 1.0, Limits(0.5, None, 3.0)),
    FrameOpened("loop_1[0]/", 2.0),
    OpStarted("loop_1[0]/", "llm_1", 2, 3.0),
    OpFailed("", "t", 1, "ORCH-R001", "failed", 0.25, 4.0),
    OpFailed("", "t", 1, "ORCH-R001", "failed", None, 4.0, raised=Error("ORCH-R001", "x", "m.E", ("builtins.E",))),
    OpCaught("", "attempt_1", 2, 0, Error("ORCH-R004", "too long", "timeout", ("builtins.TimeoutError",)), 4.1),
    OpsDone("", 3, ([1], "x"), 5.0),
    OpsDone("", 5, ("y",), 5.0, "llm_1", Usage(3, 2, 1), 0.5, ("stop", "length")),
    OpFailed("", "t", 1, "ORCH-R024", "cancelled", None, 4.0, began=False),
    ReplyUnfit("f/", "llm_1", ((0, "1"), (2, "3")), "two", "a number, please", 4.25),
    OpUnsettled("f/", "pay_1", 1, "it was cancelled", 4.5),
    OpSettled("f/", "pay_1", "happened", "check", 4, ({"cents": 5},), None, 4.5),
    OpSettled("f/", "pay_1", "failed", "a person", 4, (), "no funds", 4.5),
    Reserved("f/", "llm_1", Usage(300, None, 50, estimated=True), 0.25, 5.0),
    Spent("f/", "llm_1", Usage(3, None, 1), None, 5.5),
    Spent("f/", "llm_1", Usage(3, None, 1, estimated=True), None, 5.5),
    TimerSet("f/", "sleep_1", 1e9 + 0.25, 5.6),
    RunResumed(5.75),
    RunResumed(5.75, Limits()),
    RunDone({"a": 1}, 6.0),
    RunFailed("ORCH-R001", "failed", "t", SourceLoc("a.py", 3, "f"), 7.0),
    RunFailed("ORCH-R010", "budget", None, None, 7.0),
]


def test_every_kind_of_event_is_tried() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(Event))


def same(_key: str, _slot: int, value: object) -> object:
    return value


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_round_trip_through_json(event: Event) -> None:
    assert decode(json.loads(json.dumps(encode(event, same))), same) == event


def test_values_are_dumped_with_their_region_and_slot() -> None:
    seen: list[Any] = []
    encode(OpsDone("a[3]/b#2.then/", 4, (1, 2), 0.0), lambda *where: seen.append(where))
    assert seen == [("a/b.then/", 4, 1), ("a/b.then/", 5, 2)]


def test_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 99"):
        decode({**encode(EVENTS[1], same), "v": 99}, same)


@pytest.mark.parametrize(
    ("frame", "key"),
    [("", ""), ("a[12]/", "a/"), ("a.cond[1]/", "a.cond/"), ("a#3[1]/b.arm_1/", "a/b.arm_1/"), ("s/m#2[0]/", "s/m/")],
)
def test_the_region_of_a_frame(frame: str, key: str) -> None:
    assert region_key(frame) == key


@pytest.mark.parametrize(
    ("frame", "path"), [("", "op"), ("a#3[1]/b.arm_1/", "a[1]/b.arm_1/op"), ("s/m#2[0]/n#4.then/", "s/m[0]/n.then/op")]
)
def test_an_op_is_the_same_in_every_attempt_at_what_is_around_it(frame: str, path: str) -> None:
    assert occurrence(frame, "op") == path
