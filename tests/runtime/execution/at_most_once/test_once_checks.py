"""A tool that must run at most once and has a check: what it answers is believed, as far as that can be."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from orchestrator import Happened, Retry, tool
from orchestrator.errors import UnsettledError
from orchestrator.runtime.journal.events import OpSettled, OpUnsettled
from orchestrator.runtime.runner import Runner
from orchestrator.runtime.tools.threads import _Job
from tests.awaiting import until
from tests.runtime.payments import Answer, compiled, hanging, overtaken, paying


@pytest.mark.parametrize("is_async", [True, False])
async def test_one_that_knows_settles_it(is_async: bool) -> None:
    asked: list[str] = []

    async def found(order: str) -> Answer:
        asked.append(order)
        return Happened(f"paid {order}")

    def found_blocking(order: str) -> Answer:
        asked.append(order)
        return Happened(f"paid {order}")

    @tool(effects="once", check=found if is_async else found_blocking, timeout=0.01)
    async def pay(order: str, cents: int) -> str:
        await asyncio.sleep(3600)
        return order

    def flow(order: str) -> str:
        return pay(order, 5)

    async with Runner() as runtime:
        result = await runtime.run(compiled(flow), {"order": "A-17"})
    assert (result.value, result.unsettled, result.warnings) == ("paid A-17", (), ())
    assert asked == ["A-17"]
    assert [event.verdict for event in result.events if isinstance(event, OpSettled)] == ["happened"]


async def test_only_one_that_says_it_did_not_happen_lets_it_start_again() -> None:
    calls: list[int] = []
    answers: list[Any] = ["did not happen", "unknown"]

    def was_paid(cents: int) -> Answer:
        return answers.pop(0)  # type: ignore[no-any-return]

    flow = paying(hanging(calls, check=was_paid, timeout=0.01, retry=Retry(attempts=5, backoff_s=0)))
    async with Runner() as runtime:
        with pytest.raises(UnsettledError, match="unknown"):
            await runtime.run(flow, {"cents": 5}, run_id="r")
        assert calls == [5, 5]
        answers.append(Happened("paid after all"))
        assert (await runtime.resume(flow, "r")).value == "paid after all"
    assert calls == [5, 5]


@pytest.mark.parametrize("answer", [OSError("the bank is down"), SystemExit(1), None, "yes", Happened(3)])
async def test_one_that_raises_or_answers_nonsense_cannot_tell(answer: Any) -> None:
    calls: list[int] = []

    def was_paid() -> Answer:
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[no-any-return]

    async with Runner() as runtime:
        with pytest.raises(UnsettledError) as raised:
            await runtime.run(paying(hanging(calls, check=was_paid, timeout=0.01, retry=3)), {"cents": 5})
    assert "its check could not tell" in (raised.value.diagnostics[0].why or "")
    assert calls == [5]


def denied(cents: int) -> Answer:
    """A check that always says no."""
    return "did not happen"


async def test_that_it_did_not_happen_is_no_proof_while_its_thread_still_runs() -> None:
    calls: list[int] = []
    release = threading.Event()

    @tool(effects="once", check=denied, timeout=0.02, retry=Retry(attempts=3, backoff_s=0))
    def pay(cents: int) -> int:
        calls.append(cents)
        release.wait()
        return cents

    async with Runner() as runtime:
        with pytest.raises(UnsettledError) as raised:
            await runtime.run(paying(pay), {"cents": 5})
        release.set()
    assert "still runs" in (raised.value.diagnostics[0].why or "")
    assert calls == [5]


async def test_nor_while_its_thread_has_not_come_to_it_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a thread may begin long after it was told to."""
    calls: list[int] = []
    release, run = threading.Event(), _Job.run

    def late(job: _Job) -> None:
        release.wait()
        run(job)

    async def was_paid(cents: int) -> Answer:  # in no thread, which would be late too
        return denied(cents)

    @tool(effects="once", check=was_paid, timeout=0.02, retry=Retry(attempts=3, backoff_s=0))
    def pay(cents: int) -> int:
        calls.append(cents)
        return cents

    monkeypatch.setattr(_Job, "run", late)
    async with Runner() as runtime:
        with pytest.raises(UnsettledError, match="nobody knows"):
            await runtime.run(paying(pay), {"cents": 5})
        release.set()
        await until(lambda: bool(calls))
    assert calls == [5]


async def test_one_tells_of_the_loser_of_a_race_before_the_run_ends() -> None:
    answers: list[Answer] = [Happened("paid"), "did not happen", "unknown"]

    def was_paid(cents: int) -> Answer:
        return answers.pop(0)

    flow = overtaken(hanging([], check=was_paid))
    async with Runner() as runtime:
        results = [await runtime.run(flow, {"cents": 5}) for _ in range(3)]
    assert [result.value for result in results] == ["quick"] * 3
    assert [len(result.unsettled) for result in results] == [0, 0, 1]
    verdicts = [[event.verdict for event in result.events if isinstance(event, OpSettled)] for result in results]
    assert verdicts == [["happened"], ["did not happen"], []]


@pytest.mark.parametrize("dies", [True, False])
async def test_a_process_that_dies_or_is_killed_leaves_it_to_the_check(dies: bool) -> None:
    """What a killed process has not done it will not do, so that it did not happen is believed."""
    asked: list[int] = []

    def was_paid(cents: int) -> Answer:
        asked.append(cents)
        return "did not happen" if len(asked) < 2 else Happened("paid by hand")

    @tool(effects="once", isolation="process", check=was_paid, timeout=1, retry=Retry(attempts=5, backoff_s=0))
    def pay(cents: int, die: bool) -> str:
        import os
        import time

        if die:
            os._exit(3)
        time.sleep(3600)
        return "paid"

    def flow(cents: int, die: bool) -> str:
        return pay(cents, die)

    async with Runner() as runtime:
        result = await runtime.run(compiled(flow), {"cents": 5, "die": dies})
    assert result.value == "paid by hand"
    assert asked == [5, 5]
    assert sum(isinstance(event, OpUnsettled) for event in result.events) == 2
