"""One worker as its parent sees it: when it is ready, when a call of it has begun, and when it has ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import RunError
from orchestrator.runtime.tools import processes, worker_process
from orchestrator.runtime.tools.processes import ToolProcesses
from tests.awaiting import until


def die_with_a_fork_left() -> None:
    if os.fork() == 0:
        while True:
            signal.pause()
    os.kill(os.getpid(), signal.SIGSEGV)


def die_with_a_program_left() -> None:
    os.system("sleep 600 &")
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("die", [die_with_a_fork_left, die_with_a_program_left])
async def test_a_death_is_noticed_though_what_the_tool_has_started_lives_on(die: Callable[[], None]) -> None:
    processes = ToolProcesses()
    try:
        async with asyncio.timeout(60):
            with pytest.raises(RunError) as caught:
                await processes.call("op", die)
    finally:
        await processes.close()
    assert caught.value.code == "ORCH-R041"


async def test_a_worker_that_does_not_get_ready_is_not_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "START_S", 0.2)
    monkeypatch.setattr(worker_process, "_START", "import time; time.sleep(600)")
    pool = ToolProcesses()
    try:
        with pytest.raises(RunError) as caught:
            await pool.call("op", os.getpid)
        assert caught.value.code == "ORCH-R044"
        (spare,) = [each for each in pool._workers if each is pool._spare] or [None]
        await until(lambda: pool._workers <= {spare})
    finally:
        await pool.close()


async def test_where_no_worker_lives_none_is_started_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "_START", "raise SystemExit(3)")
    pool = ToolProcesses()
    pool.prepare()
    try:
        async with asyncio.timeout(60):
            with pytest.raises(RunError, match="exit code 3") as caught:
                await pool.call("op", os.getpid)
        assert caught.value.code == "ORCH-R044"
    finally:
        await pool.close()


def leave_note(file: str) -> None:
    Path(file).touch()
    time.sleep(600)


async def test_a_call_that_has_had_its_effect_before_it_is_cancelled_has_begun(tmp_path: Path) -> None:
    """Though nobody has heard of it, because something else held the event loop."""
    pool, began, done = ToolProcesses(), [], tmp_path / "done"
    try:
        await pool.call("op", os.getpid)  # there is a worker
        call = asyncio.create_task(pool.call("op", leave_note, (str(done),), began=lambda: began.append(True)))
        await asyncio.sleep(0)
        for _ in range(6000):
            if done.exists():
                break
            time.sleep(0.01)
        assert done.exists()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    finally:
        await pool.close()
    assert began


class Slow:
    """A function that takes long to arrive."""

    def __call__(self) -> None: ...

    def __setstate__(self, state: object) -> None:
        time.sleep(600)

    def __getstate__(self) -> object:
        return "anything"


async def test_a_call_that_is_cancelled_before_it_begins_has_not() -> None:
    pool, began = ToolProcesses(), []
    try:
        await pool.call("op", os.getpid)
        for turns in range(4):
            call = asyncio.create_task(pool.call("op", Slow(), began=lambda: began.append(True)))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
    finally:
        await pool.close()
    assert not began


async def test_a_path_object_on_pythons_path_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Python ignores what is no string there, and scripts put such things there all the same."""
    monkeypatch.setattr(sys, "path", [*sys.path, tmp_path, b"bytes"])
    processes = ToolProcesses()
    assert await processes.call("op", divmod, (7, 2)) == (3, 1)
    await processes.close()


@pytest.mark.parametrize("is_prepared", [False, True])
async def test_where_some_are_killed_as_they_start_another_one_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_prepared: bool
) -> None:
    dies = f"import os; n = len(os.listdir({str(tmp_path)!r})); open({str(tmp_path)!r} + f'/{{n}}', 'w').close(); "
    monkeypatch.setattr(worker_process, "_START", dies + "n > 2 or os.kill(os.getpid(), 9); " + worker_process._START)
    pool = ToolProcesses()
    if is_prepared:
        pool.prepare()
    try:
        async with asyncio.timeout(60):
            assert await pool.call("op", os.getpid) != os.getpid()
    finally:
        await pool.close()
