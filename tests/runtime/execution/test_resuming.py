"""A resumed run goes on where it failed: nothing that completed runs again, inside structured ops with a retry too."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Literal

import pytest

from orchestrator import Retry, branch, map_, parallel, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError, UnsettledError
from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.execution.at_most_once.unsettled import lost
from orchestrator.runtime.execution.model_calls.budget import Need
from orchestrator.runtime.journal.events import OpStarted, Spent
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.journal.replay import State, apply, replay
from orchestrator.runtime.runner import Runner


async def test_a_resumed_structure_keeps_what_its_latest_attempt_has_done_and_has_all_attempts_again() -> None:
    made: list[str] = []
    failures = iter([OSError("down"), OSError("down"), OSError("still down"), TypeError("a bug")])

    @tool(effects="idempotent")
    async def dear(x: int) -> int:
        made.append("dear")
        return x + 1

    @tool(effects="idempotent")
    async def shaky(x: int) -> int:
        made.append("shaky")
        error = next(failures, None)
        if error is not None:
            raise error
        return x

    @workflow
    def flow(x: int) -> int:
        return branch(x > 0, lambda: shaky(dear(x)), lambda: x, retry=Retry(2, backoff_s=0))

    compiled = compile_workflow(flow)
    async with Runner() as runtime:
        with pytest.raises(RunError, match="down"):
            await runtime.run(compiled, {"x": 1}, run_id="r")
        assert made == ["dear", "shaky"] * 2
        with pytest.raises(RunError, match="a bug"):  # the second attempt, and then a third
            await runtime.resume(compiled, "r")
        assert made == ["dear", "shaky"] * 2 + ["shaky", "dear", "shaky"]
        assert (await runtime.resume(compiled, "r")).value == 2
    assert made == ["dear", "shaky"] * 2 + ["shaky", "dear", "shaky"] + ["shaky"]


@pytest.mark.parametrize("last", [False, True])
async def test_what_a_person_settles_inside_a_retried_structure_counts(last: bool) -> None:
    said: list[Literal["did not happen", "unknown"]] = ["unknown"] if not last else ["did not happen", "unknown"]
    calls: list[int] = []

    def look() -> Any:
        return said.pop(0) if len(said) > 1 else said[0]

    @tool(effects="once", timeout=0.01, check=look)
    async def pay(cents: int) -> str:
        calls.append(cents)
        await asyncio.sleep(60)
        return "never"

    @tool(effects="idempotent")
    async def prepare(cents: int) -> int:
        calls.append(-cents)
        return cents

    @workflow
    def flow(cents: int) -> str:
        return branch(
            cents > 0, lambda: pay(prepare(cents)), lambda: "nothing", retry=Retry(2, backoff_s=0, on=[RunError])
        )

    flow_ = compile_workflow(flow)
    async with Runner() as runtime:
        with pytest.raises(UnsettledError):
            await runtime.run(flow_, {"cents": 5}, run_id="r")
        made = list(calls)
        await runtime.settle(flow_, "r", "pay_1", result="paid")
        assert (await runtime.resume(flow_, "r")).value == "paid"
    assert calls == made


async def test_after_a_crash_only_calls_whose_turn_had_come_are_in_doubt() -> None:
    """Calls that waited for a thread or a process have not happened, and there may be thousands of them."""
    release = threading.Event()

    @tool(effects="once")
    def pay(cents: int) -> int:
        release.wait()
        return cents

    @tool(effects="once", isolation="process")
    def pay_apart(cents: int) -> int:
        return cents

    @workflow
    def flow(amounts: list[int]) -> list[list[int]]:
        with parallel():
            return [map_(pay, amounts, limit=99), map_(pay_apart, amounts, limit=99)]

    flow_ = compile_workflow(flow)
    async with Runner() as runtime:
        runtime._services.threads._most_running = runtime._services.processes._most_running = 2
        run = asyncio.create_task(runtime.run(flow_, {"amounts": list(range(10))}, run_id="r"))
        in_doubt: set[str] = set()
        while {each.partition("/")[2] for each in in_doubt} != {"pay_1", "pay_apart_1"}:
            await asyncio.sleep(0)
            in_doubt = set(lost(flow_.program, replay(flow_.program, await runtime.journal.load("r"))))
        release.set()
        assert (await run).value == [list(range(10))] * 2
    assert len(in_doubt) <= 4


class Slow(MemoryJournal):
    """Nothing is durable before it is said to be."""

    def __init__(self) -> None:
        super().__init__()
        self.is_durable = asyncio.Event()

    def barrier(self, run_id: str) -> Awaitable[bool]:
        return self.is_durable.wait()


@pytest.mark.parametrize("isolation", [None, "process"])
async def test_that_a_call_starts_is_durable_before_it_does(isolation: Any, tmp_path: Path) -> None:
    @tool(effects="once", isolation=isolation)
    def leave(path: str) -> bool:
        Path(path).touch()
        return True

    @workflow
    def flow(path: str) -> bool:
        return leave(path)

    journal, mark = Slow(), tmp_path / "mark"
    async with Runner(journal=journal) as runtime:
        run = asyncio.create_task(runtime.run(compile_workflow(flow), {"path": str(mark)}, run_id="r"))
        while not any(isinstance(each, OpStarted) for each in await journal.load("r")):
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        assert not mark.exists()
        journal.is_durable.set()
        assert (await run).value
    assert mark.exists()


def test_what_was_spent_is_put_in_order_once_however_many_ops_ask() -> None:
    class Spending(list[tuple[str, Need]]):
        sorts = 0

        def sort(self, **options: Any) -> None:
            self.sorts += 1
            super().sort(**options)

    state = State(spent=Spending())
    for number in range(50):
        apply(state, Spent(f"each[{number}]/", "llm", Usage(number, None, 1), 0.5, 0.0))
    assert [state.spent_within(f"each[{number}]/llm").tokens for number in range(50)] == list(range(1, 51))
    assert state.spent_within("each").usd == 25.0
    assert isinstance(state.spent, Spending)
    assert state.spent.sorts == 1


async def test_a_run_is_resumed_with_other_policies_and_not_with_another_tool() -> None:
    made: list[str] = []

    @tool(effects="idempotent")
    async def dear(x: int) -> int:
        made.append("dear")
        return x + 1

    @tool(effects="idempotent")
    async def slow(x: int) -> int:
        made.append("slow")
        await asyncio.sleep(0 if len(made) > 2 else 60)
        return x

    @tool(effects="idempotent", name="dear")
    async def changed(x: int) -> int:
        return x + 2

    def compiled(timeout: float, first: Any = dear, **policies: Any) -> Any:
        @workflow(budget=policies.pop("bound", None))
        def flow(x: int) -> int:
            return slow.options(timeout=timeout, **policies)(first(x))

        return compile_workflow(flow)

    async with Runner() as runtime:
        with pytest.raises(RunError, match="ORCH-R004"):
            await runtime.run(compiled(0.01), {"x": 1}, run_id="r")
        with pytest.raises(RunError, match="ORCH-R021"):
            await runtime.resume(compiled(0.01, changed), "r")
        resumed = await runtime.resume(compiled(30.0, retry=2, budget="1 min", bound="1h"), "r")
    assert resumed.value == 2
    assert made == ["dear", "slow", "slow"]
