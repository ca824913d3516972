"""Tools that must run at most once, in workflows that tools with a retry call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Retry, map_, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.planner.cluster import Cluster
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.runner import Runner

AGAIN = Retry(3, backoff_s=0.0)
paid: list[tuple[int, str]] = []
calls: list[int] = []


@tool(effects="once")
def pay(cents: int) -> int:
    paid.append((cents, ""))
    return cents


@tool(effects="once", check=lambda cents: "did not happen")
def pay_checked(cents: int) -> int:
    paid.append((cents, ""))
    return cents


@tool(effects="once", key="key")
def pay_keyed(cents: int, key: str = "") -> int:
    paid.append((cents, key))
    return cents


@workflow
def paying(cents: int) -> int:
    return pay(cents)


@workflow
def paying_checked(cents: int) -> int:
    return pay_checked(cents)


@workflow
def paying_keyed(cents: int) -> int:
    return pay_keyed(cents)


@workflow
def paying_each(cents: int) -> list[int]:
    return map_(pay, [cents, cents])


def flaky() -> None:
    """Fails twice."""
    calls.append(1)
    if len(calls) < 3:
        raise ConnectionError("reset")


@tool(effects="idempotent")
def by_thread(cents: int) -> int:
    paying(cents)
    flaky()
    return cents


@tool(effects="idempotent")
async def by_await(cents: int) -> int:
    await paying.arun(cents)
    flaky()
    return cents


@tool(effects="idempotent")
def checked(cents: int) -> int:
    paying_checked(cents)
    flaky()
    return cents


@tool(effects="idempotent")
def each(cents: int) -> int:
    paying_each(cents)
    flaky()
    return cents


@workflow
def through(cents: int) -> int:
    return by_thread(cents)


@tool(effects="idempotent")
def deeper(cents: int) -> int:
    return through(cents)


@tool(effects="idempotent", isolation="process")
def elsewhere(cents: int) -> int:
    paying(cents)
    raise ConnectionError("reset")


@tool(effects="idempotent", isolation="process")
def elsewhere_keyed(cents: int) -> int:
    paying_keyed(cents)
    raise ConnectionError("reset")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    paid.clear()
    calls.clear()


@asynccontextmanager
async def running(journal: MemoryJournal | None = None) -> AsyncIterator[Runner]:
    async with asyncio.timeout(60), Runner(journal=journal) as runtime:
        yield runtime


def around(called: Any) -> Any:
    def flow(cents: int) -> int:
        return called(cents)  # type: ignore[no-any-return]

    flow.__name__ = f"around_{called.name}"
    return workflow(flow)


def compiled(flow: Any) -> Any:
    return compile_workflow(flow, Cluster())


@tool(effects="once", key="key")
def keyed_itself(cents: int, key: str = "") -> int:
    paying(cents)
    raise ConnectionError("reset")


@tool(effects="once", check=lambda cents: "did not happen")
def checked_itself(cents: int) -> int:
    paying(cents)
    raise ConnectionError("reset")


CALLING = [by_thread, by_await, checked, each, deeper, keyed_itself, checked_itself, elsewhere, elsewhere_keyed]


@pytest.mark.parametrize("called", CALLING, ids=lambda called: called.name)
async def test_nothing_is_paid_where_the_tool_around_has_a_retry(called: Any) -> None:
    async with running() as runtime:
        with pytest.raises(RunError) as caught:
            await runtime.run(compiled(around(called.options(retry=AGAIN))), {"cents": 5})
    assert not paid
    (problem,) = caught.value.diagnostics
    assert problem.code == "ORCH-R045"
    assert "must run at most once" in (problem.why or "")
    assert problem.fix


async def test_nor_where_what_is_around_that_has_one() -> None:
    @workflow
    def mapped(cents: int) -> list[int]:
        return map_(by_thread, [cents], retry=AGAIN)

    async with running() as runtime:
        with pytest.raises(RunError, match="ORCH-R045") as caught:
            await runtime.run(compiled(mapped), {"cents": 5})
    assert not paid
    assert "`map" in (caught.value.diagnostics[0].why or "")


async def test_without_a_retry_it_is_paid() -> None:
    calls.extend([1, 1])
    async with running() as runtime:
        for flow in map(around, (by_thread, by_await, checked, each, deeper)):
            assert (await runtime.run(compiled(flow), {"cents": 5})).value == 5
    assert len(paid) == 6


async def test_a_retry_further_in_that_pays_nothing_changes_nothing() -> None:
    @tool(effects="idempotent")
    def shaky(cents: int) -> int:
        flaky()
        return cents

    @workflow
    def careful(cents: int) -> int:
        return pay(shaky.options(retry=AGAIN)(cents))

    @tool(effects="once")
    def once_around(cents: int) -> int:
        return careful(cents)

    async with running() as runtime:
        await runtime.run(compiled(around(once_around)), {"cents": 5})
    assert paid == [(5, "")]


async def test_a_key_is_the_same_in_every_attempt_and_another_for_every_call() -> None:
    @tool(effects="idempotent")
    def several(cents: int) -> int:
        for amount in (cents, cents, cents + 1):
            paying_keyed(amount)
        flaky()
        return cents

    @workflow
    def inner(cents: int) -> int:
        return several(cents)

    @tool(effects="idempotent")
    async def two_levels(cents: int) -> int:
        return await inner.arun(cents)

    for called in (several, two_levels):
        calls.clear()
        paid.clear()
        async with running() as runtime:
            await runtime.run(compiled(around(called.options(retry=AGAIN))), {"cents": 5})
            first, second, third = paid[:3], paid[3:6], paid[6:]
            assert first == second == third
            assert len({key for _, key in first}) == 3
            await runtime.run(compiled(around(called.options(retry=AGAIN))), {"cents": 5})
            assert {key for _, key in paid[9:]}.isdisjoint({key for _, key in first})


@pytest.mark.parametrize("called", [by_thread, by_await, deeper], ids=lambda called: called.name)
async def test_a_resumed_run_does_not_call_again_what_may_have_paid(called: Any) -> None:
    journal, flow = MemoryJournal(), compiled(around(called))
    async with running(journal) as runtime:
        with pytest.raises(RunError):
            await runtime.run(flow, {"cents": 5}, run_id="a")
    assert len(paid) == 1
    async with running(journal) as runtime:
        with pytest.raises(RunError, match="ORCH-R045") as caught:
            await runtime.resume(flow, "a")
    assert len(paid) == 1
    assert "resumed" in (caught.value.diagnostics[0].why or "")


async def test_a_resumed_run_calls_what_it_had_not_reached() -> None:
    @tool(effects="idempotent")
    def gate(cents: int) -> int:
        flaky()
        return cents

    @workflow
    def later(cents: int) -> int:
        return by_thread(gate(cents))

    journal, flow = MemoryJournal(), compiled(later)
    async with running(journal) as runtime:
        with pytest.raises(RunError):
            await runtime.run(flow, {"cents": 5}, run_id="a")
    calls.extend([1, 1])
    async with running(journal) as runtime:
        assert (await runtime.resume(flow, "a")).value == 5
    assert paid == [(5, "")]


@tool(effects="idempotent")
def by_thread_keyed(cents: int) -> int:
    paying_keyed(cents)
    flaky()
    return cents


@workflow
def mapped_keyed(cents: int) -> list[int]:
    return map_(by_thread_keyed, [cents, cents + 1], retry=AGAIN)


@tool(effects="idempotent")
def over_mapped(cents: int) -> list[int]:
    return mapped_keyed(cents)


@workflow
def deeper_keyed(cents: int) -> list[int]:
    return over_mapped(cents)


@workflow
def each_keyed(cents: int) -> list[int]:
    return map_(by_thread_keyed, [cents, cents + 1])


@tool(effects="idempotent")
def over_each(cents: int) -> list[int]:
    return each_keyed(cents)


@workflow
def mapped_over_each(cents: int) -> list[list[int]]:
    return map_(over_each, [cents], retry=AGAIN)


@pytest.mark.parametrize("flow", [mapped_keyed, deeper_keyed, mapped_over_each], ids=lambda flow: flow.name)
async def test_a_key_is_the_same_in_every_attempt_at_a_structure(flow: Any) -> None:
    async with running() as runtime:
        await runtime.run(compiled(flow), {"cents": 5})
    assert len(paid) > 2
    assert len(set(paid)) == 2


@workflow
def twice_mapped(cents: int) -> list[int]:
    return map_(by_thread_keyed, [cents], retry=Retry(2, backoff_s=0.0))


async def test_nor_does_it_change_where_a_resumed_run_goes_on_with_a_later_attempt() -> None:
    journal, flow = MemoryJournal(), compiled(twice_mapped)
    async with running(journal) as runtime:
        with pytest.raises(RunError):
            await runtime.run(flow, {"cents": 5}, run_id="a")
    before = len(paid)
    async with running(journal) as runtime:
        await runtime.resume(flow, "a")
    assert len(paid) > before
    assert len(set(paid)) == 1


@tool(effects="idempotent", isolation="process")
def pays_elsewhere(path: str) -> int:
    paying_into(path)
    raise ConnectionError("reset")


@tool(effects="once", key="key")
def pay_into(path: str, key: str = "") -> int:
    with Path(path).open("a") as file:
        file.write("paid\n")
    return 1


@workflow
def paying_into(path: str) -> int:
    return pay_into(path)


@workflow
def through_a_process(path: str) -> int:
    return pays_elsewhere(path)


@tool(effects="idempotent")
def over_a_process(path: str) -> int:
    return through_a_process(path)


@workflow
def through_both(path: str) -> int:
    return over_a_process(path)


@pytest.mark.parametrize("flow", [through_a_process, through_both], ids=lambda flow: flow.name)
async def test_a_resumed_run_pays_no_second_time_in_another_process(flow: Any, tmp_path: Path) -> None:
    journal, account = MemoryJournal(), tmp_path / "account"
    async with running(journal) as runtime:
        with pytest.raises(RunError, match="reset"):
            await runtime.run(compiled(flow), {"path": str(account)}, run_id="a")
        assert account.read_text() == "paid\n"
        with pytest.raises(RunError, match="ORCH-R045") as caught:
            await runtime.resume(compiled(flow), "a")
    assert account.read_text() == "paid\n"
    assert "resumed" in (caught.value.diagnostics[0].why or "")
    assert "process" in (caught.value.diagnostics[0].fix or "")


async def test_a_resumed_run_pays_in_another_process_what_it_had_not_reached(tmp_path: Path) -> None:
    @tool(effects="idempotent")
    def gate(path: str) -> str:
        flaky()
        return path

    @workflow
    def later(path: str) -> int:
        return over_a_process(gate(path))

    journal, flow, account = MemoryJournal(), compiled(later), tmp_path / "account"
    async with running(journal) as runtime:
        with pytest.raises(RunError):
            await runtime.run(flow, {"path": str(account)}, run_id="a")
        calls.extend([1, 1])
        with pytest.raises(RunError, match="reset"):
            await runtime.resume(flow, "a")
    assert account.read_text() == "paid\n"


handed: list[object] = []


@tool(effects="once", key="key")
def take(value: Any, key: str = "") -> int:
    assert value == handed[-1]
    paid.append((0, key))
    return 1


@workflow
def taking(value: Any) -> int:
    return take(value)


@tool(effects="idempotent")
def handing_on(cents: int) -> int:
    took = taking(handed[-1])
    flaky()
    return took


@pytest.mark.parametrize("value", [b"\xff", "\ud800", {"\udfff"}, 10**5000], ids=["bytes", "str", "set", "int"])
async def test_a_workflow_takes_any_value_from_a_tool(value: object) -> None:
    handed.append(value)
    async with running() as runtime:
        await runtime.run(compiled(around(handing_on.options(retry=AGAIN))), {"cents": 5})
    assert len(paid) == 3
    assert len(set(paid)) == 1
