from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.planner.interval import Interval
from orchestrator.planner.tools.choices import PLACES, Cores, Work, cheapest, seconds_of_all
from orchestrator.planner.tools.dispatch import SWITCH_S, dispatch

CORES = Cores(here=4, everywhere=64)
SECOND = Work(Interval.exact(1.0), is_known=True, computes=True, executions=100.0)
FOUR = replace(SECOND, at_once=4.0)


def test_threads_share_one_interpreter_and_processes_do_not() -> None:
    assert seconds_of_all("thread", FOUR, CORES) == pytest.approx(4 * seconds_of_all("thread", SECOND, CORES))
    assert seconds_of_all("process", FOUR, CORES) == pytest.approx(1.0, rel=0.02)
    assert cheapest(FOUR, "pure", CORES, ray=False).place == "process"


def test_what_waits_takes_no_longer_for_its_peers() -> None:
    waiting = replace(FOUR, computes=False)
    assert seconds_of_all("thread", waiting, CORES) == pytest.approx(1.0, rel=0.001)
    assert cheapest(waiting, "pure", CORES, ray=True).place == "thread"


def test_more_calls_than_cores_here_go_to_all_machines() -> None:
    assert cheapest(replace(SECOND, at_once=64.0), "pure", CORES, ray=True).place == "ray-task"
    assert cheapest(replace(SECOND, at_once=64.0), "pure", Cores(4, 4), ray=True).place == "process"


def test_an_actor_has_one_call_at_a_time() -> None:
    assert seconds_of_all("ray-actor", FOUR, CORES) > 4.0
    assert cheapest(FOUR, "pure", CORES, ray=True).workers == 4


def test_many_bytes_stay_where_they_are() -> None:
    heavy = replace(FOUR, moved_bytes=2.0**30)
    assert cheapest(heavy, "pure", CORES, ray=True).place == "thread"
    moved = cheapest(replace(FOUR, moved_bytes=2.0**20), "pure", CORES, ray=True)
    assert moved.place == "process"
    assert moved.moving_s == pytest.approx(2**20 / 3.6e8)
    assert moved.overhead.mid > moved.moving_s


def test_a_thread_that_computes_holds_up_what_waits_on_the_event_loop() -> None:
    alone, beside = (seconds_of_all("thread", replace(SECOND, others=n), CORES) for n in (0, 3))
    assert beside - alone == pytest.approx(3 * SWITCH_S)


def test_a_start_that_few_calls_pay_for_is_not_worth_it() -> None:
    short = replace(FOUR, seconds=Interval.exact(0.05))
    assert cheapest(replace(short, executions=4.0), "pure", CORES, ray=False).place == "thread"
    assert cheapest(replace(short, executions=400.0), "pure", CORES, ray=False).place == "process"


@pytest.mark.parametrize(
    ("effects", "why"),
    [("once", "a lost worker could repeat"), ("idempotent", "only this process holds"), ("reads", "this process")],
)
def test_effects_keep_a_tool_in_the_coordinator(effects: str, why: str) -> None:
    chosen = cheapest(FOUR, effects, CORES, ray=True)
    assert chosen.place == "thread"
    assert len(chosen.alternatives) == 1
    assert why in chosen.alternatives[0]


def test_a_guess_moves_nothing() -> None:
    chosen = cheapest(replace(FOUR, is_known=False), "pure", CORES, ray=True)
    assert chosen.place == "thread"
    assert chosen.alternatives == (
        "process, ray-task, ray-actor: worth it for what computes for long; declare typical_s",
    )


def test_each_other_place_says_by_how_much_it_lost() -> None:
    chosen = cheapest(FOUR, "pure", Cores(4, 4), ray=True)
    assert chosen.alternatives[0] == "thread: 3s more than the 1s of the chosen for 4 at once"
    assert [each.partition(":")[0] for each in chosen.alternatives] == ["thread", "ray-task", "ray-actor"]


def test_every_place_has_figures_with_a_source() -> None:
    for place in PLACES:
        figures = dispatch(place)
        assert figures.interval.lo <= figures.interval.mid <= figures.interval.hi
        assert figures.source
    with pytest.raises(KeyError):
        dispatch("inline")
