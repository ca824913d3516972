"""Workflows whose tools are placed on Ray, run to the end with a real Ray."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from orchestrator import Retry, attempt, map_, tool, workflow
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.program.specs import ToolCall
from orchestrator.runtime.ray.session import RaySession
from orchestrator.runtime.ray.tools import RayTools
from orchestrator.runtime.result import RunResult
from orchestrator.runtime.runner import Runner
from tests.awaiting import is_running, until

pytestmark = [pytest.mark.ray, pytest.mark.asyncio(loop_scope="session")]


def placed(flow: object, *places: str) -> Compiled:
    """A compiled workflow whose tools are placed as given, in order."""
    compiled = compile_workflow(flow)  # type: ignore[arg-type]
    left = list(places)
    for region in compiled.program.regions.values():
        for op in region.ops():
            if isinstance(op.spec, ToolCall):
                object.__setattr__(op.spec, "place", left.pop(0))
    assert not left
    return compiled


async def run(compiled: Compiled, **inputs: object) -> RunResult:
    tools = RayTools()
    try:
        async with Runner(ray=tools) as runtime:
            return await runtime.run(compiled, inputs)
    finally:
        tools.close()


@tool(effects="idempotent")
def doubled(number: int) -> list[int]:
    return [os.getpid(), 2 * number]


@tool(effects="idempotent")
def counted(row: list[int]) -> list[int]:
    return [*row, os.getpid()]


@workflow
def chained(number: int) -> list[int]:
    return counted(doubled(number))


async def test_a_task_and_an_actor(ray_session: RaySession) -> None:
    result = await run(placed(chained, "ray-task", "ray-actor"), number=21)
    task_pid, total, actor_pid = result.value
    assert total == 42
    assert len({task_pid, actor_pid, os.getpid()}) == 3
    assert [record.place for record in result.ops] == ["ray-task", "ray-actor"]


@workflow
def spread(numbers: list[int]) -> list[list[int]]:
    return map_(doubled, numbers, limit=8)


async def test_calls_of_an_actor_tool_share_its_process(ray_session: RaySession) -> None:
    result = await run(placed(spread, "ray-actor"), numbers=[1, 2, 3, 4])
    assert [row[1] for row in result.value] == [2, 4, 6, 8]
    assert len({row[0] for row in result.value}) == 1


@tool(effects="idempotent")
def refuses(number: int) -> int:
    raise LookupError(f"no row {number}")


@workflow
def refused(number: int) -> int:
    return refuses(number)


@pytest.mark.parametrize("place", ["ray-task", "ray-actor"])
async def test_an_error_names_the_users_line(ray_session: RaySession, place: str) -> None:
    with pytest.raises(RunError, match="no row 7") as failed:
        await run(placed(refused, place), number=7)
    only = failed.value.diagnostics[0]
    assert only.code == "ORCH-R001"
    assert only.where is not None
    assert only.where.file == __file__


@tool(effects="idempotent")
def sleeps(file: str) -> int:
    Path(file).write_text(str(os.getpid()))
    time.sleep(600)
    return 0


@workflow
def sleeping(file: str) -> int:
    return sleeps(file)


@workflow
def timed(file: str) -> int:
    return sleeps.options(timeout=3)(file)


@tool(effects="idempotent", timeout=1)
def quick(number: int) -> int:
    return number + 1


@workflow
def quickly(number: int) -> int:
    return quick(number)


def holds_a_cpu(file: str) -> None:
    while not Path(file).exists():
        time.sleep(0.05)


async def test_waiting_for_a_free_cpu_is_not_the_tools_time(ray_session: RaySession, tmp_path: Path) -> None:
    import ray

    holders = [ray.remote(holds_a_cpu).remote(str(tmp_path / "free")) for _ in range(2)]
    running = asyncio.create_task(run(placed(quickly, "ray-task"), number=1))
    await asyncio.wait([running], timeout=3)
    (tmp_path / "free").touch()
    assert (await running).value == 2
    await asyncio.gather(*holders)


async def written(file: Path) -> int:
    await until(lambda: file.exists() and file.read_text() != "")
    return int(file.read_text())


@pytest.mark.parametrize("place", ["ray-task", "ray-actor"])
async def test_a_timeout_ends_the_worker(ray_session: RaySession, tmp_path: Path, place: str) -> None:
    file = tmp_path / "pid"
    with pytest.raises(RunError) as failed:
        await run(placed(timed, place), file=str(file))
    assert failed.value.code == "ORCH-R004"
    pid = int(file.read_text())
    await until(lambda: not is_running(pid))


@pytest.mark.parametrize("place", ["ray-task", "ray-actor"])
async def test_cancelling_a_run_ends_the_worker(ray_session: RaySession, tmp_path: Path, place: str) -> None:
    running = asyncio.create_task(run(placed(sleeping, place), file=str(tmp_path / "pid")))
    pid = await written(tmp_path / "pid")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: not is_running(pid))


@tool(effects="idempotent", retry=2)
def dies_once(file: str) -> int:
    if not Path(file).exists():
        Path(file).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 1


@tool(effects="idempotent")
def dies(file: str) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 1


@workflow
def fragile(file: str) -> int:
    return dies_once(file)


@workflow
def doomed(file: str) -> int:
    return dies(file)


@pytest.mark.parametrize("place", ["ray-task", "ray-actor"])
async def test_a_killed_worker_is_retried_as_the_policy_says(
    ray_session: RaySession, tmp_path: Path, place: str
) -> None:
    result = await run(placed(fragile, place), file=str(tmp_path / "marker"))
    assert result.value == 1
    assert [record.attempts for record in result.ops] == [2]
    with pytest.raises(RunError) as failed:
        await run(placed(doomed, place), file="")
    assert failed.value.code == "ORCH-R041"


SCRIPT = """
from dataclasses import dataclass
from orchestrator import tool, workflow

OFFSET = 40

@dataclass
class Row:
    number: int

@tool(effects="idempotent")
def moved(number: int) -> int:
    return Row(number + OFFSET).number

@workflow
def script(number: int) -> int:
    return moved(number)
"""


@pytest.mark.parametrize("place", ["ray-task", "ray-actor"])
async def test_tools_of_a_file_that_no_worker_can_import(ray_session: RaySession, tmp_path: Path, place: str) -> None:
    file = tmp_path / "a_script.py"
    file.write_text(SCRIPT)
    name = f"orch_target_{place.replace('-', '_')}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    try:
        assert (await run(placed(module.script, place), number=2)).value == 42
    finally:
        del sys.modules[name]


class Refused(Exception):
    """Its constructor takes something else than its arguments, and it holds what cannot be pickled."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.lock = threading.Lock()


@tool(effects="idempotent")
def refuses_or_leaves(how: str) -> int:
    if how == "leave":
        sys.exit("bad row")
    raise Refused(404, "gone")


@workflow
def refusing(how: str) -> int:
    return refuses_or_leaves.options(retry=Retry(2, backoff_s=0, on=[Refused]))(how)


@pytest.mark.parametrize("place", ["ray-task", "ray-actor"])
async def test_exceptions_keep_their_type_and_line(ray_session: RaySession, place: str) -> None:
    with pytest.raises(RunError) as failed:
        await run(placed(refusing, place), how="refuse")
    problem, cause = failed.value.diagnostics[0], failed.value.__cause__
    assert (problem.code, problem.message) == ("ORCH-R001", "`refuses_or_leaves_1` failed: Refused: 404: gone")
    assert type(cause).__name__ == "Refused"
    assert getattr(cause, "status", None) == 404
    assert "in refuses_or_leaves" in (problem.why or "")
    with pytest.raises(RunError, match="SystemExit: bad row") as left:
        await run(placed(refusing, place), how="leave")
    assert left.value.code == "ORCH-R001"


class ApiError(FileNotFoundError):
    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")


@tool(effects="idempotent")
def denies(number: int) -> int:
    raise ApiError(number)


@workflow
def denied(number: int) -> list[str]:
    by_base = attempt(lambda: f"{denies(number)}", lambda error: f"{error.message} {error.kind}", catching=OSError)
    return [by_base, attempt(lambda: f"{denies(number)}", lambda error: error.bases[0], catching=ApiError)]


async def test_a_failure_on_ray_is_caught_by_its_class_and_a_base_of_it(ray_session: RaySession) -> None:
    result = await run(placed(denied, "ray-task", "ray-task"), number=404)
    assert result.value == [f"status 404 {__name__}.ApiError", "builtins.FileNotFoundError"]
