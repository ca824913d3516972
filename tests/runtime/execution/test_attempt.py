"""An attempt's time is the time in which its work goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.errors import BudgetError, RunError
from orchestrator.runtime.execution.attempt import Attempt, begin_enclosing
from orchestrator.runtime.journal.events import OpDone, OpFailed
from orchestrator.runtime.program.builder import RegionBuilder
from orchestrator.runtime.program.program import Op, Program
from orchestrator.runtime.program.specs import Limits, Policy, Structure, ToolCall
from orchestrator.runtime.ray.tools import RayTools, _Host
from orchestrator.runtime.runner import Runner


def op(**policy: Any) -> Op:
    return Op("work", ToolCall(print, "work", "idempotent", True, "async"), (), 0, 1, 0, policy=Policy(**policy))


async def test_waiting_for_a_turn_is_not_its_time() -> None:
    attempt = Attempt(op(timeout_s=0.02), 1)

    async def work() -> str:
        await asyncio.sleep(0.05)
        attempt.begin()
        attempt.wait()
        await asyncio.sleep(0.05)
        return "done"

    assert await attempt.run(work()) == "done"
    assert not attempt.cut


async def test_what_has_run_before_it_waits_again_counts() -> None:
    attempt = Attempt(op(timeout_s=0.05), 1)

    async def work() -> None:
        for _ in range(1000):
            attempt.begin()
            await asyncio.sleep(0.005)
            attempt.wait()
            await asyncio.sleep(0)

    with pytest.raises(RunError, match="ORCH-R004"):
        await attempt.run(work())
    assert attempt.cut
    assert attempt.began


async def test_the_seconds_of_a_budget_count_while_it_waits() -> None:
    attempt = Attempt(op(timeout_s=3600, budget=Limits(seconds=0.02)), 1, left_s=0.02)
    with pytest.raises(BudgetError):
        await attempt.run(asyncio.sleep(3600))
    assert not attempt.began


async def test_nothing_begins_for_which_no_time_is_left() -> None:
    begun: list[str] = []

    async def work() -> None:
        begun.append("work")

    attempt = Attempt(op(budget=Limits(seconds=60.0)), 2, left_s=0.0)
    with pytest.raises(BudgetError, match="ORCH-R010"):
        await attempt.run(work())
    assert (begun, attempt.began) == ([], False)


async def test_a_timeout_that_the_work_itself_raises_is_its_own() -> None:
    async def work() -> None:
        raise TimeoutError("the bank's")

    attempt = Attempt(op(timeout_s=3600), 1)
    with pytest.raises(TimeoutError, match="the bank's"):
        await attempt.run(work())
    assert not attempt.cut


async def test_what_is_around_it_begins_with_it() -> None:
    outer, inner = Attempt(op(timeout_s=3600), 1), None

    async def work() -> None:
        nonlocal inner
        inner = Attempt(op(timeout_s=3600), 1)
        assert outer.waiting
        inner.begin()
        assert not outer.waiting
        inner.wait()
        assert not outer.waiting  # others in there may be at work

    await outer.run(work())

    async def untimed() -> None:
        begin_enclosing()

    other = Attempt(op(timeout_s=3600), 1)
    await other.run(untimed())
    assert other.began


async def test_a_tool_that_waits_for_a_thread_has_its_whole_timeout_left_then() -> None:
    """Two calls, one thread: the second waits for longer than its timeout, inside a map that has one as well."""
    release = threading.Event()
    order: list[int] = []

    def work(n: int) -> int:
        order.append(n)
        if n == 0:
            release.wait(5)
        return n

    body = RegionBuilder("", 1)
    inner = RegionBuilder("each/", 1, body)
    spec = ToolCall(work, "work", "idempotent", False, "thread")
    region = inner.finish(inner.suspend("work", spec, inner.args, types=[int], policy=Policy(timeout_s=10.0)))
    (out,) = body.suspend(
        "each", Structure("map", 2), body.args, types=[list[int]], bodies=[("", region, inner.captures)]
    )
    program = Program("test", "hash", ("x",), body.finish([out]), list)
    async with Runner() as runtime:
        runtime._services.threads._most_running = 1
        run = asyncio.create_task(runtime.run_program(program, ([0, 1],)))
        asyncio.get_running_loop().call_later(0.3, release.set)
        result = await run
    assert result.value == [0, 1]
    assert order == [0, 1]
    assert not [event for event in result.events if isinstance(event, OpFailed)]
    assert sum(isinstance(event, OpDone) and event.op == "work" for event in result.events) == 2


async def test_a_tool_that_waits_for_its_actor_has_its_whole_timeout_left_then() -> None:
    tools = RayTools()
    host = tools._hosts.setdefault(f"{print.__module__}.{print.__qualname__}", _Host())

    async def call(op: str, fn: Any, args: Any, kwargs: Any, began: Callable[[], None]) -> str:
        began()
        return "done"

    host.call = call  # type: ignore[method-assign]
    told: list[str] = []
    async with host.turns.turn(1):
        waiting = asyncio.create_task(tools.call("op", "ray-actor", print, (), {}, began=lambda: told.append("began")))
        await asyncio.sleep(0.01)
        assert not told
    assert await waiting == "done"
    assert told == ["began"]
