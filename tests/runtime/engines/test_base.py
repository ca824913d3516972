"""Usage that is known in part, and who hears that a request has left the queue."""

from __future__ import annotations

import asyncio
from functools import reduce
from operator import add

import pytest

from orchestrator.runtime.engines.base import Usage, complete, when_sent
from orchestrator.runtime.kv.replicas import ReplicaSet
from tests.runtime.kv.replica_sets import Flaky, ask, slots


@pytest.mark.parametrize(
    ("parts", "cached"),
    [([None, None], None), ([None, 3], 3), ([0, None, 4], 4), ([0, None], 0), ([], None)],
)
def test_a_sum_of_cached_tokens_is_over_what_is_known(parts: list[int | None], cached: int | None) -> None:
    total = reduce(add, (Usage(10, each, 2) for each in parts), Usage())
    assert total == Usage(10 * len(parts), cached, 2 * len(parts))


async def test_a_request_is_sent_when_its_program_has_a_slot() -> None:
    engine = ReplicaSet("one", [Flaky()], slots(1))
    told: list[str] = []

    async def call(program: str) -> None:
        with when_sent(lambda: told.append(program)):
            await complete(engine, ask(program, f"{program}/1"))

    async with engine.gates[0].turn("holder"):
        waiting = asyncio.create_task(call("late"))
        await asyncio.sleep(0.01)
        assert engine.gates[0].state.waiting == 1
        assert told == []
    engine.finish("holder")
    await waiting
    assert told == ["late"]
