"""What is said of a ``once`` tool is refused to who says it where it cannot be so, without the workflow's code."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from orchestrator import attempt, loop, tool, workflow
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.coordinator import notices
from orchestrator.runtime.journal.stores.base import Store
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.runner import Runner

CALLS: list[str] = []
MENDED: list[bool] = []


@pytest.fixture(autouse=True)
def anew() -> None:
    CALLS.clear()
    MENDED.clear()


@dataclass
class Receipt:
    """What a payment gives."""

    cents: int
    to: str


@tool(effects="once", timeout="20 ms")
async def pay(cents: int) -> Receipt:
    CALLS.append(f"pay {cents}")
    if cents == 2 and not MENDED:
        await asyncio.Event().wait()
    return Receipt(cents, "Ada")


@tool(effects="once")
async def refund(cents: int) -> str:
    CALLS.append(f"refund {cents}")
    raise ValueError("no funds")


@workflow
def twice(cents: int) -> Receipt:
    return loop(lambda paid: pay(paid.cents + 1), init=pay(cents), until=lambda paid: paid.cents >= 2, max=5)


@workflow
def refunds(cents: int) -> str:
    return attempt(lambda: refund(cents), lambda e: str(pay(2).cents))


async def stopped(compiled: Compiled, **inputs: object) -> Store:
    store = MemoryStore()
    async with Runner(store=store) as runner:
        with pytest.raises(RunError) as failure:
            await runner.run(compiled, inputs, run_id="r")
    assert failure.value.code == "ORCH-R020"
    return store


async def wrong(store: Store, op: str, **said: Any) -> str:
    with pytest.raises(RunError) as failure:
        await notices.settle(store, "r", op, **said)
    assert failure.value.code == "ORCH-R026"
    assert await store.notices("r") == []
    return str(failure.value)


async def test_only_what_is_unsettled_may_be_settled_and_the_error_lists_it() -> None:
    store = await stopped(compile_workflow(twice), cents=1)
    said = await wrong(store, "send_1", did_not_happen=True)
    assert "unsettled are `loop_1[0]/pay_2`" in said
    assert "unsettled are `loop_1[0]/pay_2`" in await wrong(store, "pay_1", did_not_happen=True)


@pytest.mark.parametrize("result", [None, 3, {"cents": "many", "to": "Ada"}, {"cents": 2}, "paid", object()])
async def test_a_result_is_one_of_the_tools_type(result: object) -> None:
    store = await stopped(compile_workflow(twice), cents=1)
    assert "that is no result of `loop_1[0]/pay_2`" in await wrong(store, "loop_1[0]/pay_2", result=result)


def renamed() -> Compiled:
    """The workflow of another day, whose loop has another name."""

    @workflow
    def twice(cents: int) -> Receipt:
        return loop(
            lambda paid: pay(paid.cents + 1), init=pay(cents), until=lambda paid: paid.cents >= 2, max=5, name="turns"
        )

    return compile_workflow(twice)


@pytest.mark.parametrize("op", ["pay_2", "loop_1[0]/pay_2"])
async def test_what_fits_is_taken_by_whoever_goes_on_also_under_another_name(op: str) -> None:
    store = await stopped(compile_workflow(twice), cents=1)
    await notices.settle(store, "r", op, result={"cents": 2, "to": "Bob"})
    async with Runner(store=store) as runner:
        assert (await runner.resume(renamed(), "r")).value == Receipt(2, "Bob")
    assert CALLS == ["pay 1", "pay 2"]


async def test_a_second_verdict_is_refused_unless_it_says_the_same() -> None:
    store = await stopped(compile_workflow(twice), cents=1)
    await notices.settle(store, "r", "pay_2", did_not_happen=True, by="Ada")
    await notices.settle(store, "r", "pay_2", did_not_happen=True, by="Bob")
    assert len(await store.notices("r")) == 1
    await store.set_status("r", "suspended", of=("ready",))
    await notices.settle(store, "r", "pay_2", did_not_happen=True, by="Bob")
    assert (head := await store.head("r")) is not None and head.status == "ready"
    with pytest.raises(RunError, match="was settled by Ada, 20") as failure:
        await notices.settle(store, "r", "pay_2", failed="no", by="Bob")
    assert failure.value.code == "ORCH-R026"
    MENDED.append(True)
    async with Runner(store=store) as runner:
        assert (await runner.resume(compile_workflow(twice), "r")).value.cents == 2
    assert CALLS == ["pay 1", "pay 2", "pay 2"]


async def test_a_tool_that_has_failed_may_be_settled_and_one_that_has_a_result_may_not() -> None:
    store = await stopped(compile_workflow(refunds), cents=1)
    unsettled = await notices.to_settle(store, "r")
    assert unsettled is not None
    assert sorted(each.op for each in unsettled) == ["attempt_1.except/pay_1", "attempt_1.try/refund_1"]


async def test_what_is_typed_is_meant_by_the_type_of_what_the_tool_gives() -> None:
    store = await stopped(compile_workflow(refunds), cents=1)
    unsettled = await notices.to_settle(store, "r")
    assert unsettled is not None
    typed = {each.op.rpartition("/")[2]: each.typed("[1]") for each in unsettled}
    assert typed == {"refund_1": "[1]", "pay_1": [1]}
