"""Programs that cannot be in time are turned away."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.planner.policies import ROUND_ROBIN_FCFS
from orchestrator.planner.policies.admission import crowding, in_time, queueing
from orchestrator.planner.simulate.simulation import simulate
from tests.planner.policies.views import Call, Server
from tests.planner.simulate.loads import spec, workflows


def test_a_queue_is_as_long_as_the_batches_that_go_first() -> None:
    assert queueing(Server(running_count=4)) == 1.0
    # Six that wait, and this one, for four places.
    assert queueing(Server(running_count=4, waiting_count=6)) == 1 + 7 / 4


def test_a_batch_stretches_steps() -> None:
    """From 0.11 s to 0.10 + 8 * 0.01 s."""
    assert crowding(Server(), 0.0) == 1.0
    assert crowding(Server(running_count=8, waiting_count=3), 0.0) == pytest.approx(0.18 / 0.11)


def test_the_deadline_counts_for_the_whole_program() -> None:
    """1.1 s here and 3 s behind it."""
    call = Call(remaining_s=3.0, deadline_s=10.0)
    assert in_time(call, [Server()], 5.8)
    assert not in_time(call, [Server()], 6.0)
    assert in_time(call, [Server(), Server(slowness=0.5)], 6.0)
    queue = Server(running_count=4, waiting_count=6, backlog_s=40.0)
    assert not in_time(call, [queue], 0.0)
    assert in_time(Call(), [queue], 1e9)


@pytest.mark.parametrize("slo_s", [2.0, 4.0])
def test_under_overload_more_programs_are_in_time(slo_s: float) -> None:
    load = workflows(600, 1, rate_per_s=60.0, slo_s=slo_s)
    cluster = [spec(), spec()]
    all_in = simulate(load, cluster, ROUND_ROBIN_FCFS, history=load)
    shed = simulate(load, cluster, replace(ROUND_ROBIN_FCFS, admit=in_time), history=load)
    assert all_in.rejected == 0
    assert shed.met_slo > 1.8 * all_in.met_slo
