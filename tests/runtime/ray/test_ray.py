"""Ray on demand, and tools in its workers."""

from __future__ import annotations

import os

import pytest

from orchestrator.errors import EngineError
from orchestrator.runtime.ray.session import RaySession, connect
from orchestrator.runtime.ray.tools import RayTools

pytestmark = [pytest.mark.ray, pytest.mark.asyncio(loop_scope="session")]


def pid_and_sum(a: int, b: int) -> tuple[int, int]:
    return os.getpid(), a + b


def fail() -> None:
    raise LookupError("no such row")


async def test_a_task_runs_in_another_process(ray_session: RaySession) -> None:
    pid, total = await RayTools().call("add", "ray-task", pid_and_sum, (1,), {"b": 2})
    assert total == 3
    assert pid != os.getpid()


async def test_an_actor_tool_keeps_its_process(ray_session: RaySession) -> None:
    tools = RayTools()
    first = await tools.call("add", "ray-actor", pid_and_sum, (1, 2), {})
    assert await tools.call("add", "ray-actor", pid_and_sum, (1, 2), {}) == first
    tools.close()


@pytest.mark.parametrize("place", ["ray-task", "ray-actor"])
async def test_exceptions_come_back_as_they_were(ray_session: RaySession, place: str) -> None:
    with pytest.raises(LookupError, match="no such row"):
        await RayTools().call("fail", place, fail, (), {})


async def test_it_listens_on_loopback_only_and_writes_no_token(ray_session: RaySession) -> None:
    assert ray_session.address.startswith("127.0.0.1:")
    assert connect().owned is False


async def test_another_address_while_connected_is_an_error(ray_session: RaySession) -> None:
    with pytest.raises(EngineError) as caught:
        connect("192.0.2.1:6379")
    assert caught.value.code == "ORCH-E007"
