"""Async tools: whatever one does when it is cancelled, its run ends, and so does the event loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from orchestrator import loop, race, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.dsl.declared.once import DidNotHappen
from orchestrator.errors import RunError
from orchestrator.runtime.runner import Runner
from orchestrator.runtime.tools import on_loop

seen: list[str] = []
let_go = threading.Event()


async def stubborn(n: int) -> int:
    """Takes no cancellation for an end."""
    while not let_go.is_set():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            seen.append("refused")
    seen.append("ended")
    return n


def not_yet(n: int) -> DidNotHappen:
    return "did not happen"


timed = tool(stubborn, effects="idempotent", timeout=0.05, name="timed")
untimed = tool(stubborn, effects="idempotent", name="untimed")
paying = tool(stubborn, effects="once", check=not_yet, timeout=0.05, name="paying")


@tool(effects="idempotent", timeout=0.05)
async def late(n: int) -> int:
    """Gives a result when it is cancelled."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        seen.append("late")
    return n


@tool(effects="idempotent", timeout=0.05)
async def tidy(n: int) -> int:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.02)
        seen.append("tidied")
    return n


@tool(effects="idempotent", timeout=0.2, isolation="thread")
async def in_its_own_loop(n: int) -> int:
    let_go.wait(30)  # which would block a loop that is shared
    return n


@tool(effects="idempotent", isolation="thread")
async def thread_and_loop(n: int) -> tuple[str, bool]:
    await asyncio.sleep(0)
    return threading.current_thread().name, asyncio.get_running_loop().is_running()


@tool(effects="idempotent")
async def step(n: int) -> int:
    await asyncio.sleep(0)
    return n + 1


@workflow
def ends_late(n: int) -> int:
    return late(n)


@workflow
def tidies(n: int) -> int:
    return tidy(n)


@workflow
def outlasts(n: int) -> int:
    return timed(n)


@workflow(budget="100ms")
def outlasts_a_budget(n: int) -> int:
    return untimed(n)


@workflow
def outlasts_a_race(n: int) -> int:
    return race(lambda: untimed(n), lambda: step(n))


@workflow
def pays(n: int) -> int:
    return paying(n)


@workflow
def blocks(n: int) -> int:
    return in_its_own_loop(n)


@workflow
def where(n: int) -> tuple[str, bool]:
    return thread_and_loop(n)


@workflow
def counts(n: int) -> int:
    return loop(step, n, max=20, until=lambda n: n >= 20)


@pytest.fixture(autouse=True)
def _afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_loop, "GRACE_S", 0.05)
    seen.clear()
    let_go.clear()


async def _let_go() -> None:
    let_go.set()
    while "ended" not in seen:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(("flow", "code"), [("outlasts", "ORCH-R004"), ("outlasts_a_budget", "ORCH-R010")])
async def test_a_tool_that_refuses_to_be_cancelled_is_left_behind(
    flow: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with asyncio.timeout(30), Runner() as runtime:
        with pytest.raises(RunError) as caught:
            await runtime.run(compile_workflow(globals()[flow]), {"n": 1})
        assert caught.value.code == code
        assert seen == ["refused"]
        assert "timed_1` was cancelled and has not ended" in caplog.text
        await _let_go()


async def test_a_run_that_goes_on_warns_of_what_it_has_left_behind() -> None:
    async with asyncio.timeout(30), Runner() as runtime:
        result = await runtime.run(compile_workflow(outlasts_a_race), {"n": 1})
        assert result.value == 2
        (warning,) = result.warnings
        assert "`untimed_1` was cancelled" in warning
        assert "ORCH-R046" in warning
        await _let_go()


async def test_a_once_tool_that_is_left_behind_may_still_happen() -> None:
    async with asyncio.timeout(30), Runner() as runtime:
        with pytest.raises(RunError) as caught:
            await runtime.run(compile_workflow(pays), {"n": 1})
        assert caught.value.code == "ORCH-R020"
        assert "still runs" in (caught.value.diagnostics[0].why or "")
        await _let_go()


async def test_what_a_tool_returns_after_its_timeout_is_dropped() -> None:
    async with Runner() as runtime:
        with pytest.raises(RunError) as caught:
            await runtime.run(compile_workflow(ends_late), {"n": 1})
    assert caught.value.code == "ORCH-R004"
    assert seen == ["late"]


async def test_a_cancelled_tool_may_clean_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_loop, "GRACE_S", 30)
    async with Runner() as runtime:
        with pytest.raises(RunError) as caught:
            await runtime.run(compile_workflow(tidies), {"n": 1})
    assert caught.value.code == "ORCH-R004"
    assert seen == ["tidied"]


async def test_an_async_tool_in_a_thread_blocks_nobody() -> None:
    async with asyncio.timeout(30), Runner() as runtime:
        blocked = asyncio.create_task(runtime.run(compile_workflow(blocks), {"n": 1}))
        assert (await runtime.run(compile_workflow(counts), {"n": 0})).value == 20
        with pytest.raises(RunError) as caught:
            await blocked
        assert caught.value.code == "ORCH-R004"
        let_go.set()
        name, runs = (await runtime.run(compile_workflow(where), {"n": 1})).value
    assert name.startswith("orch-tool-")
    assert runs


SCRIPT = """
import asyncio
from orchestrator import tool, workflow
from orchestrator.compiler import compile
from orchestrator.runtime.runner import Runner

@tool(effects="idempotent", timeout=0.1)
async def never_ends(n: int) -> int:
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

@workflow
def waits(n: int) -> int:
    return never_ends(n)

async def main():
    async with Runner() as runtime:
        await runtime.run(compile(waits), {"n": 1})

for run in (lambda: asyncio.run(main()), lambda: waits(1)):
    try:
        run()
    except Exception as error:
        print(error.code, flush=True)
"""


def test_the_event_loop_and_the_process_end_without_it(tmp_path: Path) -> None:
    file = tmp_path / "never_ends.py"
    file.write_text(SCRIPT)
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "ORCH-R004\nORCH-R004\n"), done.stderr
    assert "Traceback" not in done.stderr
