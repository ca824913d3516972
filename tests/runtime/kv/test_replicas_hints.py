"""Hints besides turns: each goes to the replica of its session, and changes nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from math import inf

import pytest

from orchestrator.runtime.engines.base import GenerateRequest, KvControl, Usage, complete
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.replicas import KvReplicaSet, ReplicaSet, replicated
from tests.runtime.kv.replica_sets import Deaf, Hinted, ask, sim, slots


async def test_hints_besides_turns_go_to_the_sessions_replica() -> None:
    first, second = Hinted(), Hinted()
    engine = replicated("two", [first, second], slots(1))
    assert isinstance(engine, KvControl)
    await complete(engine, ask("a", "a/1"))
    home = engine.router.home("a/1")
    assert home is not None
    assert await engine.prefetch(ask("a", "a/2")) == Usage(7)
    await engine.extend("a/1", KvHint(pause_s=(1e6,)))
    await engine.extend("nobody", KvHint())
    assert (first, second)[home[1]].hints == ["prefetch a/2", "extend a/1"]
    assert not engine.gates[home[1]].control.holds("a")
    assert not isinstance(replicated("mixed", [first, sim()]), KvControl)


async def test_a_program_prefetches_before_its_first_turn_where_there_is_room() -> None:
    inner = Hinted()
    engine = replicated("one", [inner], slots(1))
    assert isinstance(engine, KvReplicaSet)
    assert await engine.prefetch(ask("a", "a/0", pause_s=(0.1,))) == Usage(7)
    assert engine.gates[0].control.holds("a")
    assert await engine.prefetch(ask("b", "b/0")) == Usage()  # its first turn would have to wait
    assert inner.hints == ["prefetch a/0"]
    await complete(engine, ask("a", "a/1"))
    engine.finish("a")
    late = asyncio.create_task(complete(engine, ask("b", "b/1")))
    assert (await late).finish_reasons
    assert engine.gates[0].state.waiting == 0


async def test_no_slot_is_held_over_a_long_pause_for_a_prefetch() -> None:
    engine = replicated("one", [Hinted()], slots(1))
    assert isinstance(engine, KvReplicaSet)
    assert await engine.prefetch(ask("a", "a/0", pause_s=(1e6,))) == Usage(7)
    assert engine.gates[0].state.active == 0


async def test_a_prefetch_that_is_cut_short_holds_no_slot() -> None:
    class Slow(Hinted):
        async def prefetch(self, request: GenerateRequest) -> Usage:
            await super().prefetch(request)
            await asyncio.sleep(60)
            raise AssertionError

    inner = Slow()
    engine = replicated("one", [inner], slots(1))
    assert isinstance(engine, KvReplicaSet)
    prefetch = asyncio.create_task(engine.prefetch(ask("a", "a/0")))
    while not inner.hints:
        await asyncio.sleep(0)
    assert engine.gates[0].state.active == 1
    prefetch.cancel()
    await asyncio.gather(prefetch, return_exceptions=True)
    assert engine.gates[0].state.active == 0


@pytest.mark.parametrize("fails", [False, True])
async def test_a_prefetch_changes_nothing_about_a_pause(fails: bool) -> None:
    class Refuses(Hinted):
        async def prefetch(self, request: GenerateRequest) -> Usage:
            if fails:
                raise ConnectionError
            return await super().prefetch(request)

    now_s = 0.0
    engine = KvReplicaSet("one", [Refuses()], replace(slots(1), patience=inf), clock=lambda: now_s)
    engine.router.loads[0].turn_s = 1.0
    await complete(engine, ask("a", "a/1"))
    engine.gates[0].pause("a", within_s=500.0)
    now_s = 100.0
    engine.gates[0].control.expire(now_s)
    await asyncio.gather(engine.prefetch(ask("a", "a/2")), return_exceptions=True)
    engine.gates[0].control.expire(499.0)
    assert engine.gates[0].control.holds("a")


async def test_draining_waits_for_prefetches() -> None:
    go_on = asyncio.Event()

    class Slow(Hinted):
        async def prefetch(self, request: GenerateRequest) -> Usage:
            await go_on.wait()
            return await super().prefetch(request)

    engine = KvReplicaSet("two", [Slow(), Slow()], slots(4))
    prefetch = asyncio.create_task(engine.prefetch(ask("a", "a/0")))
    await asyncio.sleep(0)
    home = engine.router.home("a/0")
    assert home is not None
    drained = asyncio.create_task(engine.drain(home[1]))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not drained.done()
    go_on.set()
    async with asyncio.timeout(10):
        await drained
    assert await prefetch == Usage(7)


async def moved(engine: ReplicaSet) -> int:
    """Where a session was that has gone on elsewhere."""
    await complete(engine, ask("a", "a/1"))
    home = engine.router.home("a/1")
    assert home is not None
    await engine.drain(home[1])
    await complete(engine, ask("a", "a/1"))
    await asyncio.sleep(0)
    return home[1]


async def test_a_session_that_moves_leaves_nothing_where_it_was() -> None:
    both = Hinted(), Hinted()
    engine = replicated("two", both, slots(4))
    before = await moved(engine)
    assert [each.hints for each in both] == [["release a/1"] if i == before else [] for i in range(2)]
    assert engine.gates[before].state.active == 0
    assert not engine._telling


async def test_a_replica_that_cannot_be_told_of_a_move_harms_nobody() -> None:
    engine = replicated("two", [Deaf(), Deaf()], slots(4))
    await moved(engine)
    assert not engine._telling


async def test_a_session_is_released_where_it_was_though_its_program_is_over() -> None:
    both = Hinted(), Hinted()
    engine = replicated("two", both, slots(4))
    await complete(engine, ask("a", "a/1"))
    home = engine.router.home("a/1")
    assert home is not None
    engine.finish("a")
    await engine.release("a/1")
    assert [each.hints for each in both] == [["release a/1"] if i == home[1] else [] for i in range(2)]


async def test_every_replica_hears_of_a_session_that_is_nowhere() -> None:
    engine = replicated("two", [Deaf(), last := Hinted()])
    with pytest.raises(ConnectionError):
        await engine.release("who")
    assert last.hints == ["release who"]
