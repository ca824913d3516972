"""Isolated tools: whatever they do ends in their process, and whatever ends them leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Retry, map_, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.raised import raised_at
from orchestrator.runtime.run import Runtime
from orchestrator.runtime.tools import processes, worker_process
from orchestrator.runtime.tools.processes import ToolProcesses
from tests.runtime.tools import isolated
from tests.runtime.tools.isolated import Row, count, fill, hang, misbehave, rows


@workflow
def counts(times: int) -> list[tuple[int, int]]:
    return [count(times), count(times)]


@workflow
def named(names: list[str]) -> list[Row]:
    return rows(names)


@workflow
def misbehaves(how: str) -> Any:
    return misbehave(how)


@workflow
def refuses(how: str) -> Any:
    return misbehave.options(retry=Retry(2, backoff_s=0, on=[isolated.Refused]))(how)


@workflow
def fills(mib: int) -> int:
    return fill(mib)


@workflow
def hangs(folder: str) -> int:
    return hang(folder)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def outcome(runtime: Runtime, flow: Any, value: object) -> Any:
    (name,) = flow.boundary.params
    async with asyncio.timeout(60):
        return (await runtime.run(compile_workflow(flow), {name: value})).value


async def test_the_plan_says_where_it_runs() -> None:
    assert [op.place for op in compile_workflow(named).plan.ops if op.what.startswith("rows")] == ["process"]


async def test_a_module_is_made_once_in_a_worker_and_none_of_it_here() -> None:
    async with Runtime() as runtime:
        (_, first), (total, second) = await outcome(runtime, counts, 3)
        assert first != os.getpid()
        assert isolated.calls == 0
        (more, third), _ = await outcome(runtime, counts, 3)
    assert len({first, second, third}) < 3  # a worker was used again
    assert more > 3 or total > 3


async def test_async_tools_and_models_work() -> None:
    async with Runtime() as runtime:
        assert await outcome(runtime, named, ["a", "b"]) == [Row(name="a", n=0), Row(name="b", n=1)]


async def test_an_exception_keeps_its_type_its_text_and_its_line() -> None:
    async with Runtime() as runtime:
        with pytest.raises(RunError) as caught:
            await outcome(runtime, refuses, "refuse")
    problem, cause = caught.value.diagnostics[0], caught.value.__cause__
    assert (problem.code, problem.message) == ("ORCH-R001", "`misbehave_1` failed: Refused: 404: gone")
    assert type(cause) is isolated.Refused
    assert cause.status == 404
    assert "isolated.py" in (problem.why or "")
    assert "raise Refused(404" in cause.__notes__[0]


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("loaded", "ORCH-R001", "Loaded: ('holds a lock', <unlocked _thread.lock"),
        ("exit", "ORCH-R001", "SystemExit: bad row"),
        ("stop", "ORCH-R001", "StopIteration"),
        ("die", "ORCH-R041", "ended with exit code 7"),
        ("crash", "ORCH-R041", "killed by SIGSEGV"),
        ("lock", "ORCH-R043", "cannot pickle '_thread.lock' object"),
    ],
)
async def test_whatever_it_does_is_its_own_failure(how: str, code: str, said: str) -> None:
    async with Runtime() as runtime:
        with pytest.raises(RunError) as caught:
            await outcome(runtime, misbehaves, how)
        assert caught.value.code == code
        assert said in str(caught.value)
        assert "test_processes.py" in str(caught.value.diagnostics[0].where)
        assert await outcome(runtime, misbehaves, "nothing") is None


async def test_what_a_call_leaves_behind_is_put_back() -> None:
    async with Runtime() as runtime:
        here = await outcome(runtime, misbehaves, "where")
        for how in ("move", "print", "fork"):
            assert await outcome(runtime, misbehaves, how) is None
        assert await outcome(runtime, misbehaves, "where") == here == (str(Path.cwd()), None)


async def test_memory_is_bounded() -> None:
    async with Runtime() as runtime:
        assert await outcome(runtime, fills, 20) == 20 << 20
        with pytest.raises(RunError, match="more than its 200 MiB") as caught:
            await outcome(runtime, fills, 400)
        assert caught.value.code == "ORCH-R042"
        assert await outcome(runtime, fills, 20) == 20 << 20


async def test_a_call_that_takes_too_long_is_killed_with_what_it_has_started(tmp_path: Path) -> None:
    async with Runtime() as runtime:
        with pytest.raises(RunError) as caught:
            await outcome(runtime, hangs, str(tmp_path))
        assert caught.value.code == "ORCH-R004"
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        await until(lambda: not any(map(is_running, pids)))


async def test_no_process_outlives_its_runtime() -> None:
    async with Runtime() as runtime:
        pids = {pid for _, pid in await outcome(runtime, counts, 1)}
        assert all(map(is_running, pids))
    assert not any(map(is_running, pids))


async def test_workers_of_a_runtime_that_nobody_closes_end_with_it() -> None:
    processes = ToolProcesses()
    pid = await processes.call("f", os.getpid)
    del processes
    gc.collect()
    await until(lambda: not is_running(pid))


async def test_so_many_at_once_and_a_worker_serves_one_tenant_only() -> None:
    processes = ToolProcesses(most_running=2)
    try:
        ours = await asyncio.gather(*(processes.call("f", os.getpid, tenant="us") for _ in range(8)))
        theirs = await asyncio.gather(*(processes.call("f", os.getpid, tenant="them") for _ in range(8)))
    finally:
        await processes.close()
    assert len(set(ours)) <= 2
    assert not set(ours) & set(theirs)


async def test_a_worker_that_died_while_it_had_nothing_to_do_is_replaced() -> None:
    processes = ToolProcesses()
    try:
        for _ in range(3):
            pid = await processes.call("f", os.getpid)
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: not is_running(pid))  # type: ignore[misc]
    finally:
        await processes.close()


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


@pytest.mark.parametrize("is_working", [False, True])
async def test_closing_ends_the_calls_that_are_under_way(is_working: bool) -> None:
    processes, began = ToolProcesses(), asyncio.Event()
    call = asyncio.create_task(processes.call("op", signal.pause, began=began.set))
    await (began.wait() if is_working else asyncio.sleep(0))
    await processes.close()
    async with asyncio.timeout(60):
        with pytest.raises(RunError) as caught:
            await call
    assert caught.value.code == ("ORCH-R041" if is_working else "ORCH-R044")


async def test_nested_functions_travel_and_what_they_hold_must() -> None:
    processes, more, lock = ToolProcesses(), 2, threading.Lock()
    try:
        assert await processes.call("f", lambda x: x + more, (3,)) == 5
        with pytest.raises(RunError, match="the function of `f`") as caught:
            await processes.call("f", lambda: lock)
        with pytest.raises(RunError, match="an argument of `f`"):
            await processes.call("f", id, (lock,))
        with pytest.raises(ZeroDivisionError) as raised:
            await processes.call("f", lambda x: x / 0, (1,))
    finally:
        await processes.close()
    assert caught.value.code == "ORCH-R043"
    assert f'File "{__file__}"' in raised.value.__notes__[0]
    where = raised_at(raised.value)
    assert where is not None
    assert (where.file, where.function) == (__file__, "<lambda>")


SCRIPT = """
import os, sys, time
from pydantic import BaseModel
from orchestrator import tool, workflow

class Found(BaseModel):
    n: int

class Odd(ValueError):
    pass

@tool(effects="idempotent", isolation="process")
def find(n: int) -> Found:
    print("noise of a tool", flush=True)
    if n % 2:
        raise Odd(n)
    return Found(n=n)

@workflow
def flow(n: int) -> Found:
    return find(n)

@tool(effects="idempotent", isolation="process")
def wait(n: int) -> int:
    print(os.getpid(), file=sys.stderr, flush=True)
    time.sleep(600)
    return n

@workflow
def waits(n: int) -> int:
    return wait(n)

if sys.argv[1:] == ["waits"]:
    waits(1)
if __name__ == "__main__":
    print(repr(flow(2)), isinstance(flow(2), Found))
    try:
        flow(3)
    except Exception as error:
        print(type(error.__cause__) is Odd)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    return file


def test_a_script_needs_no_guard_and_its_classes_come_back(script: Path) -> None:
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "Found(n=2) True\nTrue\n", done.stderr
    assert "noise of a tool" in done.stderr


def test_what_tools_print_does_not_mix_with_results(script: Path) -> None:
    command = [sys.executable, "-m", "orchestrator.cli.main", "run", f"{script}:flow", "-i", "n=4", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.startswith("{"), done.stderr
    assert "noise of a tool" in done.stderr


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
async def test_workers_end_with_their_parent_however_it_ends(script: Path, how: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, str(script), "waits"], stderr=subprocess.PIPE, text=True)
    assert parent.stderr is not None
    worker = int(parent.stderr.readline())
    parent.send_signal(how)
    parent.wait(60)
    await until(lambda: not is_running(worker))
    parent.stderr.close()


@tool(effects="idempotent", isolation="process")
def own_pid(n: int) -> int:
    return os.getpid()


@workflow
def pids(ns: list[int]) -> list[int]:
    return map_(own_pid, ns, limit=100)


async def test_a_map_over_isolated_tools_uses_few_processes() -> None:
    async with Runtime() as runtime:
        found = await outcome(runtime, pids, list(range(60)))
    assert 1 <= len(set(found)) <= max(4, os.cpu_count() or 1)


SLOW_MODULE = """
import os, time
from orchestrator import tool, workflow

if "ORCH_TOOL_PROCESS" in os.environ:
    time.sleep(1.5)

@tool(effects="idempotent", isolation="process", timeout=1)
def ready(x: int) -> int:
    return x

@workflow
def flow(x: int) -> int:
    return ready(x)
"""


async def test_importing_its_module_is_not_the_time_of_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_to_import.py").write_text(SLOW_MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("slow_to_import")
    async with Runtime() as runtime:
        assert await outcome(runtime, module.flow, 3) == 3


NAMED_TYPES = """
from typing import Annotated, NewType, TypeAlias

from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from orchestrator import tool, workflow

Id = NewType("Id", int)
Count = TypeAliasType("Count", int)
Names = TypeAliasType("Names", list[str])
Positive = Annotated[int, Field(gt=0)]
Word: TypeAlias = "str"


class Row(BaseModel):
    id: Id
    count: Count
    names: Names


@tool(effects="pure", isolation="process")
def row(id: Id, count: Count, least: Positive) -> Row:
    return Row(id=id, count=count, names=["a"])


@tool(effects="pure", isolation="process")
def first(row: Row) -> Word:
    return row.names[0]


@workflow
def flow(n: Id) -> str:
    return first(row(n, n, n))


if __name__ == "__main__":
    print(flow(Id(3)))
"""


def test_a_script_may_name_its_types(tmp_path: Path) -> None:
    file = tmp_path / "named.py"
    file.write_text(NAMED_TYPES)
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "a\n", done.stderr


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


def leave_note(file: str) -> None:
    Path(file).touch()
    time.sleep(600)


class Slow:
    """A function that takes long to arrive."""

    def __call__(self) -> None: ...

    def __setstate__(self, state: object) -> None:
        time.sleep(600)

    def __getstate__(self) -> object:
        return "anything"


async def test_a_path_object_on_pythons_path_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Python ignores what is no string there, and scripts put such things there all the same."""
    monkeypatch.setattr(sys, "path", [*sys.path, tmp_path, b"bytes"])
    processes = ToolProcesses()
    assert await processes.call("op", divmod, (7, 2)) == (3, 1)
    await processes.close()
