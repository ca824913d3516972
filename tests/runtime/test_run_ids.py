"""A run of an id begins once, and is executed by one at a time."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator import tool, workflow
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.runner import Runner


class Shop:
    """Sells something; the first time it does not get as far as the payment."""

    def __init__(self) -> None:
        self.paid: list[int] = []
        self.is_open = False

    async def book(self, cents: int) -> int:
        if not self.is_open:
            raise OSError("closed")
        return cents

    async def pay(self, cents: int) -> int:
        self.paid.append(cents)
        await asyncio.sleep(0)
        return cents


def selling(shop: Shop) -> Compiled:
    book, pay = tool(shop.book, effects="idempotent"), tool(shop.pay, effects="once")

    @workflow
    def sale(cents: int) -> int:
        return pay(book(cents))

    return compile_workflow(sale)


async def test_a_run_that_is_resumed_twice_at_once_pays_once() -> None:
    shop = Shop()
    sale = selling(shop)
    async with Runner() as runtime:
        with pytest.raises(RunError):
            await runtime.run(sale, {"cents": 5}, run_id="order")
        shop.is_open = True
        both = await asyncio.gather(*(runtime.resume(sale, "order") for _ in range(2)), return_exceptions=True)
        assert shop.paid == [5]
        assert [each.code for each in both if isinstance(each, RunError)] == ["ORCH-R022"]
        assert (await runtime.resume(sale, "order")).value == 5  # the id is free again
    assert shop.paid == [5]


@pytest.mark.parametrize("at_once", [True, False])
async def test_an_id_that_is_used_again_starts_nothing(*, at_once: bool) -> None:
    shop = Shop()
    shop.is_open = True
    sale = selling(shop)
    async with Runner() as runtime:
        runs = [runtime.run(sale, {"cents": cents}, run_id="order") for cents in (5, 6)]
        if at_once:
            ended = await asyncio.gather(*runs, return_exceptions=True)
        else:
            ended = [(await asyncio.gather(run, return_exceptions=True))[0] for run in runs]
    assert shop.paid == [5]
    assert isinstance(ended[1], RunError)
    assert ended[1].code == ("ORCH-R022" if at_once else "ORCH-R029")


async def test_nothing_is_settled_of_a_run_that_is_under_way() -> None:
    shop = Shop()
    shop.is_open = True
    sale = selling(shop)
    async with Runner() as runtime:
        run = asyncio.create_task(runtime.run(sale, {"cents": 5}, run_id="order"))
        while not shop.paid:
            await asyncio.sleep(0)
        with pytest.raises(RunError) as raised:
            await runtime.settle(sale, "order", "pay_1", did_not_happen=True)
        assert (await run).value == 5
    assert raised.value.code == "ORCH-R022"
