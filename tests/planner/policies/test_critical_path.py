"""Our dispatch and when it keeps a request back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import pytest

from orchestrator.planner.policies.critical_path import critical_path, placement_cost, pressure, spare_tokens
from orchestrator.planner.policies.late_binding import late_binding
from orchestrator.planner.policies.view import RequestView
from tests.planner.policies.views import Call, Server


@dataclass
class Busy(Server):
    """A replica with requests to look at."""

    runs: tuple[Call, ...] = ()
    queue: tuple[Call, ...] = ()

    def __post_init__(self) -> None:
        self.running_count, self.waiting_count = len(self.runs), len(self.queue)
        self.context = sum(call.prompt_tokens for call in self.runs)

    def running(self, now: float) -> Iterable[tuple[RequestView, int, int]]:
        """All prefilled, nothing written yet."""
        return ((call, 0, 0) for call in self.runs)

    def waiting(self) -> Iterable[tuple[float, RequestView]]:
        """By sequence number."""
        return ((float(call.sequence), call) for call in self.queue)


EARLY = Call(started_s=0.0, deadline_s=100.0, remaining_s=5.0)
LATE = Call(started_s=-70.0, deadline_s=30.0, remaining_s=25.0)


def test_it_prefers_the_faster_the_emptier_and_the_one_with_the_prefix() -> None:
    choose = critical_path()
    assert choose(Call(), [Server(0, slowness=1.2), Server(1)], 0.0) == 1
    assert choose(Call(), [Server(0, prompt_backlog_tokens=500, waiting_count=2), Server(1)], 0.0) == 1
    assert (
        choose(Call(prompt_tokens=2000), [Server(0, cached=1500, free=200), Server(1, slowness=0.7, free=200)], 0) == 0
    )
    assert (
        choose(Call(prompt_tokens=2000), [Server(0, cached=1500, free=200), Server(1, slowness=0.1, free=200)], 0) == 1
    )


def test_pressure_grows_with_what_a_program_took_and_with_what_is_still_to_do() -> None:
    assert pressure(LATE, 0.0, 1.0) == pytest.approx((96 / 100) ** 4)
    assert pressure(LATE, 0.0, 1.0) > pressure(replace(LATE, remaining_s=0.0), 0.0, 1.0) > pressure(EARLY, 0.0, 1.0)
    assert pressure(replace(EARLY, deadline_s=50.0), 0.0, 1.0) > pressure(EARLY, 0.0, 1.0)
    assert pressure(Call(remaining_s=60.0), 0.0, 60.0) == pytest.approx(2**4)


def test_a_late_program_gets_the_fast_device_and_an_early_one_leaves_it_to_late_ones() -> None:
    """Whoever joins the fast device slows two late programs down; on the slow one nobody is held up."""
    fast, slow = Busy(0, runs=(LATE,) * 2), Busy(1, slowness=1.7)
    assert critical_path()(LATE, [fast, slow], 0.0) == 0
    assert critical_path()(EARLY, [fast, slow], 0.0) == 1


def test_with_exponent_0_all_seconds_count_the_same() -> None:
    """Own: 0.1 s prefill and 10 steps of 0.13 s and context; both others: that prefill and 10 times the growth."""
    replica = Busy(0, runs=(EARLY, LATE))
    own_s = 0.1 + 10 * (0.1 + 0.03 + 1e-6 * 305)
    delay_s = 0.1 + 10 * (0.01 + 1e-6 * 105)
    assert placement_cost(EARLY, replica, 0.0, exponent=0.0) == pytest.approx(own_s + 2 * delay_s)
    queued = Busy(0, runs=(EARLY,), queue=(LATE,), context=100)
    assert placement_cost(EARLY, queued, 0.0, exponent=0.0) > own_s


def test_it_avoids_full_replicas() -> None:
    full = Server(0, running_count=8, waiting_count=3)
    assert critical_path()(Call(), [full, Server(1, slowness=2.0)], 0.0) == 1
    no_memory = Server(0, running_count=2, free=3)
    assert critical_path()(Call(), [no_memory, Server(1, slowness=1.5)], 0.0) == 1


def test_it_looks_closely_at_the_least_loaded_and_the_home() -> None:
    cluster = [Server(i, backlog_s=10.0 + i, slowness=0.1 if i == 9 else 1.0) for i in range(10)]
    assert critical_path(shortlist=20)(Call(), cluster, 0.0) == 9
    assert critical_path(shortlist=3)(Call(), cluster, 0.0) == 0
    assert critical_path(shortlist=3)(Call(home=9), cluster, 0.0) == 9


def test_spare_memory_counts_growth_and_the_queue() -> None:
    replica = Busy(0, runs=(Call(),), queue=(Call(),), free=50, waiting_blocks=7)
    assert spare_tokens(replica, 0.0) == (50 - 7) * 16 - 10 - 10


def test_a_request_is_held_only_while_every_replica_is_crowded() -> None:
    """Steps of 0.1 s and 0.01 s a request: twice as long from 12 on."""
    hold = late_binding(crowding=2.0)
    crowded, airy = Busy(0, runs=(Call(),) * 13), Busy(1, runs=(Call(),) * 9)
    assert hold(Call(), [crowded, crowded], 0.0)
    assert not hold(Call(), [crowded, airy], 0.0)
    assert not hold(Call(), [crowded, Server(1)], 0.0)
    assert hold(Call(), [replace(airy, free=12)], 0.0)
    assert not hold(Call(), [Server(1, free=0)], 0.0)
