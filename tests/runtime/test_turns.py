"""So many at once, in the order in which they came, and on whichever event loop runs now."""

from __future__ import annotations

import asyncio

from orchestrator.runtime.turns import Turns


async def take_turns(turns: Turns, most: int) -> list[int]:
    order: list[int] = []

    async def one(number: int) -> None:
        async with turns.turn(most):
            assert turns.running <= most
            order.append(number)
            await asyncio.sleep(0.001)

    await asyncio.gather(*(one(number) for number in range(6)))
    return order


def test_they_may_be_waited_for_on_one_loop_after_the_other() -> None:
    turns = Turns()
    for _ in range(2):
        assert asyncio.run(take_turns(turns, 2)) == list(range(6))
        assert turns.is_idle


def test_leaving_before_its_turn_costs_the_same_however_many_wait() -> None:
    compared = 0

    class Compared(asyncio.Future[None]):
        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return self is other

        __hash__ = asyncio.Future.__hash__

    async def leave_in_reverse(waiting: int) -> None:
        loop, turns = asyncio.get_running_loop(), Turns()
        loop.create_future = lambda: Compared(loop=loop)  # type: ignore[method-assign]
        await turns.enter(1)
        tasks = [asyncio.create_task(turns.enter(1)) for _ in range(waiting)]
        await asyncio.sleep(0)
        assert len(turns.waiting) == waiting
        for task in reversed(tasks):
            task.cancel()
        await asyncio.wait(tasks)
        assert not turns.waiting
        turns.leave()
        assert turns.is_idle

    asyncio.run(leave_in_reverse(200))
    assert compared < 200
