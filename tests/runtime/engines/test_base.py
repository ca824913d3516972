"""Usage that is known in part, and who hears that a request has left the queue."""

from __future__ import annotations

import asyncio
from functools import reduce
from operator import add

import pytest

from orchestrator.runtime.engines.base import Usage, complete, held, sent, when_sent
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.kv.replicas import ReplicaSet
from orchestrator.runtime.program.builder import RegionBuilder
from orchestrator.runtime.program.program import Program
from orchestrator.runtime.program.specs import Generate, Policy
from orchestrator.runtime.runner import Runner
from tests.awaiting import until
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
        await until(lambda: engine.gates[0].state.waiting == 1)
        assert told == []
    engine.finish("holder")
    await waiting
    assert told == ["late"]


def test_who_waits_for_a_request_hears_when_it_is_sent_and_when_it_is_held_back() -> None:
    told: list[str] = []
    with when_sent(lambda: told.append("sent"), lambda: told.append("held")):
        sent()  # to a replica that refuses
        held()
        sent()  # to another
    sent()
    held()
    assert told == ["sent", "held", "sent"]


async def test_the_timeout_of_a_call_does_not_count_its_place_in_the_queue() -> None:
    """The second program waits for longer than its own timeout while the first one has the only slot."""
    engine = ReplicaSet("main", [ScriptedEngine(lambda _: "yes")], slots(1))
    body = RegionBuilder("", 1)
    (reply,) = body.suspend("op", Generate("default", None), body.args, types=[str], policy=Policy(timeout_s=0.05))
    program = Program("test", "hash", ("x",), body.finish([reply]), str)
    async with Runner({"main": engine}) as runtime:
        async with engine.gates[0].turn("holder"):
            late = asyncio.create_task(runtime.run_program(program, ("ask",)))
            while not engine.gates[0].state.waiting:
                await asyncio.sleep(0)
            await asyncio.sleep(0.1)
            assert not late.done()
        engine.finish("holder")
        assert (await late).value == "yes"
