"""Structured ops of an earlier version are found again in this one."""

from __future__ import annotations

import pytest

from orchestrator.runtime.journal.versions.aligned import Alignment, shape_of_paths


@pytest.mark.parametrize(
    ("earlier", "now", "frames"),
    [
        # what was not executed yet does as much of the same
        ("loop[0]/a", "loop[0]/a loop~2[0]/a", {"loop[0]/": "loop[0]/"}),
        ("loop[0]/a loop~2[1]/a", "loop[0]/a loop~2[0]/a loop~3[0]/a", {"loop~2[1]/": "loop~2[1]/"}),
        ("loop[0]/loop[1]/a", "loop[0]/loop[0]/a loop[0]/loop~2[0]/a", {"loop[0]/loop[1]/": "loop[0]/loop[1]/"}),
        # another one was put in front, or taken away
        ("loop[0]/a", "loop[0]/b loop~2[0]/a", {"loop[0]/": "loop~2[0]/"}),
        ("loop[0]/a loop~2[0]/b", "loop[0]/b", {"loop[0]/": None, "loop~2[0]/": "loop[0]/"}),
        ("branch.then/a", "loop[0]/a", {"branch.then/": None}),
    ],
)
def test_a_frame_is_that_of_the_op_that_does_most_of_the_same(
    earlier: str, now: str, frames: dict[str, str | None]
) -> None:
    alignment = Alignment(shape_of_paths(earlier.split()), shape_of_paths(now.split()))
    assert {each: alignment.frame(each) for each in frames} == frames
