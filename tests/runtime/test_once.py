"""A tool that must run at most once: what counts as its outcome, and who says so where it has none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Literal

import pytest

from orchestrator import Happened, Retry, branch, loop, race, tool, workflow
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError, UnsettledError
from orchestrator.runtime.events import Event, OpFailed, OpsDone, OpSettled, OpStarted, OpUnsettled
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.run import Runtime
from orchestrator.runtime.tools.threads import _Job

Answer = Happened[str] | Literal["did not happen", "unknown"]


def compiled(flow: Callable[..., Any]) -> Compiled:
    return compile_workflow(workflow(flow))


class Bank:
    """Where tools pay, and what they were told."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.asked: list[str] = []
        self.release = threading.Event()


async def interrupted(flow: Compiled, runtime: Runtime, started: Callable[[], bool], **inputs: object) -> None:
    """Begin run ``r`` and cancel it as soon as ``started``."""
    task = asyncio.create_task(runtime.run(flow, inputs, run_id="r"))
    while not started():
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def as_after_a_crash(events: list[Event]) -> MemoryJournal:
    """A journal that ends where the process did: without a word on what was under way."""
    journal = MemoryJournal()
    for event in events:
        journal.append("r", event)
    return journal


async def test_an_exception_is_its_outcome_also_after_a_resume() -> None:
    calls: list[int] = []

    @tool(effects="once")
    async def pay(cents: int) -> str:
        calls.append(cents)
        raise ValueError("no such account")

    def flow(cents: int) -> str:
        return pay(cents)

    flow_ = compiled(flow)
    async with Runtime() as runtime:
        for again in (False, True, True):
            with pytest.raises(RunError, match="no such account") as raised:
                await (runtime.resume(flow_, "r") if again else runtime.run(flow_, {"cents": 5}, run_id="r"))
        assert calls == [5]
        assert raised.value.code == "ORCH-R001"
        assert "settle" in (raised.value.diagnostics[0].fix or "")
        await runtime.settle(flow_, "r", "pay_1", did_not_happen=True)
        with pytest.raises(RunError, match="no such account"):
            await runtime.resume(flow_, "r")
    assert calls == [5, 5]


async def test_a_timeout_leaves_it_unsettled_and_nothing_starts_it_again() -> None:
    calls: list[int] = []

    @tool(effects="once", timeout=0.02)
    async def pay(cents: int) -> str:
        calls.append(cents)
        await asyncio.sleep(3600)
        return "paid"

    def flow(cents: int) -> str:
        return pay(cents)

    flow_ = compiled(flow)
    async with Runtime() as runtime:
        with pytest.raises(UnsettledError) as raised:
            await runtime.run(flow_, {"cents": 5}, run_id="r")
        first = raised.value.diagnostics[0]
        assert first.code == "ORCH-R020"
        assert "its timeout of 0.02 s" in first.message
        assert first.where is not None
        assert first.where.file == __file__
        with pytest.raises(UnsettledError):
            await runtime.resume(flow_, "r")
        assert [event.attempt for event in await runtime.journal.load("r") if isinstance(event, OpUnsettled)] == [1]
    assert calls == [5]


async def test_a_person_says_that_it_happened_and_the_run_goes_on() -> None:
    @tool(effects="once")
    async def pay(cents: int) -> dict[str, int]:
        raise AssertionError("called again")

    def flow(cents: int) -> int:
        return pay(cents)["cents"] + 1

    flow_ = compiled(flow)
    async with Runtime() as runtime:
        with pytest.raises(RunError):
            await runtime.run(flow_, {"cents": 5}, run_id="r")
        events = list(await runtime.journal.load("r"))
    crashed = as_after_a_crash([event for event in events if isinstance(event, OpStarted) or event is events[0]])
    async with Runtime(journal=crashed) as runtime:
        with pytest.raises(RunError, match="ORCH-R020"):
            await runtime.resume(flow_, "r")
        with pytest.raises(RunError, match="ORCH-R026"):
            await runtime.settle(flow_, "r", "pay_1", result="not a dict")
        with pytest.raises(RunError, match="ORCH-R026"):
            await runtime.settle(flow_, "r", "pay_2", result={"cents": 5})
        with pytest.raises(RunError, match="ORCH-R026"):
            await runtime.settle(flow_, "r", "pay_1")
        await runtime.settle(flow_, "r", "pay_1", result={"cents": 5})
        assert (await runtime.resume(flow_, "r")).value == 6


async def test_a_person_says_that_it_failed() -> None:
    @tool(effects="once", key="key", timeout=0.01)
    async def pay(cents: int, key: str = "") -> str:
        await asyncio.sleep(3600)
        return key

    def flow(cents: int) -> str:
        return pay(cents)

    flow_ = compiled(flow)
    async with Runtime() as runtime:
        with pytest.raises(UnsettledError):
            await runtime.run(flow_, {"cents": 5}, run_id="r")
        await runtime.settle(flow_, "r", "pay_1", failed="the card was stolen")
        with pytest.raises(RunError, match="the card was stolen") as raised:
            await runtime.resume(flow_, "r")
    assert raised.value.code == "ORCH-R027"


async def test_a_key_is_the_same_in_every_attempt_and_resume_of_one_call_and_in_no_other() -> None:
    bank = Bank()

    @tool(effects="once", key="key", timeout=0.02, retry=Retry(attempts=2, backoff_s=0))
    async def pay(cents: int, key: str = "") -> int:
        bank.keys.append(key)
        if len(bank.keys) in (1, 2, 3, 4):
            await asyncio.sleep(3600)
        return cents

    def flow(cents: int) -> int:
        return pay(pay(cents))

    flow_ = compiled(flow)
    async with Runtime() as runtime:
        for again in (False, True):
            with pytest.raises(UnsettledError):
                await (runtime.resume(flow_, "r") if again else runtime.run(flow_, {"cents": 5}, run_id="r"))
        result = await runtime.resume(flow_, "r")
        assert (result.value, result.unsettled) == (5, ())
        first, second = bank.keys[0], bank.keys[-1]
        assert bank.keys == [first] * 5 + [second]
        assert first != second
        await runtime.run(flow_, {"cents": 5}, run_id="another")
    assert len(set(bank.keys)) == 4


async def test_a_key_of_the_users_own_is_passed_on_as_it_is() -> None:
    keys: list[str] = []

    @tool(effects="once", key="order", retry=2)
    def pay(order: str, cents: int) -> int:
        keys.append(order)
        return cents

    def flow(cents: int) -> int:
        return pay("A-17", cents)

    async with Runtime() as runtime:
        await runtime.run(compiled(flow), {"cents": 5})
    assert keys == ["A-17"]


async def test_a_retry_around_a_call_with_a_key_keeps_the_key() -> None:
    bank = Bank()
    flaky = iter([OSError("network"), None])

    @tool(effects="once", key="key")
    async def pay(cents: int, key: str) -> int:
        bank.keys.append(key)
        return cents

    @tool(effects="idempotent")
    async def report(cents: int) -> int:
        if (error := next(flaky)) is not None:
            raise error
        return cents

    def flow(cents: int) -> int:
        return branch(
            cents > 0,
            then=lambda: loop(lambda n: report(pay(n)), cents, max=1),  # type: ignore[call-arg]
            otherwise=lambda: cents,
            retry=Retry(attempts=2, backoff_s=0),
        )

    async with Runtime() as runtime:
        assert (await runtime.run(compiled(flow), {"cents": 5})).value == 5
    assert len(bank.keys) == 2
    assert len(set(bank.keys)) == 1


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_check_that_knows_settles_it(is_async: bool) -> None:
    bank = Bank()

    async def found(order: str) -> Answer:
        bank.asked.append(order)
        return Happened(f"paid {order}")

    def found_blocking(order: str) -> Answer:
        bank.asked.append(order)
        return Happened(f"paid {order}")

    @tool(effects="once", check=found if is_async else found_blocking, timeout=0.01)
    async def pay(order: str, cents: int) -> str:
        await asyncio.sleep(3600)
        return order

    def flow(order: str) -> str:
        return pay(order, 5)

    async with Runtime() as runtime:
        result = await runtime.run(compiled(flow), {"order": "A-17"})
    assert (result.value, result.unsettled, result.warnings) == ("paid A-17", (), ())
    assert bank.asked == ["A-17"]
    assert [event.verdict for event in result.events if isinstance(event, OpSettled)] == ["happened"]


async def test_only_a_check_that_says_it_did_not_happen_lets_it_start_again() -> None:
    calls: list[int] = []
    answers: list[Any] = ["did not happen", "unknown"]

    def was_paid(cents: int) -> Answer:
        return answers.pop(0)  # type: ignore[no-any-return]

    @tool(effects="once", check=was_paid, timeout=0.01, retry=Retry(attempts=5, backoff_s=0))
    async def pay(cents: int) -> str:
        calls.append(cents)
        await asyncio.sleep(3600)
        return "paid"

    def flow(cents: int) -> str:
        return pay(cents)

    flow_ = compiled(flow)
    async with Runtime() as runtime:
        with pytest.raises(UnsettledError, match="unknown"):
            await runtime.run(flow_, {"cents": 5}, run_id="r")
        assert calls == [5, 5]
        answers.append(Happened("paid after all"))
        assert (await runtime.resume(flow_, "r")).value == "paid after all"
    assert calls == [5, 5]


@pytest.mark.parametrize("answer", [OSError("the bank is down"), SystemExit(1), None, "yes", Happened(3)])
async def test_a_check_that_raises_or_answers_nonsense_cannot_tell(answer: Any) -> None:
    def was_paid() -> Answer:
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[no-any-return]

    @tool(effects="once", check=was_paid, timeout=0.01, retry=3)
    async def pay(cents: int) -> str:
        await asyncio.sleep(3600)
        return "paid"

    def flow(cents: int) -> str:
        return pay(cents)

    async with Runtime() as runtime:
        with pytest.raises(UnsettledError) as raised:
            await runtime.run(compiled(flow), {"cents": 5})
    assert "its check could not tell" in (raised.value.diagnostics[0].why or "")


async def test_that_it_did_not_happen_is_no_proof_while_its_thread_still_runs() -> None:
    bank = Bank()

    def was_paid(key: str) -> Answer:
        return "did not happen"

    @tool(effects="once", check=was_paid, timeout=0.02, retry=Retry(attempts=3, backoff_s=0))
    def pay(key: str) -> str:
        bank.keys.append(key)
        bank.release.wait()
        return key

    def flow(key: str) -> str:
        return pay(key)

    async with Runtime() as runtime:
        with pytest.raises(UnsettledError) as raised:
            await runtime.run(compiled(flow), {"key": "A-17"})
        bank.release.set()
    assert "still runs" in (raised.value.diagnostics[0].why or "")
    assert bank.keys == ["A-17"]


async def test_nor_while_its_thread_has_not_come_to_it_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a thread may begin long after it was told to."""
    bank, run = Bank(), _Job.run

    def late(job: _Job) -> None:
        bank.release.wait()
        run(job)

    async def was_paid(key: str) -> Answer:
        return "did not happen"

    @tool(effects="once", check=was_paid, timeout=0.02, retry=Retry(attempts=3, backoff_s=0))
    def pay(key: str) -> str:
        bank.keys.append(key)
        return key

    def flow(key: str) -> str:
        return pay(key)

    monkeypatch.setattr(_Job, "run", late)
    async with Runtime() as runtime:
        with pytest.raises(UnsettledError, match="nobody knows"):
            await runtime.run(compiled(flow), {"key": "A-17"})
        bank.release.set()
        while not bank.keys:
            await asyncio.sleep(0.001)
    assert bank.keys == ["A-17"]


async def test_the_loser_of_a_race_is_named() -> None:
    @tool(effects="once")
    async def pay(cents: int) -> str:
        await asyncio.sleep(3600)
        return "paid"

    @tool(effects="idempotent")
    async def quick(cents: int) -> str:
        await asyncio.sleep(0.01)
        return "quick"

    def flow(cents: int) -> str:
        return race(lambda: pay(cents), lambda: quick(cents), name="either")

    flow_ = compiled(flow)
    async with Runtime() as runtime:
        result = await runtime.run(flow_, {"cents": 5}, run_id="r")
        assert result.value == "quick"
        (path,) = result.unsettled
        assert path.startswith("either.")
        assert path.endswith("/pay_1")
        assert any(path in warning and "ORCH-R020" in warning for warning in result.warnings)
        assert [op.unsettled for op in result.ops if op.id == "pay_1"] == [True]
        again = await runtime.resume(flow_, "r")
        assert again.unsettled == result.unsettled
        await runtime.settle(flow_, "r", path, result="paid")
        assert (await runtime.resume(flow_, "r")).unsettled == ()


async def test_a_check_tells_of_the_loser_of_a_race_before_the_run_ends() -> None:
    answers: list[Answer] = [Happened("paid"), "did not happen", "unknown"]

    def was_paid(cents: int) -> Answer:
        return answers.pop(0)

    @tool(effects="once", check=was_paid)
    async def pay(cents: int) -> str:
        await asyncio.sleep(3600)
        return "paid"

    @tool(effects="idempotent")
    async def quick(cents: int) -> str:
        await asyncio.sleep(0.01)
        return "quick"

    def flow(cents: int) -> str:
        return race(lambda: pay(cents), lambda: quick(cents), name="either")

    flow_ = compiled(flow)
    async with Runtime() as runtime:
        results = [await runtime.run(flow_, {"cents": 5}) for _ in range(3)]
    assert [result.value for result in results] == ["quick"] * 3
    assert [len(result.unsettled) for result in results] == [0, 0, 1]
    verdicts = [[event.verdict for event in result.events if isinstance(event, OpSettled)] for result in results]
    assert verdicts == [["happened"], ["did not happen"], []]


async def test_a_failure_beside_it_names_it_too() -> None:
    @tool(effects="once")
    async def pay(cents: int) -> int:
        await asyncio.sleep(3600)
        return cents

    @tool(effects="idempotent")
    async def breaks(cents: int) -> int:
        await asyncio.sleep(0.01)
        raise ValueError("broken")

    def flow(cents: int) -> tuple[int, int]:
        return breaks(cents), pay(cents)

    async with Runtime() as runtime:
        with pytest.raises(RunError) as raised:
            await runtime.run(compiled(flow), {"cents": 5})
    assert [each.code for each in raised.value.diagnostics] == ["ORCH-R001", "ORCH-R020"]


async def test_what_was_cancelled_before_its_turn_may_start_after_a_resume() -> None:
    """One thread, which another run's tool occupies."""
    bank = Bank()

    @tool(effects="idempotent")
    def occupy(cents: int) -> int:
        bank.release.wait()
        return cents

    @tool(effects="once", timeout=3600)
    def pay(cents: int) -> int:
        bank.keys.append("paid")
        return cents

    def first(cents: int) -> int:
        return occupy(cents)

    def flow(cents: int) -> int:
        return pay(cents)

    flow_ = compiled(flow)
    async with Runtime() as runtime:
        runtime._services.threads._most_running = 1
        holder = asyncio.create_task(runtime.run(compiled(first), {"cents": 1}))
        await asyncio.sleep(0.01)
        task = asyncio.create_task(runtime.run(flow_, {"cents": 5}, run_id="r"))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        began = [event.began for event in await runtime.journal.load("r") if isinstance(event, OpFailed)]
        assert (began, bank.keys) == ([False], [])
        bank.release.set()
        await holder
        assert (await runtime.resume(flow_, "r")).value == 5
    assert bank.keys == ["paid"]


async def test_cancelling_the_run_leaves_it_unsettled(caplog: pytest.LogCaptureFixture) -> None:
    bank = Bank()

    @tool(effects="once")
    async def pay(cents: int) -> int:
        bank.keys.append("paid")
        await asyncio.sleep(3600)
        return cents

    def flow(cents: int) -> int:
        return pay(cents)

    flow_ = compiled(flow)
    async with Runtime() as runtime:
        await interrupted(flow_, runtime, lambda: bool(bank.keys), cents=5)
        assert "`pay_1`" in caplog.text
        assert [event.reason for event in await runtime.journal.load("r") if isinstance(event, OpUnsettled)]
        with pytest.raises(UnsettledError, match="cancelled"):
            await runtime.resume(flow_, "r")
        await runtime.settle(flow_, "r", "pay_1", result=5)
        result = await runtime.resume(flow_, "r")
    assert result.value == 5
    assert not [event for event in result.events if isinstance(event, OpsDone) and event.op == "pay_1"]
    assert bank.keys == ["paid"]


@pytest.mark.parametrize("dies", [True, False])
async def test_a_process_that_dies_or_is_killed_leaves_it_to_the_check(dies: bool) -> None:
    """What a killed process has not done it will not do, so that it did not happen is believed."""
    asked: list[int] = []

    def was_paid(cents: int) -> Answer:
        asked.append(cents)
        return "did not happen" if len(asked) < 2 else Happened("paid by hand")

    @tool(effects="once", isolation="process", check=was_paid, timeout=2, retry=Retry(attempts=5, backoff_s=0))
    def pay(cents: int, die: bool) -> str:
        import os
        import time

        if die:
            os._exit(3)
        time.sleep(3600)
        return "paid"

    def flow(cents: int, die: bool) -> str:
        return pay(cents, die)

    async with Runtime() as runtime:
        result = await runtime.run(compiled(flow), {"cents": 5, "die": dies})
    assert result.value == "paid by hand"
    assert asked == [5, 5]
    assert sum(isinstance(event, OpUnsettled) for event in result.events) == 2


@pytest.mark.parametrize("effects", ["once", "idempotent"])
async def test_a_retry_is_offered_only_where_it_would_be_accepted(effects: Any) -> None:
    @tool(effects=effects)
    async def wait(n: int) -> int:
        await asyncio.Event().wait()
        return n

    def flow(n: int) -> int:
        return loop(lambda s: branch(s > 0, then=lambda: wait(s), otherwise=lambda: s), n, max=2, timeout=0.01)

    async with Runtime() as runtime:
        with pytest.raises(RunError) as raised:
            await runtime.run(compiled(flow), {"n": 1})
    first = raised.value.diagnostics[0]
    assert first.code == "ORCH-R004"
    assert ("retry" in (first.fix or "")) == (effects == "idempotent")
