"""A tool that holds the event loop is named, and nobody else is."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from orchestrator import tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.runtime.runner import Runner
from orchestrator.runtime.tools import loop_watch
from orchestrator.runtime.tools.on_loop import on_loop

looks = [0]
"""How often the watcher has looked at a loop that was blocked and had runs on it."""
over: list[asyncio.Event] = []


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    look = loop_watch._Loop.look

    def counted(watched: loop_watch._Loop) -> None:
        is_blocked = bool(watched.runs) and time.monotonic() - watched._turned_s >= loop_watch.BLOCKED_S
        look(watched)
        looks[0] += is_blocked

    monkeypatch.setattr(loop_watch, "BLOCKED_S", 0.05)
    monkeypatch.setattr(loop_watch, "BEAT_S", 0.02)
    monkeypatch.setattr(loop_watch._Loop, "look", counted)
    over[:] = [asyncio.Event()]


def hold() -> None:
    """Keep the event loop until the watcher has looked twice; once more, as it may have begun to before."""
    seen = looks[0]
    for _ in range(6000):
        if looks[0] >= seen + 3:
            return
        time.sleep(0.01)
    raise AssertionError("nobody watches")


@tool(effects="idempotent")
async def hogs(n: int) -> int:
    await asyncio.sleep(0)
    hold()
    return n


@tool(effects="pure", cheap=True)
def computes(n: int) -> int:
    hold()
    return n + 1


@tool(effects="idempotent")
async def waits(n: int) -> int:
    await over[0].wait()
    return n


@workflow
def hogging(n: int) -> int:
    return hogs(n)


@workflow
def computing(n: int) -> int:
    return computes(n)


@workflow
def waiting(n: int) -> int:
    return waits(n)


async def test_an_async_tool_that_blocks_is_named_in_every_run_that_it_held_up() -> None:
    async with Runner() as runtime:
        held_up = asyncio.create_task(runtime.run(compile_workflow(waiting), {"n": 1}))
        blocking = [await runtime.run(compile_workflow(hogging), {"n": 1}) for _ in range(2)]
        over[0].set()
        for result in (*blocking, await held_up):
            (warning,) = result.warnings
            assert "the tool `hogs` has held the event loop" in warning
            assert "test_loop_watch.py:" in warning
            assert 'isolation="thread"' in warning


async def test_so_is_a_cheap_tool() -> None:
    async with Runner() as runtime:
        (warning,) = (await runtime.run(compile_workflow(computing), {"n": 1})).warnings
    assert "the tool `computes` has held" in warning


async def test_what_is_no_tool_is_not_blamed(caplog: pytest.LogCaptureFixture) -> None:
    async with Runner() as runtime:
        under_way = asyncio.create_task(runtime.run(compile_workflow(waiting), {"n": 1}))
        await asyncio.sleep(0)
        hold()
        over[0].set()
        assert (await under_way).warnings == ()
    assert "ORCH-R047" not in caplog.text


async def test_a_stack_without_a_tool_names_none() -> None:
    async def own() -> object:
        import sys

        return loop_watch._tool_in(sys._getframe())

    assert await own() is None
    found = await on_loop(own, "own", print)
    assert found is not None
    assert found[0] == "own"


async def test_only_one_that_is_in_the_same_call_at_two_looks_is_named_and_only_while_there_are_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched = loop_watch._Loop(asyncio.get_running_loop())
    watched._turned_s = 0.0

    def holds(looks: int) -> None:
        for _ in range(looks):
            watched.look()

    @loop_watch.calls_tools
    def call(looks: int) -> None:
        holds(looks)

    call(2)
    assert not caplog.records
    run = SimpleNamespace(warnings={})
    watched.runs[id(run)] = run, set()
    for _ in range(5):  # short calls, each of which happens to be looked at
        call(1)
    assert not run.warnings
    call(2)
    assert any("`holds`" in said for said in run.warnings)
