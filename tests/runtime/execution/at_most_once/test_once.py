"""A tool that must run at most once: what counts as its outcome, and what a person says where it has none."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from orchestrator import branch, loop, parallel, tool
from orchestrator.errors import RunError, UnsettledError
from orchestrator.runtime.journal.events import OpDone, OpFailed, OpStarted, OpUnsettled, RunStarted
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.runner import Runner
from tests.awaiting import until
from tests.runtime.payments import compiled, hanging, overtaken, paying


async def test_an_exception_is_its_outcome_also_after_a_resume() -> None:
    calls: list[int] = []

    @tool(effects="once")
    async def pay(cents: int) -> str:
        calls.append(cents)
        raise ValueError("no such account")

    flow = paying(pay)
    async with Runner() as runtime:
        for again in (False, True, True):
            with pytest.raises(RunError, match="no such account") as raised:
                await (runtime.resume(flow, "r") if again else runtime.run(flow, {"cents": 5}, run_id="r"))
        assert calls == [5]
        assert raised.value.code == "ORCH-R001"
        assert "settle" in (raised.value.diagnostics[0].fix or "")
        await runtime.settle(flow, "r", "pay_1", did_not_happen=True)
        with pytest.raises(RunError, match="no such account"):
            await runtime.resume(flow, "r")
    assert calls == [5, 5]


async def test_a_timeout_leaves_it_unsettled_and_nothing_starts_it_again() -> None:
    calls: list[int] = []
    pay = hanging(calls, timeout=0.02)

    def pays(cents: int) -> str:
        return pay(cents)  # type: ignore[no-any-return]

    flow = compiled(pays)
    async with Runner() as runtime:
        with pytest.raises(UnsettledError) as raised:
            await runtime.run(flow, {"cents": 5}, run_id="r")
        first = raised.value.diagnostics[0]
        assert first.code == "ORCH-R020"
        assert "its timeout of 0.02 s" in first.message
        assert first.where is not None
        assert first.where.file == __file__
        with pytest.raises(UnsettledError):
            await runtime.resume(flow, "r")
        assert [event.attempt for event in await runtime.journal.load("r") if isinstance(event, OpUnsettled)] == [1]
    assert calls == [5]


async def test_a_person_says_that_it_happened_and_the_run_goes_on() -> None:
    @tool(effects="once")
    async def pay(cents: int) -> dict[str, int]:
        raise AssertionError("called again")

    def pays(cents: int) -> int:
        return pay(cents)["cents"] + 1

    flow, crashed = compiled(pays), MemoryJournal()
    async with Runner() as runtime:
        with pytest.raises(RunError):
            await runtime.run(flow, {"cents": 5}, run_id="r")
        for event in await runtime.journal.load("r"):
            if isinstance(event, RunStarted | OpStarted):  # the process ended before there was more to write
                crashed.append("r", event)
    async with Runner(journal=crashed) as runtime:
        with pytest.raises(RunError, match="ORCH-R020"):
            await runtime.resume(flow, "r")
        for path, said in (("pay_1", {"result": "not a dict"}), ("pay_2", {"result": {"cents": 5}}), ("pay_1", {})):
            with pytest.raises(RunError, match="ORCH-R026"):
                await runtime.settle(flow, "r", path, **said)  # type: ignore[arg-type]
        await runtime.settle(flow, "r", "pay_1", result={"cents": 5})
        assert (await runtime.resume(flow, "r")).value == 6


async def test_a_person_says_that_it_failed() -> None:
    @tool(effects="once", key="key", timeout=0.01)
    async def pay(cents: int, key: str = "") -> str:
        await asyncio.sleep(3600)
        return key

    flow = paying(pay)
    async with Runner() as runtime:
        with pytest.raises(UnsettledError):
            await runtime.run(flow, {"cents": 5}, run_id="r")
        await runtime.settle(flow, "r", "pay_1", failed="the card was stolen")
        with pytest.raises(RunError, match="the card was stolen") as raised:
            await runtime.resume(flow, "r")
    assert raised.value.code == "ORCH-R027"


async def test_the_loser_of_a_race_is_named() -> None:
    flow = overtaken(hanging([]))
    async with Runner() as runtime:
        result = await runtime.run(flow, {"cents": 5}, run_id="r")
        assert result.value == "quick"
        (path,) = result.unsettled
        assert path.startswith("either.")
        assert path.endswith("/pay_1")
        assert any(path in warning and "ORCH-R020" in warning for warning in result.warnings)
        assert [op.unsettled for op in result.ops if op.id == "pay_1"] == [True]
        again = await runtime.resume(flow, "r")
        assert again.unsettled == result.unsettled
        await runtime.settle(flow, "r", path, result="paid")
        assert (await runtime.resume(flow, "r")).unsettled == ()


async def test_a_failure_beside_it_names_it_too() -> None:
    pay = hanging([])

    @tool(effects="idempotent")
    async def breaks(cents: int) -> int:
        await asyncio.sleep(0.01)
        raise ValueError("broken")

    def flow(cents: int) -> tuple[int, str]:
        with parallel():
            return breaks(cents), pay(cents)

    async with Runner() as runtime:
        with pytest.raises(RunError) as raised:
            await runtime.run(compiled(flow), {"cents": 5})
    assert [each.code for each in raised.value.diagnostics] == ["ORCH-R001", "ORCH-R020"]


async def test_what_was_cancelled_before_its_turn_may_start_after_a_resume() -> None:
    """One thread, which another run's tool occupies."""
    calls: list[int] = []
    occupied, release = threading.Event(), threading.Event()

    @tool(effects="idempotent")
    def occupy(cents: int) -> int:
        occupied.set()
        release.wait()
        return cents

    @tool(effects="once", timeout=3600)
    def pay(cents: int) -> int:
        calls.append(cents)
        return cents

    flow = paying(pay)
    async with Runner() as runtime:
        threads = runtime._services.threads
        threads._most_running = 1
        holder = asyncio.create_task(runtime.run(paying(occupy), {"cents": 1}))
        await until(occupied.is_set)
        task = asyncio.create_task(runtime.run(flow, {"cents": 5}, run_id="r"))
        await until(lambda: any(each.waiting for each in threads._tenants.values()))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        began = [event.began for event in await runtime.journal.load("r") if isinstance(event, OpFailed)]
        assert (began, calls) == ([False], [])
        release.set()
        await holder
        assert (await runtime.resume(flow, "r")).value == 5
    assert calls == [5]


async def test_cancelling_the_run_leaves_it_unsettled(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []
    flow = paying(hanging(calls))
    async with Runner() as runtime:
        task = asyncio.create_task(runtime.run(flow, {"cents": 5}, run_id="r"))
        await until(lambda: bool(calls))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert "`pay_1`" in caplog.text
        assert [event.reason for event in await runtime.journal.load("r") if isinstance(event, OpUnsettled)]
        with pytest.raises(UnsettledError, match="cancelled"):
            await runtime.resume(flow, "r")
        await runtime.settle(flow, "r", "pay_1", result="paid")
        result = await runtime.resume(flow, "r")
    assert result.value == "paid"
    assert not [event for event in result.events if isinstance(event, OpDone) and event.op == "pay_1"]
    assert calls == [5]


@pytest.mark.parametrize("effects", ["once", "idempotent"])
async def test_a_retry_is_offered_only_where_it_would_be_accepted(effects: Any) -> None:
    @tool(effects=effects)
    async def wait(n: int) -> int:
        await asyncio.Event().wait()
        return n

    def flow(n: int) -> int:
        return loop(lambda s: branch(s > 0, then=lambda: wait(s), otherwise=lambda: s), n, max=2, timeout=0.01)

    async with Runner() as runtime:
        with pytest.raises(RunError) as raised:
            await runtime.run(compiled(flow), {"n": 1})
    first = raised.value.diagnostics[0]
    assert first.code == "ORCH-R004"
    assert ("retry" in (first.fix or "")) == (effects == "idempotent")
