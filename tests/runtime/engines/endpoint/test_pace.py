"""The limit follows what an endpoint takes, and the queue is fair. Time is the test's, where it matters."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter

import pytest

from orchestrator.runtime.engines.endpoint.pace import FIRST, KEPT, HeldError, Pace, Permit, gate, shared_pace


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


async def enter(pace: Pace, count: int) -> list[Permit]:
    return [await pace.enter("", "p") for _ in range(count)]


async def answer_all(pace: Pace, count: int) -> None:
    """So many calls at once, each of which the endpoint takes."""

    async def one() -> None:
        permit = await pace.enter("", "p")
        await asyncio.sleep(0)
        permit.answered()
        permit.answered()  # counts once
        permit.leave()

    await asyncio.gather(*(one() for _ in range(count)))


async def test_the_limit_doubles_until_the_first_refusal() -> None:
    pace = Pace()
    await answer_all(pace, 3 * int(FIRST))
    assert pace.limit >= 2 * FIRST
    assert pace.limit < 4 * FIRST


async def test_it_grows_only_where_others_wait() -> None:
    pace = Pace()
    await answer_all(pace, int(FIRST))
    assert pace.limit == FIRST


async def test_it_grows_no_further_than_it_may() -> None:
    pace = Pace(40)
    await answer_all(pace, 200)
    assert pace.limit == 40


async def test_many_refusals_of_a_round_are_one_decrease() -> None:
    pace = Pace(clock=Clock())
    permits = await enter(pace, 32)
    for permit in permits[20:]:
        permit.refused(0.0)
    assert pace.limit == pytest.approx(KEPT * 32)
    assert (pace.epoch, pace.refused_rounds) == (1, 1)


async def test_after_that_it_grows_by_one_a_round() -> None:
    pace = Pace(clock=(clock := Clock()))
    for permit in await enter(pace, 10):
        permit.refused(0.0)
        permit.leave()
    before = pace.limit
    clock.now_s += 1.0
    await answer_all(pace, 100)
    assert before + 5 < pace.limit < before + 15


async def test_it_never_falls_below_one() -> None:
    pace = Pace(clock=(clock := Clock()))
    for _ in range(50):
        (permit,) = await enter(pace, 1)
        permit.refused(None)
        permit.leave()
        clock.now_s += 10.0
    assert pace.limit == 1.0


class Passing(Clock):
    """Time passes from each look at it to the next."""

    def __call__(self) -> float:
        self.now_s += 0.001
        return self.now_s


@pytest.mark.parametrize("looks", range(4))
async def test_the_time_may_come_between_any_two_looks_at_the_clock(looks: int) -> None:
    pace = Pace(clock=(clock := Passing()))
    (permit,) = await enter(pace, 1)
    permit.refused(5.0)
    permit.leave()
    waiting = asyncio.create_task(pace.enter("", "p"))
    await asyncio.sleep(0)
    clock.now_s = pace._held_until_s - 0.0005 - looks * 0.001
    pace._resume()
    async with asyncio.timeout(30):
        (await waiting).leave()


async def test_nothing_is_sent_before_the_time_that_was_named() -> None:
    pace = Pace(clock=(clock := Clock()))
    (permit,) = await enter(pace, 1)
    permit.refused(5.0)
    permit.leave()
    waiting = asyncio.create_task(pace.enter("", "p"))
    await asyncio.sleep(0)
    assert pace.waiting == 1
    clock.now_s += 4.9
    pace._resume()
    await asyncio.sleep(0)
    assert not waiting.done()
    clock.now_s += 0.2
    pace._resume()
    (await waiting).leave()


async def test_an_endpoint_that_names_now_and_refuses_again_is_not_hammered() -> None:
    pace = Pace(clock=(clock := Clock()))
    waits: list[float] = []
    for _ in range(5):
        (permit,) = await enter(pace, 1)
        permit.refused(0.0)
        permit.leave()
        waits.append(pace._held_until_s - clock.now_s)
        clock.now_s = pace._held_until_s
    assert waits == pytest.approx([0.001, 0.25, 0.5, 1.0, 2.0])


async def test_it_comes_back_by_itself() -> None:
    pace = Pace()
    (permit,) = await enter(pace, 1)
    permit.refused(0.01)
    permit.leave()
    async with asyncio.timeout(10):
        await pace.enter("", "p")


async def test_waits_double_where_no_time_is_named() -> None:
    pace = Pace(clock=(clock := Clock()))
    waits = []
    for _ in range(8):
        (permit,) = await enter(pace, 1)
        permit.refused(None)
        permit.leave()
        waits.append(pace._held_until_s - clock.now_s)
        clock.now_s = pace._held_until_s
    assert waits == pytest.approx([0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0])


async def order_of(pace: Pace, calls: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Who gets a place in which order while there is one at a time."""
    order: list[tuple[str, str]] = []

    async def one(tenant: str, program: str) -> None:
        permit = await pace.enter(tenant, program)
        order.append((tenant, program))
        await asyncio.sleep(0)
        permit.leave()

    holder = await pace.enter("", "")
    tasks = [asyncio.create_task(one(*call)) for call in calls]
    await asyncio.sleep(0)
    holder.leave()
    await asyncio.gather(*tasks)
    return order


async def test_a_wide_map_of_one_run_does_not_keep_another_out() -> None:
    order = await order_of(Pace(1), [("", "wide")] * 50 + [("", "small")] * 2)
    assert max(i for i, (_, program) in enumerate(order) if program == "small") <= 4


async def test_tenants_get_equal_shares_however_many_runs_they_have() -> None:
    many = [("a", f"run{i}") for i in range(40)]
    order = await order_of(Pace(1), many + [("b", "run")] * 10)
    assert Counter(tenant for tenant, _ in order[:20]) == {"a": 10, "b": 10}


async def test_a_call_that_was_refused_goes_first() -> None:
    pace = Pace(1)
    order: list[str] = []

    async def call(name: str, refusals: int) -> None:
        key = None
        while True:
            permit = await pace.enter("", "p", key)
            key = permit.key
            order.append(name)
            await asyncio.sleep(0)
            if refusals:
                refusals -= 1
                permit.refused(0.0)
                permit.leave()
                continue
            permit.leave()
            return

    await asyncio.gather(call("first", 2), call("second", 0), call("third", 0))
    assert order == ["first", "first", "first", "second", "third"]


async def test_who_gives_up_leaves_no_place_behind() -> None:
    pace = Pace(1)
    holder = await pace.enter("", "a")
    waiting = [asyncio.create_task(pace.enter("", f"p{i}")) for i in range(4)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    waiting[1].cancel()
    holder.leave()  # in the moment of the cancellation
    waiting[2].cancel()  # which has its place already
    await asyncio.gather(*waiting[:3], return_exceptions=True)
    (await waiting[3]).leave()
    assert (pace.in_flight, pace.waiting) == (0, 0)


async def test_a_model_at_an_endpoint_has_one_pace_for_all_who_use_the_same_key() -> None:
    first = shared_pace("http://h/v1", "k", "m", 8)
    assert first.limit == 8
    assert shared_pace("http://h/v1", "k", "m", 100) is first
    assert shared_pace("http://h/v1", "k", "m", 8).most == 100
    assert shared_pace("http://h/v1", "other", "m", 100) is not first
    assert shared_pace("http://g/v1", "k", "m", 100) is not first
    assert shared_pace("http://h/v1", "k", "another", 100) is not first


async def test_a_gate_lets_in_so_many_from_the_start_and_learns_nothing() -> None:
    door, inside, most = gate(40), 0, 0

    async def work() -> None:
        nonlocal inside, most
        async with door.place("", "run"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work() for _ in range(100)))
    assert (most, door.limit, door.in_flight, door.waiting) == (40, 40, 0, 0)


def test_an_event_loop_has_its_own() -> None:
    async def pace() -> Pace:
        return shared_pace("http://h/v1", "k", "m", 100)

    assert asyncio.run(pace()) is not asyncio.run(pace())


async def test_programs_are_forgotten_though_the_queue_is_never_empty() -> None:
    pace = Pace(1, 1.0)
    permit = await pace.enter("", "first")
    before: asyncio.Task[Permit] | None = None
    for number in range(1000):
        waiting = asyncio.create_task(pace.enter("", f"run-{number}"))
        await asyncio.sleep(0)
        if before is not None:
            permit.leave()
            permit = await before
        before = waiting
    assert pace.waiting == 1
    assert len(pace._keys) < 200
    waiting.cancel()


async def test_a_call_waits_for_no_time_that_is_longer_than_its_patience() -> None:
    clock = Clock()
    pace = Pace(1, 1.0, clock=clock)
    permit = await pace.enter("", "first")
    short, long = (asyncio.create_task(pace.enter("", "p", patience_s=patience)) for patience in (60.0, 3600.0))
    await asyncio.sleep(0)
    permit.refused(600.0, "come back later")
    permit.leave()
    with pytest.raises(HeldError, match="come back later") as caught:
        await short
    assert caught.value.for_s == 600.0
    assert not long.done()
    with pytest.raises(HeldError):
        await pace.enter("", "p", patience_s=60.0)
    clock.now_s += 560.0
    soon = asyncio.create_task(pace.enter("", "p", patience_s=60.0))
    await asyncio.sleep(0)
    assert pace.waiting == 2
    for task in (long, soon):
        task.cancel()
    await asyncio.gather(long, soon, return_exceptions=True)
    assert (pace.waiting, pace.in_flight) == (0, 0)


def test_an_event_loop_that_ended_while_calls_were_held_is_forgotten() -> None:
    async def give_up() -> weakref.ref[asyncio.AbstractEventLoop]:
        pace = shared_pace("http://held", "", "m", 1)
        permit = await pace.enter("", "p")
        permit.refused(600.0)
        permit.leave()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pace.enter("", "p"), 0.01)
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(give_up())
    gc.collect()
    assert loop() is None
