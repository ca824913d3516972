"""So many at once, in the order in which they came, and on whichever event loop runs now."""

from __future__ import annotations

import asyncio

from orchestrator.runtime.tools.turns import Turns


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
