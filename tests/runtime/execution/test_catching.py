"""What may be caught, by whom, and what then has become of everything around it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from pydantic import ValidationError

from orchestrator import Error, attempt, llm, race, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.regions.failing import attempt_op
from orchestrator.dsl.tracing.tracer import require_tracer
from orchestrator.errors import OrchError, RunError
from orchestrator.runtime.journal.events import OpCaught, OpStarted
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.runner import Runner
from orchestrator.testing import fake
from tests.runtime.catching import Answer, compile_and_run, named, side_by_side


def test_a_reply_that_does_not_fit_is_a_validation_error() -> None:
    @workflow
    def flow(q: str) -> list[str]:
        def ask() -> Any:
            return llm(q, returns=Answer)

        return [named(ask, ValidationError), named(ask, ValueError), named(ask, TimeoutError)]  # type: ignore[return-value]

    with fake(["no", "no", "no"]):
        assert flow("?") == ["yes", "yes", "validation"]


def test_what_takes_too_long_is_a_timeout() -> None:
    @tool(effects="idempotent", timeout=0.01)
    async def slow(n: int) -> int:
        await asyncio.sleep(60)
        return n

    @workflow
    def flow(n: int) -> list[str]:
        return [named(lambda: slow(n), TimeoutError), named(lambda: slow(n), ValueError)]

    assert flow(1) == ["yes", "timeout"]


def test_a_wrong_result_is_a_validation_error_and_an_engine_that_fails_is_the_models() -> None:
    @tool(effects="pure", cheap=True)
    def wrong(n: int) -> int:
        return "x"  # type: ignore[return-value]

    @workflow
    def flow(n: int) -> list[str]:
        return [
            named(lambda: wrong(n), ValidationError),
            named(lambda: llm("?"), OrchError),
            named(lambda: llm("?"), ConnectionError),
            named(lambda: llm("?"), ValueError),
        ]

    lost = OrchError("ORCH-E013", "the engine stopped")
    with fake([lost, lost, lost]):
        assert flow(1) == ["yes", "yes", "yes", "model"]


def test_every_arm_of_a_race_that_fails_is_one_failure() -> None:
    @tool(effects="idempotent")
    async def bad(n: int) -> int:
        raise KeyError(n)

    @workflow
    def flow(n: int) -> int | Error:
        return attempt(lambda: race(lambda: bad(n), lambda: bad(n)))

    error = flow(1)
    assert isinstance(error, Error)
    assert (error.code, error.kind) == ("ORCH-R006", "race")


def test_a_retry_of_an_attempt_is_for_what_it_does_not_catch() -> None:
    tries: list[int] = []

    @tool(effects="idempotent")
    async def shaky(n: int) -> int:
        tries.append(n)
        raise [OSError("busy"), OSError("busy"), KeyError("gone")][len(tries) - 1]

    @workflow
    def flow(n: int) -> str:
        from orchestrator import Retry

        return attempt(lambda: f"{shaky(n)}", lambda e: f"no {e}", catching=KeyError, retry=Retry(3, backoff_s=0))

    assert flow(1) == "no 'gone'"
    assert tries == [1, 1, 1]


async def test_what_runs_beside_a_failure_is_cancelled_before_the_handler_starts() -> None:
    log: list[str] = []
    waits = asyncio.Event()

    @tool(effects="idempotent")
    async def beside(n: int) -> int:
        waits.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            log.append("cut")
        return n

    @tool(effects="idempotent")
    async def fails(n: int) -> int:
        await waits.wait()
        raise KeyError(n)

    @tool(effects="idempotent")
    async def handles(n: int) -> int:
        log.append("handled")
        return n

    @workflow
    def flow(n: int) -> str:
        return attempt(lambda: side_by_side(beside, fails, n), lambda e: f"{handles(n)}")

    assert (await compile_and_run(flow, {"n": 1})) == "1"
    assert log == ["cut", "handled"]


async def test_a_run_that_is_resumed_goes_on_in_the_handler_that_the_journal_names() -> None:
    made: list[str] = []
    down = True

    @tool(effects="once")
    async def pay(n: int) -> int:
        made.append("pay")
        raise ValueError("no money")

    @tool(effects="once")
    async def refund(n: int) -> int:
        made.append("refund")
        return n

    @tool(effects="idempotent")
    async def tell(n: int) -> int:
        made.append("tell")
        if down:
            raise OSError("down")
        return n

    @workflow
    def flow(n: int) -> int:
        return attempt(lambda: pay(n), lambda e: tell(refund(n)), catching=ValueError)

    compiled = compile_workflow(flow)
    async with Runner() as runtime:
        with pytest.raises(RunError, match="down"):
            await runtime.run(compiled, {"n": 3}, run_id="r")
        assert made == ["pay", "refund", "tell"]
        down = False
        assert (await runtime.resume(compiled, "r")).value == 3
    assert made == ["pay", "refund", "tell", "tell"]


async def test_how_a_once_tool_failed_is_known_of_a_run_that_was_interrupted_before_it_was_caught() -> None:
    @tool(effects="once")
    async def pay(n: int) -> int:
        raise ValueError("no money")

    @workflow
    def flow(n: int) -> str:
        return attempt(lambda: f"{pay(n)}", lambda e: f"{e.message}: {e.kind}", catching=ValueError)

    compiled = compile_workflow(flow)
    async with Runner() as runtime:
        whole = await runtime.run(compiled, {"n": 3}, run_id="r")
        events = list(await runtime.journal.load("r"))
    assert whole.value == "no money: builtins.ValueError"
    cut = next(number for number, event in enumerate(events) if isinstance(event, OpCaught))
    crashed = MemoryJournal()
    for event in events[:cut]:
        crashed.append("r", event)
    async with Runner(journal=crashed) as runtime:
        assert (await runtime.resume(compiled, "r")).value == whole.value
        later = (await crashed.load("r"))[cut:]
    assert not [event for event in later if isinstance(event, OpStarted) and event.op == "pay_1"]


def test_a_failure_in_a_workflow_that_a_tool_calls_keeps_its_class() -> None:
    @tool(effects="idempotent")
    def inner_tool(n: int) -> int:
        raise FileNotFoundError("nothing there")

    @workflow
    def inner(n: int) -> int:
        return inner_tool(n)

    @tool(effects="idempotent")
    def calls(n: int) -> int:
        return inner(n)

    @workflow
    def flow(n: int) -> list[str]:
        return [named(lambda: calls(n), OSError), named(lambda: calls(n), KeyError)]

    assert flow(1) == ["yes", "builtins.FileNotFoundError"]


@pytest.mark.parametrize("isolation", ["process", "thread"])
def test_a_class_is_the_same_wherever_the_tool_runs(isolation: Any) -> None:
    @tool(effects="idempotent", isolation=isolation)
    def fails(n: int) -> int:
        class OddError(FileNotFoundError):
            pass

        raise OddError("gone")

    @workflow
    def flow(n: int) -> list[str]:
        return [named(lambda: fails(n), OSError), f"{attempt(lambda: f'{fails(n)}', lambda e: e.bases[0])}"]

    assert flow(1) == ["yes", "builtins.FileNotFoundError"]


def test_what_was_spent_stays_spent() -> None:
    @workflow
    def flow(q: str) -> str:
        return attempt(lambda: f"{llm(q, returns=Answer)}", lambda e: llm(f"again: {q}"))

    with fake(["no number here", "done"]):
        result = flow.run("?")
    assert result.value == "done"
    assert result.usage.output_tokens > len("done") / 8
    assert len([record for record in result.ops if record.place.startswith("engine")]) == 2


def test_handlers_in_the_order_that_they_are_given() -> None:
    @tool(effects="idempotent")
    def fails(n: int) -> int:
        raise [KeyError("k"), OSError("o"), ValueError("v")][n]

    @workflow
    def flow(n: int) -> str:
        handlers = [(("builtins.KeyError",), lambda e: "key"), (("builtins.OSError",), lambda e: f"os {e}")]
        return attempt_op(require_tracer("flow"), lambda: f"{fails(n)}", handlers, None, opts={})  # type: ignore[no-any-return]

    assert (flow(0), flow(1)) == ("key", "os o")
    with pytest.raises(RunError, match="ValueError: v"):
        flow(2)


async def test_threads_that_were_left_behind_do_not_keep_a_handler_waiting() -> None:
    release = threading.Event()

    @tool(effects="idempotent")
    def blocks(n: int) -> int:
        release.wait(60)
        return n

    @tool(effects="idempotent")
    async def fails(n: int) -> int:
        await asyncio.sleep(0.02)
        raise KeyError(n)

    @workflow
    def flow(n: int) -> str:
        return attempt(lambda: side_by_side(blocks, fails, n), lambda e: "caught")

    try:
        assert await compile_and_run(flow, {"n": 1}) == "caught"
    finally:
        release.set()
