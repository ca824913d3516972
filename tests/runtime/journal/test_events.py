"""Frames tell which region they execute, and ops which one they are in every attempt."""

from __future__ import annotations

import pytest

from orchestrator.runtime.journal.events import occurrence, region_key


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
