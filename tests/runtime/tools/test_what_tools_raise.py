"""Whatever a tool raises is that tool's failure, with the user's line, wherever it runs; the process goes on."""

from __future__ import annotations

import asyncio
import inspect
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator import Retry, Workflow, loop, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.runner import Runner


class Gone(BaseException):
    """Not an ``Exception``."""


class Untold(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


class Leaves(Exception):
    def __str__(self) -> str:
        raise SystemExit("no text either")


def leave(how: str) -> int:
    """Raise something that is seldom meant for whoever calls."""
    if how == "exit":
        sys.exit("bad row")
    raise {
        "stop": StopIteration("nothing found"),
        "stop async": StopAsyncIteration(),
        "interrupt": KeyboardInterrupt(),
        "closed": GeneratorExit(),
        "cancelled": asyncio.CancelledError("not by us"),
        "own": Gone("for good"),
        "group": BaseExceptionGroup("several", [SystemExit(1)]),
        "untold": Untold(),
        "leaves": Leaves(),
    }[how]


@tool(effects="idempotent")
def in_a_thread(how: str) -> int:
    return leave(how)


@tool(effects="idempotent")
async def on_the_loop(how: str) -> int:
    return leave(how)


@tool(effects="idempotent")
async def later_on_the_loop(how: str) -> int:
    await asyncio.sleep(0)
    return leave(how)


@tool(effects="pure", cheap=True)
def inline(how: str) -> int:
    return leave(how)


@workflow
def threaded(how: str) -> int:
    return in_a_thread(how)


@workflow
def awaited(how: str) -> int:
    return on_the_loop(how)


@workflow
def awaited_later(how: str) -> int:
    return later_on_the_loop(how)


@workflow
def computed(how: str) -> int:
    return inline(how)


@workflow
def looped(how: str) -> int:
    return loop(lambda n: inline(how) + n, 0, max=3, until=lambda n: n > 3)


RAISED = {
    "exit": "SystemExit: bad row",
    "stop": "StopIteration: nothing found",
    "stop async": "StopAsyncIteration",
    "interrupt": "KeyboardInterrupt",
    "closed": "GeneratorExit",
    "own": "Gone: for good",
    "group": "BaseExceptionGroup: several",
    "untold": "Untold: (its text cannot be made: ValueError)",
    "leaves": "Leaves: (its text cannot be made: SystemExit)",
}


@tool(effects="idempotent")
async def goes_on(x: int) -> int:
    await asyncio.sleep(0.05)
    return x


@workflow
def other(x: int) -> int:
    return goes_on(x)


@pytest.mark.parametrize("how", [*RAISED, "cancelled"])
@pytest.mark.parametrize("flow", [threaded, awaited, awaited_later, computed, looped], ids=lambda flow: flow.name)
async def test_is_the_failure_of_that_op_and_of_no_other_run(flow: Workflow[..., Any], how: str) -> None:
    async with asyncio.timeout(20), Runner() as runtime:
        beside = asyncio.create_task(runtime.run(compile_workflow(other), {"x": 7}))
        with pytest.raises(RunError) as caught:
            await runtime.run(compile_workflow(flow), {"how": how})
        assert (await beside).value == 7
    problem = caught.value.diagnostics[0]
    assert problem.code == "ORCH-R001"
    assert RAISED.get(how, "not by us") in problem.message
    assert problem.where is not None
    assert problem.where.file == __file__
    if how != "cancelled":
        line = inspect.getsourcelines(leave)[1] + inspect.getsource(leave).splitlines().index(
            '        sys.exit("bad row")'
        )
        assert problem.why is not None
        assert "test_what_tools_raise.py" in problem.why
        assert (f":{line} in leave" in problem.why) == (how == "exit")


attempts: list[str] = []


@tool(effects="idempotent", retry=Retry(3, backoff_s=0, on=[SystemExit, StopIteration]))
def third_time(how: str) -> int:
    attempts.append(how)
    return 3 if len(attempts) == 3 else leave(how)


@workflow
def persistent(how: str) -> int:
    return third_time(how)


@pytest.mark.parametrize("how", ["exit", "stop"])
async def test_is_retried_by_its_type(how: str) -> None:
    attempts.clear()
    async with asyncio.timeout(20), Runner() as runtime:
        assert (await runtime.run(compile_workflow(persistent), {"how": how})).value == 3


INTERRUPTED = """
import asyncio, os, signal, sys, threading, time
from orchestrator import tool, workflow

@tool(effects="idempotent")
def blocks(x: int) -> int:
    print("working", flush=True)
    threading.Event().wait()
    return x

@tool(effects="idempotent")
async def waits(x: int) -> int:
    print("working", flush=True)
    await asyncio.Event().wait()
    return x

@workflow
def blocking(x: int) -> int:
    return blocks(x)

@workflow
def waiting(x: int) -> int:
    return waits(x)

@tool(effects="idempotent")
async def with_a_task(x: int) -> int:
    async def leaves() -> None:
        sys.exit("in a task")
    await asyncio.gather(leaves(), asyncio.sleep(0.01))
    return x

@workflow
def tasks(x: int) -> int:
    return with_a_task(x)

if __name__ == "__main__":
    try:
        print({"blocking": blocking, "waiting": waiting, "tasks": tasks}[sys.argv[1]](1))
    except KeyboardInterrupt:
        print("interrupted")
    except Exception as error:
        print(error.message)
"""


@pytest.mark.parametrize("which", ["blocking", "waiting"])
def test_a_real_interrupt_ends_the_run(tmp_path: Path, which: str) -> None:
    file = tmp_path / "interrupted.py"
    file.write_text(INTERRUPTED)
    process = subprocess.Popen([sys.executable, str(file), which], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "interrupted\n"


HANDLED = """
import asyncio
import signal
import sys
from functools import partial

from orchestrator import tool, workflow

def end(code: int, number: int, frame: object) -> None:
    sys.exit(code)

@tool(effects="pure", cheap=True)
def inline(x: int) -> int:
    signal.raise_signal(signal.SIGTERM)
    return x

@tool(effects="idempotent")
async def stepped(x: int) -> int:
    await asyncio.sleep(0)
    signal.raise_signal(signal.SIGTERM)
    return x

@workflow
def computing(x: int) -> int:
    return inline(x)

@workflow
def stepping(x: int) -> int:
    return stepped(x)

signal.signal(signal.SIGTERM, partial(end, 7))
{"computing": computing, "stepping": stepping}[sys.argv[1]](1)
"""


@pytest.mark.parametrize("which", ["computing", "stepping"])
def test_what_a_signals_handler_raises_is_no_failure_of_the_tool_that_it_interrupts(tmp_path: Path, which: str) -> None:
    file = tmp_path / "handled.py"
    file.write_text(HANDLED)
    done = subprocess.run([sys.executable, str(file), which], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (7, "")


def test_a_task_of_a_tool_that_exits_is_the_tools_failure(tmp_path: Path) -> None:
    file = tmp_path / "interrupted.py"
    file.write_text(INTERRUPTED)
    done = subprocess.run([sys.executable, str(file), "tasks"], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "`with_a_task_1` failed: SystemExit: in a task\n", done.stderr
