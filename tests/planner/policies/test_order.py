"""Who goes first in a replica's queue."""

from __future__ import annotations

import pytest

from orchestrator.planner.policies.critical_path import least_laxity
from orchestrator.planner.policies.fcfs import fcfs
from orchestrator.planner.policies.urgency import urgency
from tests.planner.policies.views import Call, Server

SERVER = Server(slowness=1.0)
"""100 prompt and 10 output tokens take 1.1 s here."""


def test_first_come_first_served() -> None:
    assert fcfs(Call(ready_s=1.0), SERVER, 9.0) < fcfs(Call(ready_s=2.0, started_s=0.0), SERVER, 9.0)


def test_a_stage_gets_its_share_of_what_is_left_of_the_slo() -> None:
    """12 s are left at readiness; the stage is 2 of the 6 s still to do, so 4 s are its own."""
    call = Call(ready_s=3.0, started_s=0.0, deadline_s=15.0, predicted_s=2.0, remaining_s=4.0)
    assert urgency(call, SERVER, 3.0) == pytest.approx(3.0 + 4.0 - 1.1)
    last = Call(ready_s=3.0, started_s=0.0, deadline_s=15.0, predicted_s=2.0, remaining_s=0.0)
    assert urgency(last, SERVER, 3.0) == pytest.approx(15.0 - 1.1)


def test_urgency_of_nothing_to_do_and_of_no_slo() -> None:
    assert urgency(Call(deadline_s=5.0, predicted_s=0.0), SERVER, 0.0) == pytest.approx(5.0 - 1.1)
    assert urgency(Call(), SERVER, 0.0) == float("inf")


def test_least_laxity_counts_the_whole_path() -> None:
    short, long = Call(deadline_s=20.0, remaining_s=1.0), Call(deadline_s=20.0, remaining_s=9.0)
    assert least_laxity(short, SERVER, 0.0) == pytest.approx(20.0 - 1.1 - 1.0)
    assert least_laxity(long, SERVER, 0.0) < least_laxity(short, SERVER, 0.0)


def test_without_an_slo_the_shortest_program_goes_first_until_others_have_waited() -> None:
    short, long = Call(remaining_s=1.0), Call(remaining_s=9.0)
    assert least_laxity(short, SERVER, 0.0) < least_laxity(long, SERVER, 0.0)
    assert least_laxity(long, SERVER, 9.0) < least_laxity(Call(remaining_s=1.0, started_s=8.5), SERVER, 9.0)
