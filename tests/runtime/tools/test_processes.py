"""The pool of workers: whom each serves, how many there are, and that none outlives its use."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from pathlib import Path

import pytest

from orchestrator import map_, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.runner import Runner
from orchestrator.runtime.tools.processes import ToolProcesses
from tests.awaiting import is_running, until
from tests.runtime.tools import isolated
from tests.runtime.tools.calling import outcome
from tests.runtime.tools.isolated import count, hang


@workflow
def counts(times: int) -> list[tuple[int, int]]:
    return [count(times), count(times)]


@workflow
def hangs(folder: str) -> int:
    return hang(folder)


@tool(effects="idempotent", isolation="process")
def own_pid(n: int) -> int:
    return os.getpid()


@workflow
def pids(ns: list[int]) -> list[int]:
    return map_(own_pid, ns, limit=100)


async def test_the_plan_says_where_it_runs() -> None:
    assert [op.place for op in compile_workflow(hangs).plan.ops if op.what.startswith("hang")] == ["process"]


async def test_a_module_is_made_once_in_a_worker_and_none_of_it_here() -> None:
    async with Runner() as runtime:
        (_, first), (total, second) = await outcome(runtime, counts, 3)
        assert first != os.getpid()
        assert isolated.calls == 0
        (more, third), _ = await outcome(runtime, counts, 3)
    assert len({first, second, third}) < 3  # a worker was used again
    assert more > 3 or total > 3


async def test_so_many_at_once_and_a_worker_serves_one_tenant_only() -> None:
    processes = ToolProcesses(most_running=2)
    try:
        ours = await asyncio.gather(*(processes.call("f", os.getpid, tenant="us") for _ in range(8)))
        theirs = await asyncio.gather(*(processes.call("f", os.getpid, tenant="them") for _ in range(8)))
    finally:
        await processes.close()
    assert len(set(ours)) <= 2
    assert not set(ours) & set(theirs)


async def test_a_map_over_isolated_tools_uses_few_processes() -> None:
    async with Runner() as runtime:
        found = await outcome(runtime, pids, list(range(60)))
    assert 1 <= len(set(found)) <= max(4, os.cpu_count() or 1)


async def test_a_worker_that_died_while_it_had_nothing_to_do_is_replaced() -> None:
    processes = ToolProcesses()
    try:
        for _ in range(3):
            pid = await processes.call("f", os.getpid)
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: not is_running(pid))  # type: ignore[misc]
    finally:
        await processes.close()


async def test_a_call_that_takes_too_long_is_killed_with_what_it_has_started(tmp_path: Path) -> None:
    async with Runner() as runtime:
        with pytest.raises(RunError) as caught:
            await outcome(runtime, hangs, str(tmp_path))
        assert caught.value.code == "ORCH-R004"
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        await until(lambda: not any(map(is_running, pids)))


@pytest.mark.parametrize("is_prepared", [False, True])
@pytest.mark.parametrize("is_working", [False, True])
async def test_closing_ends_the_calls_that_are_under_way(is_working: bool, is_prepared: bool) -> None:
    processes, began = ToolProcesses(), asyncio.Event()
    if is_prepared:
        processes.prepare()
    call = asyncio.create_task(processes.call("op", signal.pause, began=began.set))
    await (began.wait() if is_working else asyncio.sleep(0))
    await processes.close()
    async with asyncio.timeout(60):
        with pytest.raises(RunError) as caught:
            await call
    assert caught.value.code == ("ORCH-R041" if is_working else "ORCH-R044")


async def test_no_process_outlives_its_runtime() -> None:
    async with Runner() as runtime:
        pids = {pid for _, pid in await outcome(runtime, counts, 1)}
        assert all(map(is_running, pids))
    assert not any(map(is_running, pids))


async def test_workers_of_a_runtime_that_nobody_closes_end_with_it() -> None:
    processes = ToolProcesses()
    pid = await processes.call("f", os.getpid)
    del processes
    gc.collect()
    await until(lambda: not is_running(pid))
