"""A run of an id begins once, and is executed by one at a time."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator import tool, workflow
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.run_ids import require_names
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


LINES = ["a\nb", "\x1b[31m", "a\0", "\ud800", " a", "x" * 401]
NAMES = [*[{"run_id": each} for each in [*LINES, "", "-x"]], *[{"key": each} for each in [*LINES, ""]]]


@pytest.mark.parametrize("names", [*NAMES, *[{"tenant": each} for each in LINES]])
def test_what_no_line_or_command_takes_names_no_run(names: dict[str, str]) -> None:
    with pytest.raises(RunError) as caught:
        require_names(**{"run_id": "r", **names})
    (wrong,) = caught.value.diagnostics
    assert (wrong.code, wrong.message.isprintable()) == ("ORCH-R106", True)
    assert wrong.fix


def test_a_name_may_have_any_other_characters() -> None:
    require_names("über/日本🙂%_*?['\"; --", "acme & sons", "x" * 400)


async def test_a_store_is_given_no_such_name() -> None:
    store = MemoryStore()
    async with Runner(store=store) as runner:
        for names in ({"run_id": "a\nb"}, {"key": "a\nb"}, {"tenant": "a\nb"}):
            with pytest.raises(RunError, match="ORCH-R106"):
                await runner.run(selling(Shop()), {"cents": 1}, **names)
    assert not await store.heads()
