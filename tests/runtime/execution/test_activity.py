"""Whoever may take a run out of its process is woken where the run may have come to wait, and nowhere else."""

from __future__ import annotations

import pytest

from orchestrator.runtime.execution.activity import Activity


@pytest.mark.parametrize(("sleeps", "is_told"), [({}, False), ({"pause": 1e12}, True)])
async def test_the_end_of_an_op_tells_of_a_run_that_has_something_to_wait_for(
    sleeps: dict[str, float], is_told: bool
) -> None:
    activity = Activity()
    activity.is_attended = True
    activity.sleeping.update(sleeps)
    activity.begin()
    activity.end()
    assert activity.changed.is_set() == is_told
