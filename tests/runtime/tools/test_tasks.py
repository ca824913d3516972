"""Tasks that tools start on the user's own event loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.runner import Runner


async def _leaves(how: str) -> int:
    await asyncio.sleep(0)
    if how == "exit":
        sys.exit("from within")
    if how == "interrupt":
        raise KeyboardInterrupt("by hand")
    return 7


@tool(effects="idempotent")
async def gathers(how: str) -> int:
    return sum(await asyncio.gather(_leaves(how), asyncio.sleep(0.01, 0)))


@tool(effects="idempotent")
async def groups(how: str) -> int:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_leaves(how), name="leaving")
    return task.result()


@tool(effects="idempotent")
async def forgets(how: str) -> int:
    asyncio.create_task(_leaves(how)).add_done_callback(lambda task: task.exception())
    await asyncio.sleep(0.01)
    return 1


@workflow
def gathering(how: str) -> int:
    return gathers(how)


@workflow
def grouping(how: str) -> int:
    return groups(how)


@workflow
def forgetting(how: str) -> int:
    return forgets(how)


@pytest.mark.parametrize(("how", "said"), [("exit", "SystemExit: from within"), ("interrupt", "by hand")])
async def test_a_task_that_leaves_is_its_tools_failure(how: str, said: str) -> None:
    async with Runner() as runtime:
        with pytest.raises(RunError) as caught:
            await runtime.run(compile_workflow(gathering), {"how": how})
        assert caught.value.code == "ORCH-R001"
        assert said in caught.value.message
        assert "test_tasks.py" in (caught.value.diagnostics[0].why or "")
        with pytest.raises(RunError, match="ExceptionGroup"):
            await runtime.run(compile_workflow(grouping), {"how": how})
        assert (await runtime.run(compile_workflow(forgetting), {"how": how})).value == 1


async def test_tasks_of_tools_are_otherwise_as_they_were() -> None:
    async with Runner() as runtime:
        for flow in (gathering, grouping):
            assert (await runtime.run(compile_workflow(flow), {"how": "stay"})).value == 7


async def test_the_users_own_task_factory_is_kept() -> None:
    made: list[str] = []

    def factory(loop: asyncio.AbstractEventLoop, work: object, **options: object) -> asyncio.Task[object]:
        made.append(getattr(work, "__name__", ""))
        return asyncio.Task(work, loop=loop, **options)  # type: ignore[arg-type]

    asyncio.get_running_loop().set_task_factory(factory)  # type: ignore[arg-type]
    async with Runner() as runtime:
        assert (await runtime.run(compile_workflow(grouping), {"how": "stay"})).value == 7
    assert "_leaves" in made


SCRIPT = """
import asyncio, sys

async def leaves():
    sys.exit(3)

async def main():
    asyncio.create_task(leaves())
    await asyncio.sleep(5)

import orchestrator.runtime.tools.tasks as tasks

async def contained():
    tasks.contain_tasks(asyncio.get_running_loop())
    await main()

asyncio.run(contained())
"""


def test_a_task_of_the_users_own_may_still_leave(tmp_path: Path) -> None:
    file = tmp_path / "leaves.py"
    file.write_text(SCRIPT)
    assert subprocess.run([sys.executable, str(file)], capture_output=True, timeout=60, check=False).returncode == 3


LEAVES_AFTERWARDS = """
import asyncio, sys
from orchestrator import tool, workflow
from orchestrator.compiler import compile
from orchestrator.runtime.runner import Runner

@tool(effects="idempotent")
async def find(n: int) -> int:
    return n

@workflow
def flow(n: int) -> int:
    return find(n)

async def leave() -> None:
    sys.exit(3)

async def main() -> None:
    async with Runner() as runtime:
        await runtime.run(compile(flow), {"n": 1})
    await asyncio.create_task(leave())

asyncio.run(main())
"""


def test_a_task_that_the_program_starts_after_a_run_is_its_own(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(LEAVES_AFTERWARDS)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3, done.stderr
    assert not done.stderr
