"""A replica that is drained ends what it has and refuses what is new; how it is shared is the business of who asks."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from orchestrator.dsl.models.messages import Message
from orchestrator.errors import EngineError
from orchestrator.planner.cluster import EngineSpec
from orchestrator.runtime.deploy.layout import layout_of
from orchestrator.runtime.deploy.replica import Identity, ReplicaHost
from orchestrator.runtime.engines.base import GenerateRequest
from orchestrator.runtime.engines.sim import SimEngine
from tests.runtime.deploy.plans import plan, vllm


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> ReplicaHost:
    monkeypatch.setattr(sys, "path", list(sys.path))
    options: dict[str, Any] = {"time_scale": 0.05, "policy": "round-robin+fcfs", "tenants": {"team": 2}}
    return ReplicaHost(EngineSpec(name="main", kind="sim", model="m", options=options))


def ask(name: str) -> GenerateRequest:
    return GenerateRequest(name, "m", (Message("user", "how many?"),))


async def tokens(host: ReplicaHost, name: str) -> int:
    return sum([chunk.tokens async for chunks in host.generate(ask(name)) for chunk in chunks])


async def test_a_drained_replica_ends_what_it_has_and_refuses_what_is_new(host: ReplicaHost) -> None:
    running = asyncio.create_task(tokens(host, "early"))
    while not host._under_way:
        await asyncio.sleep(0)
    drained = asyncio.create_task(host.drain())
    while not await host.is_leaving():
        await asyncio.sleep(0)
    with pytest.raises(EngineError, match="ORCH-E013") as refused:
        await tokens(host, "late")
    assert refused.value.diagnostics[0].fix
    assert (drained.done(), await running > 0) == (False, True)
    await drained
    await host.drain()


async def test_an_aborted_call_leaves_nothing_to_wait_for(host: ReplicaHost) -> None:
    running = asyncio.create_task(tokens(host, "early"))
    while not host._under_way:
        await asyncio.sleep(0)
    running.cancel()
    await host.drain()


def test_the_engine_in_a_replica_has_no_queue_of_programs_in_front(host: ReplicaHost) -> None:
    assert isinstance(host._engine, SimEngine)


@pytest.mark.parametrize("name", ["main", "a/b", "größe 7"])
def test_a_replica_is_known_by_its_name(name: str) -> None:
    (group,) = layout_of(plan([vllm(name)])).groups
    made = Identity.new(group)
    assert Identity.read(made.name) == made
    assert made != Identity.new(group)
    assert Identity.read("keeper") is None
