"""Blocking tools: bounded for each tenant, written off when nobody waits, and never in anybody's way."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from contextvars import ContextVar
from pathlib import Path

import pytest

from orchestrator import map_, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.runner import Runner
from orchestrator.runtime.tools.threads import MOST_RUNNING, ToolThreads
from tests.awaiting import until


class Gate:
    """Work that goes on when it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.inside = self.most_inside = 0
        self._lock = threading.Lock()

    def __call__(self) -> str:
        with self._lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        assert self.may.wait(30)
        with self._lock:
            self.inside -= 1
        return "through"


async def test_a_tenant_has_so_many_threads_and_the_others_theirs() -> None:
    threads, gate = ToolThreads(most_running=3), Gate()
    calls = [asyncio.create_task(threads.call(gate, tenant="many")) for _ in range(10)]
    await until(lambda: gate.inside == 3)
    assert await threads.call(lambda: "at once", tenant="other") == "at once"
    gate.may.set()
    assert await asyncio.gather(*calls) == ["through"] * 10
    assert gate.most_inside == 3


async def test_who_waits_for_a_thread_is_served_in_order_and_may_leave() -> None:
    threads, gate, served = ToolThreads(most_running=1), Gate(), []
    first = asyncio.create_task(threads.call(gate))
    await until(lambda: gate.inside == 1)
    others = [asyncio.create_task(threads.call(lambda n=n: served.append(n))) for n in range(4)]
    await asyncio.sleep(0)
    others[1].cancel()
    gate.may.set()
    await asyncio.gather(first, *others, return_exceptions=True)
    assert served == [0, 2, 3]
    assert await threads.call(lambda: "free again") == "free again"


async def test_the_work_begins_when_there_is_a_thread() -> None:
    threads, gate, begun = ToolThreads(most_running=1), Gate(), []
    first = asyncio.create_task(threads.call(gate, began=lambda: begun.append("first")))
    second = asyncio.create_task(threads.call(lambda: None, began=lambda: begun.append("second")))
    await until(lambda: gate.inside == 1)
    assert begun == ["first"]
    gate.may.set()
    await asyncio.gather(first, second)
    assert begun == ["first", "second"]


async def test_a_call_that_nobody_waits_for_gives_its_place_to_the_next() -> None:
    threads, gate = ToolThreads(most_running=2, most_written_off=4), Gate()
    for _ in range(2):
        calls = [asyncio.create_task(threads.call(gate, tenant="t")) for _ in range(2)]
        inside = gate.inside + 2
        await until(lambda inside=inside: gate.inside == inside)  # type: ignore[misc]
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    with pytest.raises(RunError) as caught:
        await threads.call(lambda: "one more", tenant="t")
    assert caught.value.code == "ORCH-R040"
    assert "4 calls" in caught.value.message
    assert 'isolation="process"' in (caught.value.diagnostics[0].fix or "")
    assert await threads.call(lambda: "not mine", tenant="u") == "not mine"
    gate.may.set()
    await until(lambda: not threads._tenants)
    assert await threads.call(lambda: "they have ended", tenant="t") == "they have ended"


@pytest.mark.parametrize(
    "error", [StopIteration("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), KeyError(1)]
)
async def test_whatever_a_call_raises_is_its_outcome(error: BaseException) -> None:
    def work() -> None:
        raise error

    threads = ToolThreads()
    with pytest.raises(RuntimeError if isinstance(error, StopIteration) else type(error)):
        async with asyncio.timeout(20):
            await threads.call(work)
    assert await threads.call(lambda: 1) == 1


async def test_the_copy_of_a_process_that_a_tool_forks_does_not_go_on_with_the_run() -> None:
    def fork() -> int:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        return child

    threads = ToolThreads()
    async with asyncio.timeout(20):
        assert await threads.call(fork) > 0


async def test_idle_threads_are_used_again_and_end_with_the_pool() -> None:
    threads = ToolThreads()
    names = {await threads.call(lambda: threading.current_thread().name) for _ in range(5)}
    assert len(names) == 1
    threads.close()
    await until(lambda: not any(each.name in names for each in threading.enumerate()))


who: ContextVar[str] = ContextVar("who", default="nobody")


@tool(effects="idempotent")
def ask_who(n: int) -> str:
    return f"{who.get()} {n}"


@workflow
def asks(n: int) -> str:
    return ask_who(n)


async def test_tools_in_threads_see_the_context_of_their_run() -> None:
    async with Runner() as runtime:
        token = who.set("me")
        try:
            assert (await runtime.run(compile_workflow(asks), {"n": 1})).value == "me 1"
        finally:
            who.reset(token)


@tool(effects="idempotent", timeout=1)
def in_turn(n: int) -> int:
    """Takes 50 ms, and there are many more calls than threads."""
    threading.Event().wait(0.05)
    return n


@workflow
def queue(ns: list[int]) -> list[int]:
    return map_(in_turn, ns, limit=1000)


async def test_waiting_for_a_thread_is_not_the_time_of_the_op() -> None:
    ns = list(range(MOST_RUNNING * 30))  # 1.5 s of work for each thread
    async with Runner() as runtime:
        assert (await runtime.run(compile_workflow(queue), {"ns": ns})).value == ns


HANGS = """
import threading
from orchestrator import tool, workflow

@tool(effects="idempotent", timeout=0.1)
def hang(x: int) -> int:
    threading.Event().wait()
    return x

@tool(effects="idempotent", timeout=0.1)
async def hang_in_a_thread(x: int) -> int:
    import asyncio
    await asyncio.to_thread(threading.Event().wait)
    return x

@workflow
def flow(x: int) -> int:
    return hang(x)

@workflow
def other(x: int) -> int:
    return hang_in_a_thread(x)

if __name__ == "__main__":
    for each in (flow, other):
        try:
            each(1)
        except Exception as error:
            print(error.code)
"""


def test_a_tool_that_hangs_keeps_no_process(tmp_path: Path) -> None:
    file = tmp_path / "hangs.py"
    file.write_text(HANGS)
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.split(), done.returncode) == (["ORCH-R004"] * 2, 0), done.stderr
    command = [sys.executable, "-m", "orchestrator.cli.main", "run", f"{file}:flow", "-i", "x=1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "ORCH-R004" in done.stderr) == (1, True), done.stderr


async def test_a_tenant_is_forgotten_when_the_last_call_that_it_gave_up_has_ended() -> None:
    threads, gate = ToolThreads(), Gate()
    call = asyncio.create_task(threads.call(gate, tenant="acme"))
    await until(lambda: gate.inside == 1)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert threads._tenants
    gate.may.set()
    await until(lambda: not threads._tenants)
