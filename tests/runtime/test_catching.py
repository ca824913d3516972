"""What may be caught and what may not, by whom, and what then has become of everything around it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ValidationError

from orchestrator import Error, attempt, llm, parallel, race, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.failing import attempt_op
from orchestrator.dsl.policy import Budget
from orchestrator.dsl.tracer import require_tracer
from orchestrator.errors import BudgetError, JournalError, OrchError, RunError, UnsettledError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.events import Event, FrameOpened, OpCaught, OpsDone, OpStarted
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.run import Runtime
from orchestrator.testing import fake

CLUSTER = Cluster(engines=(EngineSpec(name="main", model="m", kind="scripted"),))


class Answer(BaseModel):
    score: int


def named(function: Any, catching: Any) -> Any:
    """``yes`` if the failure of ``function`` is one of ``catching``, and else the kind of failure."""
    return attempt(
        lambda: attempt(lambda: f"{function()}", lambda error: "yes", catching=catching), lambda error: error.kind
    )


def side_by_side(first: Any, second: Any, n: Any) -> str:
    """Both tools, in no order."""
    with parallel():
        return f"{first(n)}{second(n)}"


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


async def compile_and_run(flow: Any, inputs: dict[str, Any]) -> Any:
    async with Runtime() as runtime:
        return (await runtime.run(compile_workflow(flow), inputs)).value


async def test_a_tool_that_must_run_once_and_was_cut_is_in_doubt_so_nothing_is_caught() -> None:
    started = asyncio.Event()

    @tool(effects="once")
    async def pay(n: int) -> int:
        started.set()
        await asyncio.sleep(60)
        return n

    @tool(effects="idempotent")
    async def fails(n: int) -> int:
        await started.wait()
        raise KeyError(n)

    @workflow
    def flow(n: int) -> str:
        return attempt(lambda: side_by_side(pay, fails, n), lambda e: "caught")

    compiled = compile_workflow(flow)
    async with Runtime() as runtime:
        with pytest.raises(UnsettledError) as raised:
            await runtime.run(compiled, {"n": 1}, run_id="r")
        assert [each.code for each in raised.value.diagnostics] == ["ORCH-R020", "ORCH-R001"]
        await runtime.settle(compiled, "r", "pay_1", did_not_happen=True)
        with pytest.raises(UnsettledError):
            await runtime.resume(compiled, "r")


async def test_so_it_is_in_a_workflow_that_a_tool_calls() -> None:
    started = asyncio.Event()

    @tool(effects="once")
    async def pay(n: int) -> int:
        started.set()
        await asyncio.sleep(60)
        return n

    @workflow
    def inner(n: int) -> int:
        return pay(n)

    @tool(effects="idempotent")
    async def calls(n: int) -> int:
        return await inner.arun(n)

    @tool(effects="idempotent")
    async def fails(n: int) -> int:
        await started.wait()
        raise KeyError(n)

    @workflow
    def flow(n: int) -> str:
        return attempt(lambda: side_by_side(calls, fails, n), lambda e: "caught")

    with pytest.raises(UnsettledError) as raised:
        await compile_and_run(flow, {"n": 1})
    assert "`pay_1` of `inner`: it was cancelled while it ran" in raised.value.message
    assert raised.value.diagnostics[1].code == "ORCH-R001"


async def test_a_check_that_tells_makes_the_failure_one_that_is_caught() -> None:
    started = asyncio.Event()

    def was_paid(n: int) -> Literal["did not happen"]:
        return "did not happen"

    @tool(effects="once", check=was_paid)
    async def pay(n: int) -> int:
        started.set()
        await asyncio.sleep(60)
        return n

    @tool(effects="idempotent")
    async def fails(n: int) -> int:
        await started.wait()
        raise KeyError(n)

    @workflow
    def flow(n: int) -> str:
        return attempt(lambda: side_by_side(pay, fails, n), lambda e: "caught")

    assert await compile_and_run(flow, {"n": 1}) == "caught"


async def test_a_budget_around_the_attempt_is_not_caught_and_one_inside_is() -> None:
    @workflow(budget="10 tokens")
    def whole(q: str) -> str:
        return attempt(lambda: llm(q, max_tokens=500), lambda e: "caught")

    @workflow
    def own(q: str) -> str:
        return attempt(lambda: llm(q, max_tokens=500), lambda e: "caught", budget="10 tokens")

    @workflow
    def inside(q: str) -> str:
        return attempt(lambda: llm(q, max_tokens=500, budget="10 tokens"), lambda e: f"{e.kind}")

    async with Runtime({"main": ScriptedEngine(["never"])}) as runtime:
        for flow in (whole, own):
            with pytest.raises(BudgetError):
                await runtime.run(compile_workflow(flow, CLUSTER), {"q": "?"})
        assert (await runtime.run(compile_workflow(inside, CLUSTER), {"q": "?"})).value == "budget"


async def test_the_seconds_of_a_run_are_not_caught_but_cleaned_up_after() -> None:
    log: list[str] = []

    @tool(effects="idempotent")
    async def slow(n: int) -> int:
        await asyncio.sleep(60)
        return n

    @tool(effects="idempotent")
    async def clean(n: int) -> int:
        await asyncio.sleep(0)
        log.append("cleaned")
        return n

    @workflow(budget=Budget(seconds=0.05))
    def flow(n: int) -> int:
        return attempt(lambda: slow(n), lambda e: 7, cleanup=lambda: clean(n))

    with pytest.raises(BudgetError):
        await compile_and_run(flow, {"n": 1})
    assert log == ["cleaned"]


async def test_cancelling_is_not_caught_and_cleans_up_and_so_does_the_run_that_goes_on() -> None:
    log: list[str] = []
    started = asyncio.Event()

    @tool(effects="idempotent")
    async def slow(n: int) -> int:
        started.set()
        if len(log) == 0:
            await asyncio.sleep(60)
        return n

    @tool(effects="idempotent")
    async def clean(text: str) -> str:
        await asyncio.sleep(0)
        log.append(text)
        return text

    @workflow
    def flow(n: int) -> int:
        return attempt(lambda: slow(n), lambda e: 7, cleanup=lambda: clean(f"cleaned {n}"))

    compiled = compile_workflow(flow)
    async with Runtime() as runtime:
        task = asyncio.create_task(runtime.run(compiled, {"n": 1}, run_id="r"))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["cleaned 1"]
        assert (await runtime.resume(compiled, "r")).value == 1
        assert log == ["cleaned 1"] * 2
        frames = [event.frame for event in await runtime.journal.load("r") if isinstance(event, FrameOpened)]
    assert frames == ["attempt_1.try/", "attempt_1.finally[0]/", "attempt_1.try/", "attempt_1.finally/"]


async def test_a_cleanup_that_fails_while_the_run_is_cancelled_is_told_and_the_run_stays_cancelled() -> None:
    started = asyncio.Event()

    @tool(effects="idempotent")
    async def slow(n: int) -> int:
        started.set()
        await asyncio.sleep(60)
        return n

    @tool(effects="idempotent")
    async def clean(n: int) -> int:
        raise KeyError(n)

    @workflow
    def flow(n: int) -> int:
        inner = lambda: attempt(lambda: slow(n), lambda e: 7, cleanup=lambda: clean(n))  # noqa: E731
        return attempt(inner, lambda e: 8)

    async with Runtime() as runtime:
        task = asyncio.create_task(runtime.run(compile_workflow(flow), {"n": 1}, run_id="r"))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_journal_that_fails_is_not_caught() -> None:
    class Full(MemoryJournal):
        def append(self, run_id: str, event: Event) -> None:
            if isinstance(event, OpsDone):
                raise OSError("no space left on device")
            super().append(run_id, event)

    @tool(effects="idempotent")
    async def fine(n: int) -> int:
        return n

    @workflow
    def flow(n: int) -> int:
        return attempt(lambda: fine(n), lambda e: 7, cleanup=lambda: fine(n))

    async with Runtime(journal=Full()) as runtime:
        with pytest.raises(JournalError, match="no space left"):
            await runtime.run(compile_workflow(flow), {"n": 1})


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
    async with Runtime() as runtime:
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
    async with Runtime() as runtime:
        whole = await runtime.run(compiled, {"n": 3}, run_id="r")
        events = list(await runtime.journal.load("r"))
    assert whole.value == "no money: builtins.ValueError"
    cut = next(number for number, event in enumerate(events) if isinstance(event, OpCaught))
    crashed = MemoryJournal()
    for event in events[:cut]:
        crashed.append("r", event)
    async with Runtime(journal=crashed) as runtime:
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
