"""Python's own ways to wait, to draw a number and to tell the time, as written in a workflow, are the ops."""

from __future__ import annotations

import asyncio
import datetime as dt
import random as chance
import time
from asyncio import sleep as nap
from datetime import UTC, datetime
from time import sleep as pause
from typing import Any

from orchestrator import workflow
from orchestrator.testing import fake
from tests.dsl.recording import record


def durations(function: Any) -> list[Any]:
    """Of each sleep, its seconds, or what computes them."""
    ops = [op for op in record(workflow(function)).ops if op.kind == "sleep"]
    made = [op.operands[0].producer if op.operands else None for op in ops]
    return [op.opts.get("seconds", each and each.attrs["callee"]) for op, each in zip(ops, made, strict=True)]


def test_time_sleep() -> None:
    def flow(n: int) -> None:
        from time import sleep

        time.sleep(5)
        pause(n)
        sleep(0.5)
        later = time.sleep
        later(7)
        if n > 2:
            time.sleep(8)

    assert durations(flow) == [5.0, None, 0.5, 7.0, 8.0]


def test_asyncio_sleep_takes_less_than_nothing_for_nothing_and_gives_its_result() -> None:
    @workflow
    async def flow(n: float) -> str:
        await asyncio.sleep(5)
        await asyncio.sleep(-5)
        await asyncio.sleep(n)
        await asyncio.gather(asyncio.sleep(1), nap(2))
        return await nap(3, "done")

    assert durations(flow.fn) == [5.0, 0.0, "builtin.max", 1.0, 2.0, 3.0]


def test_a_random_number_is_drawn_in_each_run() -> None:
    @workflow
    def flow(n: int) -> float:
        if n > 2:
            return chance.random()
        return chance.random() + 1

    drawn = [op.attrs["callee"] for op in record(flow).ops if op.attrs.get("effects") == "reads"]
    assert drawn == ["random", "random"]


def test_the_time_is_asked_in_each_run() -> None:
    @workflow
    def flow(n: int) -> tuple[float, list[datetime]]:
        from time import time as clock

        began = time.time()
        moments = [datetime.now(UTC), datetime.now(tz=dt.UTC), dt.datetime.now(dt.timezone.utc)]  # noqa: UP017
        return clock() - began, moments

    asked = [op.attrs["callee"] for op in record(flow).ops if op.attrs.get("effects") == "reads"]
    assert asked == ["now"] * 5
    then = iter(datetime(2000, 1, 1, 0, 0, second, 250_000, tzinfo=UTC) for second in range(5))
    with fake(tools={"now": lambda: next(then)}):
        took, moments = flow(1)
    assert (took, [each.second for each in moments]) == (4.0, [1, 2, 3])
