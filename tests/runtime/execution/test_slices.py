"""Work that only computes lets others go on, and is stopped by budgets and cancellation; short work is inline."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from orchestrator import Workflow, branch, loop, map_, tool, workflow
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import BudgetError, RunError
from orchestrator.runtime.program import inline, lowering
from orchestrator.runtime.program.specs import Structure
from orchestrator.runtime.runner import Runner

FOR_EVER = 10**9


@tool(effects="pure")
async def at_once(n: int) -> int:
    """A coroutine that never waits."""
    return n + 1


@workflow(budget="0.3s")
def spin(n: int) -> int:
    return loop(lambda s: s + 1, n, max=FOR_EVER, until=lambda s: s < 0)


@workflow(budget="0.3s")
def spin_in_a_loop(n: int) -> int:
    def inner(s: int) -> int:
        return loop(lambda t: t + 1, s, max=2000, until=lambda t: t < 0)

    return loop(inner, n, max=FOR_EVER, until=lambda s: s < 0)


@workflow(budget="0.3s")
def spin_over_tools(n: int) -> int:
    return loop(at_once, n, max=FOR_EVER, until=lambda s: s < 0)


@workflow
def many(ns: list[int]) -> list[int]:
    return map_(lambda n: n + 1, ns, limit=FOR_EVER)


async def ticks(seen: list[int]) -> None:
    while True:
        seen.append(1)
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("flow", "value"),
    [(spin, 1), (spin_in_a_loop, 1), (spin_over_tools, 1)],
    ids=lambda each: getattr(each, "name", ""),
)
async def test_a_budget_stops_it_and_others_go_on(flow: Workflow[..., Any], value: object) -> None:
    (name,) = flow.boundary.params
    seen: list[int] = []
    other = asyncio.create_task(ticks(seen))
    async with Runner() as runtime:
        compiled = compile_workflow(flow)
        with pytest.raises(BudgetError) as caught:
            await runtime.run(compiled, {name: value})
    other.cancel()
    assert caught.value.code == "ORCH-R010"
    assert len(seen) > 5


async def test_others_go_on_while_many_items_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inline, "SLICE_S", 0.0)  # however fast the machine is
    seen: list[int] = []
    other = asyncio.create_task(ticks(seen))
    async with Runner() as runtime:
        found = await runtime.run(compile_workflow(many), {"ns": [1] * 1_000})
    other.cancel()
    assert found.value == [2] * 1_000
    assert len(seen) > 500


@workflow
def endless(n: int) -> int:
    return loop(lambda s: s + 1, n, max=FOR_EVER, until=lambda s: s < 0)


@workflow
def timed(n: int) -> int:
    return loop(lambda s: s + 1, n, max=FOR_EVER, until=lambda s: s < 0, timeout=0.2)


@workflow
def timed_around_an_arm(n: int) -> int:
    """What might wait is never reached."""

    def turn(s: int) -> int:
        return branch(s < 0, then=lambda: at_once(s), otherwise=lambda: s + 1)

    return loop(turn, n, max=FOR_EVER, until=lambda s: s < 0, timeout=0.2)


@pytest.mark.parametrize("flow", [timed, timed_around_an_arm], ids=lambda each: each.name)
async def test_its_timeout_ends_it(flow: Workflow[..., Any]) -> None:
    async with Runner() as runtime, asyncio.timeout(20):
        with pytest.raises(RunError) as caught:
            await runtime.run(compile_workflow(flow), {"n": 1})
    assert caught.value.code == "ORCH-R004"


async def test_it_can_be_cancelled() -> None:
    async with Runner() as runtime:
        task = asyncio.create_task(runtime.run(compile_workflow(endless), {"n": 1}))
        await asyncio.sleep(0.05)
        task.cancel()
        async with asyncio.timeout(20):
            with pytest.raises(asyncio.CancelledError):
                await task


@tool(effects="pure", cheap=True)
def checked(n: int, most: int) -> int:
    if n > most:
        raise ValueError(f"{n} is too much")
    return n


def looped(n: int, most: int) -> int:
    return loop(lambda s: checked(s + n, most), n, max=50, until=lambda s: s > 40)


def two_states(n: int, most: int) -> tuple[int, int]:
    return loop(lambda s: (s[1], checked(s[0] + s[1], most)), (n, 1), max=12, until=lambda s: s[1] > most)


def mapped(ns: list[int], most: int) -> list[int]:
    return map_(lambda n: checked(n, most) * 2, ns, limit=100)


def paired(ns: list[int], most: int) -> list[int]:
    return map_(lambda n, m: checked(n + m, most), ns, ns, limit=100)


def compiled_with(flow: Any, most_steps: int, monkeypatch: pytest.MonkeyPatch) -> Compiled:
    monkeypatch.setattr(lowering, "MOST_STEPS", most_steps)
    return compile_workflow(Workflow(flow))


async def outcome(compiled: Compiled, *values: object) -> object:
    async with Runner() as runtime:
        try:
            return (await runtime.run(compiled, dict(zip(compiled.params, values, strict=True)))).value
        except RunError as error:
            problem = error.diagnostics[0]
            return problem.code, problem.message, problem.where


@pytest.mark.parametrize("most", [5, 1000])
@pytest.mark.parametrize(
    ("flow", "value"), [(looped, 3), (two_states, 2), (mapped, [1, 7, 9]), (paired, [2, 4]), (mapped, [])]
)
async def test_in_slices_and_inline_it_does_the_same(
    flow: Any, value: object, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    inline = compiled_with(flow, FOR_EVER, monkeypatch)
    sliced = compiled_with(flow, 0, monkeypatch)
    assert not list(inline.program.body.ops())
    assert [type(op.spec) for op in sliced.program.body.ops()] == [Structure]
    assert await outcome(sliced, value, most) == await outcome(inline, value, most)
