"""Timeouts, retries, budgets, cancellation: what an op may do, and what happens when it does more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from orchestrator.errors import BudgetError, RunError, SourceLoc
from orchestrator.planner.token_price import TokenPrice
from orchestrator.runtime.engines.base import Sampling
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.lifecycle import run_to_end
from orchestrator.runtime.human import Answers
from orchestrator.runtime.journal.events import OpFailed, OpStarted, RunDone, Token
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.program.builder import RegionBuilder
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import NO_POLICY, Ask, Generate, Limits, Policy, Spec, Structure, ToolCall
from orchestrator.runtime.services import Engines, Services
from orchestrator.runtime.values.at_run_time import Conversation
from tests.runtime.executing import execute

HERE = SourceLoc("app.py", 3)


class Query(BaseModel):
    sql: str


def async_tool(fn: Callable[..., Any], effects: Any = "idempotent") -> ToolCall:
    return ToolCall(fn, fn.__name__, effects, True, "async")


def one_op(spec: Spec, *, policy: Policy = NO_POLICY, tp: Any = Any, budget: Limits | None = None) -> Program:
    body = RegionBuilder("", 1)
    types = [tp, Conversation] if isinstance(spec, Generate) else [tp]
    out = body.suspend("op", spec, body.args, types=types, where=HERE, policy=policy)
    prices = {"main": TokenPrice(1e-3, 1e-2, 1e-3)}
    return Program("test", "hash", ("x",), body.finish([out[0]]), tp, budget, prices)


def execution(program: Program, engine: ScriptedEngine | None = None, **options: Any) -> Execution:
    engines = Engines({"main": engine} if engine else {})
    return Execution(program, Services(engines, Answers({"known": "yes"})), MemoryJournal(), "run", seed=0, **options)


async def outcome(program: Program, value: object = "x", engine: ScriptedEngine | None = None) -> Any:
    return await run_to_end(execution(program, engine), (value,))


async def test_a_timeout_cancels_the_tool_and_is_coded() -> None:
    cancelled = asyncio.Event()

    async def forever(x: object) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(RunError) as raised:
        await outcome(one_op(async_tool(forever), policy=Policy(timeout_s=0.01)))
    assert raised.value.code == "ORCH-R004"
    assert raised.value.diagnostics[0].where == HERE
    assert cancelled.is_set()


async def test_the_tools_own_timeout_error_is_its_failure() -> None:
    async def times_out(x: object) -> None:
        raise TimeoutError("database")

    with pytest.raises(RunError) as raised:
        await outcome(one_op(async_tool(times_out), policy=Policy(timeout_s=60)))
    assert raised.value.code == "ORCH-R001"


async def test_a_retry_repeats_until_it_succeeds() -> None:
    calls = 0

    async def flaky(x: object) -> int:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ConnectionError("refused")
        return calls

    run = execution(one_op(async_tool(flaky), policy=Policy(attempts=3, backoff_s=0.001), tp=int))
    assert await run_to_end(run, ("x",)) == 3
    assert [event.attempt for event in run.events if isinstance(event, OpStarted)] == [1, 2, 3]
    assert all(event.retry_in_s is not None for event in run.events if isinstance(event, OpFailed))


async def test_no_attempt_is_waited_for_that_the_budget_has_no_time_for() -> None:
    calls = 0

    async def fails(x: object) -> int:
        nonlocal calls
        calls += 1
        raise ConnectionError("refused")

    policy = Policy(attempts=3, backoff_s=300.0, max_backoff_s=300.0, jitter=False, budget=Limits(seconds=60.0))
    run = execution(one_op(async_tool(fails), policy=policy, tp=int))
    with pytest.raises(RunError, match="refused") as raised:
        await asyncio.wait_for(run_to_end(run, ("x",)), 30.0)
    assert (raised.value.code, calls) == ("ORCH-R001", 1)
    assert [event.retry_in_s for event in run.events if isinstance(event, OpFailed)] == [None]


async def test_without_a_retry_nothing_is_repeated() -> None:
    calls = 0

    async def fails(x: object) -> int:
        nonlocal calls
        calls += 1
        raise ConnectionError

    with pytest.raises(RunError):
        await outcome(one_op(async_tool(fails, "once")))
    assert calls == 1


async def test_a_future_cancelled_inside_a_tool_fails_the_op_instead_of_losing_it() -> None:
    async def awaits_cancelled(x: object) -> None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    with pytest.raises(RunError) as raised:
        await outcome(one_op(async_tool(awaits_cancelled)))
    assert raised.value.code == "ORCH-R001"


async def test_a_result_of_another_type_is_not_coerced() -> None:
    async def texts(x: object) -> Any:
        return ["1", "2"]

    with pytest.raises(RunError) as raised:
        await outcome(one_op(async_tool(texts), tp=list[int]))
    assert raised.value.code == "ORCH-R002"


async def test_blocking_tools_run_in_threads() -> None:
    spec = ToolCall(lambda x: threading.current_thread() is threading.main_thread(), "t", "idempotent", False, "thread")
    assert await outcome(one_op(spec, tp=bool)) is False


async def test_ray_without_ray_is_an_error_and_not_a_silent_fallback() -> None:
    spec = ToolCall(lambda x: x, "t", "idempotent", False, "ray-task")
    with pytest.raises(RunError) as raised:
        await outcome(one_op(spec))
    assert raised.value.code == "ORCH-R009"


# Model calls


async def test_structured_replies_are_parsed_and_bad_ones_retried() -> None:
    engine = ScriptedEngine(["not json", {"sql": 3}, {"sql": "SELECT 1"}])
    program = one_op(Generate("default", None, returns=Query), policy=Policy(attempts=3, backoff_s=0), tp=Query)
    assert await outcome(program, "ask", engine) == Query(sql="SELECT 1")
    assert len(engine.requests) == 3


async def test_a_bad_reply_without_retry_is_coded() -> None:
    with pytest.raises(RunError) as raised:
        await outcome(one_op(Generate("default", None, returns=Query), tp=Query), "ask", ScriptedEngine(["no"]))
    assert raised.value.code == "ORCH-R003"
    assert raised.value.diagnostics[0].where == HERE


async def test_tokens_are_shown_as_they_come() -> None:
    shown: list[Any] = []
    run = execution(
        one_op(Generate("default", None), tp=str), ScriptedEngine(["one two three"]), listeners=[shown.append]
    )
    assert await run_to_end(run, ("ask",)) == "one two three"
    assert "".join(each.text for each in shown if isinstance(each, Token)) == "one two three"


async def test_cancelling_the_run_aborts_the_request_in_the_engine() -> None:
    engine = ScriptedEngine(["never"], seconds_per_reply=3600)
    task = asyncio.create_task(outcome(one_op(Generate("default", None), tp=str), "ask", engine))
    while not engine.requests:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    stats = await engine.stats()
    assert (stats.running, stats.aborted) == (0, 1)


async def test_the_loser_of_a_race_is_aborted_in_the_engine() -> None:
    engine = ScriptedEngine(["never"], seconds_per_reply=3600)

    async def quick() -> str:
        return "quick"

    body = RegionBuilder("", 1)
    slow = RegionBuilder("race.slow/", 0, body)
    slow_region = slow.finish(
        [slow.suspend("llm", Generate("default", None), [slow.use(body.args[0])], types=[str])[0]]
    )
    fast = RegionBuilder("race.fast/", 0, body)
    fast_region = fast.finish([fast.suspend("quick", async_tool(quick), [], types=[str])[0]])
    bodies = [("slow", slow_region, slow.captures), ("fast", fast_region, fast.captures)]
    (out,) = body.suspend("race", Structure("race"), [], types=[str], bodies=bodies)
    assert await outcome(Program("test", "hash", ("x",), body.finish([out]), str), "ask", engine) == "quick"
    assert (await engine.stats()).running == 0


async def test_a_model_call_without_an_engine_says_what_to_do() -> None:
    with pytest.raises(RunError) as raised:
        await outcome(one_op(Generate("default", None)), "ask")
    assert raised.value.code == "ORCH-R008"
    with pytest.raises(RunError, match="no engine serves `gpt`"):
        await outcome(one_op(Generate("gpt", None)), "ask", ScriptedEngine([]))
    with pytest.raises(RunError, match="no engine serves `planned`"):
        await outcome(one_op(Generate("default", "planned")), "ask", ScriptedEngine([]))


# Budgets


async def test_an_op_that_would_break_the_budget_is_not_started() -> None:
    engine = ScriptedEngine(["reply"])
    program = one_op(Generate("default", None, sampling=Sampling(max_tokens=1000)), budget=Limits(tokens=500))
    with pytest.raises(BudgetError) as raised:
        await outcome(program, "ask", engine)
    assert raised.value.code == "ORCH-R010"
    assert not engine.requests


async def test_a_dollar_budget_uses_the_price_of_the_engine() -> None:
    engine = ScriptedEngine(["reply"])
    with pytest.raises(BudgetError):
        await outcome(
            one_op(Generate("default", None, sampling=Sampling(max_tokens=100)), budget=Limits(usd=0.5)), "ask", engine
        )
    run = execution(
        one_op(Generate("default", None, sampling=Sampling(max_tokens=100)), tp=str, budget=Limits(usd=2.0)), engine
    )
    await run_to_end(run, ("ask",))
    usage = (await engine.stats()).usage
    assert run.ledger.usd == pytest.approx(usage.input_tokens * 1e-3 + usage.output_tokens * 1e-2)


async def test_a_reply_without_max_tokens_is_bounded_by_what_is_left() -> None:
    engine = ScriptedEngine(["one two three"])
    await outcome(one_op(Generate("default", None), tp=str, budget=Limits(tokens=100)), "ask", engine)
    bound = engine.requests[0].sampling.max_tokens
    assert bound is not None
    assert bound < 100


async def test_what_a_failed_attempt_used_counts() -> None:
    engine = ScriptedEngine(["no json at all"] * 10)
    policy = Policy(attempts=10, backoff_s=0)
    program = one_op(
        Generate("default", None, returns=Query, sampling=Sampling(max_tokens=20)),
        policy=policy,
        budget=Limits(tokens=50),
    )
    with pytest.raises(BudgetError):
        await outcome(program, "ask", engine)
    assert 1 <= len(engine.requests) < 10


async def test_the_budget_of_an_op_spans_its_attempts() -> None:
    engine = ScriptedEngine(["no json at all"] * 10)
    policy = Policy(attempts=10, backoff_s=0, budget=Limits(tokens=50))
    with pytest.raises(BudgetError):
        await outcome(
            one_op(Generate("default", None, returns=Query, sampling=Sampling(max_tokens=20)), policy=policy),
            "ask",
            engine,
        )
    assert 1 <= len(engine.requests) < 10


async def test_seconds_of_an_op_span_its_attempts() -> None:
    calls = 0

    async def fails_slowly(x: object) -> None:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0.02)
        raise ConnectionError

    policy = Policy(attempts=1000, backoff_s=0, budget=Limits(seconds=0.05))
    with pytest.raises(BudgetError):
        await outcome(one_op(async_tool(fails_slowly), policy=policy))
    assert 1 <= calls <= 3


async def test_a_budget_of_seconds_stops_the_run() -> None:
    async def forever(x: object) -> None:
        await asyncio.Event().wait()

    with pytest.raises(BudgetError):
        await outcome(one_op(async_tool(forever), budget=Limits(seconds=0.01)))
    with pytest.raises(BudgetError):
        await outcome(one_op(async_tool(forever), policy=Policy(budget=Limits(seconds=0.01))))


# Humans


async def test_a_human_answers() -> None:
    body = RegionBuilder("", 1)
    (out,) = body.suspend("known", Ask(("yes", "no")), body.args, types=[str])
    assert await outcome(Program("test", "hash", ("x",), body.finish([out]), str), "Really?") == "yes"


async def test_without_an_answer_the_error_says_how_to_give_one() -> None:
    with pytest.raises(RunError) as raised:
        await outcome(one_op(Ask(), tp=str), "Really?")
    assert raised.value.code == "ORCH-R030"
    assert "'op'" in (raised.value.diagnostics[0].fix or "")


async def test_an_answer_that_is_no_choice_is_refused() -> None:
    body = RegionBuilder("", 1)
    (out,) = body.suspend("known", Ask(("left", "right")), body.args, types=[str])
    with pytest.raises(RunError) as raised:
        await outcome(Program("test", "hash", ("x",), body.finish([out]), str), "Where?")
    assert raised.value.code == "ORCH-R031"


# Structured ops


async def test_a_map_keeps_its_concurrency() -> None:
    running = most = 0

    async def work(x: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return x

    body = RegionBuilder("", 1)
    inner = RegionBuilder("each/", 1, body)
    region = inner.finish(inner.suspend("work", async_tool(work), inner.args, types=[int]))
    spec = Structure("map", 10, concurrency=3)
    (out,) = body.suspend("each", spec, body.args, types=[list[int]], bodies=[("", region, inner.captures)])
    assert await outcome(Program("test", "hash", ("x",), body.finish([out]), list), list(range(10))) == list(range(10))
    assert most == 3


async def test_a_race_whose_arms_all_fail_says_why_each_did() -> None:
    async def refuses() -> None:
        raise ConnectionError("refused")

    body = RegionBuilder("", 1)
    arms = []
    for name in ("a", "b"):
        arm = RegionBuilder(f"race.{name}/", 0, body)
        arms.append((name, arm.finish(arm.suspend(f"op_{name}", async_tool(refuses), [])), arm.captures))
    (out,) = body.suspend("race", Structure("race"), [], bodies=arms)
    with pytest.raises(RunError) as raised:
        await outcome(Program("test", "hash", ("x",), body.finish([out]), Any))
    assert raised.value.code == "ORCH-R006"
    assert (raised.value.diagnostics[0].why or "").count("refused") == 2


async def test_a_retried_loop_starts_over_in_frames_of_its_own() -> None:
    calls: list[int] = []

    async def work(x: int) -> int:
        calls.append(x)
        if len(calls) == 2:
            raise ConnectionError
        return x + 1

    body = RegionBuilder("", 1)
    cond = RegionBuilder("turns.cond/", 1, body)
    stop = cond.finish([cond.inline("stop", lambda x: f"{x}>=3", cond.args)])
    inner = RegionBuilder("turns/", 1, body)
    region = inner.finish(inner.suspend("work", async_tool(work), inner.args, types=[int]))
    bodies = [("cond", stop, cond.captures), ("", region, inner.captures)]
    policy = Policy(attempts=2, backoff_s=0)
    (out,) = body.suspend("turns", Structure("loop", 5), body.args, types=[int], bodies=bodies, policy=policy)
    run = execution(Program("test", "hash", ("x",), body.finish([out]), int))
    assert await run_to_end(run, (0,)) == 3
    assert calls == [0, 1, 0, 1, 2]
    frames = {event.frame for event in run.events if isinstance(event, OpStarted)}
    assert {"turns[1]/", "turns#2[1]/"} <= frames


async def test_resuming_another_program_is_refused() -> None:
    journal = MemoryJournal()

    async def same(x: object) -> object:
        return x

    program = one_op(async_tool(same))
    await execute(program, ("x",), Services(Engines({})), journal, "run")
    written = [event for event in await journal.load("run") if not isinstance(event, RunDone)]
    changed = Program("test", "other", ("x",), program.body, Any)
    for other in (changed, one_op(async_tool(same), tp=str)):
        interrupted = MemoryJournal()
        for event in written:
            interrupted.append("run", event)
        with pytest.raises(RunError) as raised:
            await execute(other, (), Services(Engines({})), interrupted, "run", resume=True)
        assert raised.value.code == "ORCH-R021"
