"""Replicas that fail: calls go to others, and what was there is not missed."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.errors import EngineError
from orchestrator.runtime.engines import errors
from orchestrator.runtime.engines.base import complete
from orchestrator.runtime.kv.replicas import ReplicaSet
from tests.runtime.kv.replica_sets import Flaky, ask, slots


def dead() -> EngineError:
    return errors.engine_died("flaky", "out of memory", None)


async def test_a_call_that_a_dead_replica_did_not_answer_goes_to_another() -> None:
    flaky, good = Flaky(dead()), Flaky()
    engine = ReplicaSet("two", [flaky, good], slots(2))
    for i in range(4):
        reply = await complete(engine, ask(f"p{i}", f"p{i}/1"))
        assert reply.texts[0].startswith("one two")
        assert engine.router.home(f"p{i}/1") == (f"p{i}", 1)
        engine.finish(f"p{i}")
    assert len(good.requests) == 4
    assert len(flaky.requests) == 1  # left alone after the first failure
    assert engine.gates[0].state.active == 0


async def test_a_reply_that_broke_off_is_not_begun_again_silently() -> None:
    engine = ReplicaSet("two", [Flaky(dead(), after=2), Flaky(dead(), after=2)], slots(2))
    stream = engine.generate(ask("a", "a/1"))
    assert [(await anext(stream)).sample for _ in range(2)] == [0, 0]
    with pytest.raises(EngineError) as caught:
        await anext(stream)
    assert caught.value.code == "ORCH-E013"
    assert [gate.state.active for gate in engine.gates] == [0, 0]


def timed_out() -> EngineError:
    return errors.timed_out("flaky", 1.0)


FAILURES = [timed_out(), errors.overloaded("flaky", "oops"), errors.stream_broken("flaky", "nothing")]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: error.code)
async def test_a_call_that_a_failing_replica_did_not_answer_goes_to_another(error: EngineError) -> None:
    flaky, good = Flaky(), Flaky()
    engine = ReplicaSet("two", [flaky, good], slots(2))
    engine.router.drain(1)
    await complete(engine, ask("idle", "idle/1"))
    await complete(engine, ask("a", "a/1"))
    engine.router.undrain(1)
    flaky.error = error
    reply = await complete(engine, ask("a", "a/1"))
    assert reply.texts[0].startswith("one two")
    assert engine.router.home("a/1") == ("a", 1)
    assert engine.gates[0].control.holds("idle")  # the replica may be well
    assert [gate.state.active for gate in engine.gates] == [1, 1]


async def test_a_replica_is_left_alone_when_two_calls_in_a_row_get_nothing() -> None:
    flaky, good = Flaky(), Flaky()
    engine = ReplicaSet("two", [flaky, good], slots(20))
    engine.router.drain(1)
    for i in range(6):
        await complete(engine, ask(f"p{i}", f"p{i}/1"))
    engine.router.undrain(1)
    for i, error in enumerate([timed_out(), None, timed_out(), timed_out()]):
        flaky.error = error
        await complete(engine, ask(f"p{i}", f"p{i}/1"))
    asked = len(flaky.requests)
    assert asked == 10
    await complete(engine, ask("p4", "p4/1"))
    assert len(flaky.requests) == asked


async def test_nobody_waits_at_a_replica_that_is_left_alone() -> None:
    flaky, good = Flaky(timed_out()), Flaky()
    engine = ReplicaSet("two", [flaky, good], slots(1))

    async def once(name: str) -> None:
        await complete(engine, ask(name, name + "/1"))
        engine.finish(name)

    engine.router.drain(1)
    async with engine.gates[0].turn("holder"):
        waiting = [asyncio.create_task(once(f"w{i}")) for i in range(5)]
        await asyncio.sleep(0)
        assert engine.gates[0].state.waiting == 5
        engine.router.undrain(1)
    engine.gates[0].finish("holder")
    async with asyncio.timeout(10):
        await asyncio.gather(*waiting)
    assert (len(flaky.requests), len(good.requests)) == (2, 5)


async def test_the_retry_of_a_reply_that_broke_off_goes_to_another() -> None:
    broken = errors.stream_broken("flaky", "half a reply")
    engine = ReplicaSet("two", [Flaky(broken, after=2), good := Flaky()], slots(2))
    engine.router.drain(1)
    with pytest.raises(EngineError) as caught:
        await complete(engine, ask("a", "a/1"))
    assert caught.value.code == "ORCH-E019"
    with pytest.raises(EngineError):
        await complete(engine, ask("a", "a/1"))  # there is no other
    engine.router.undrain(1)
    assert (await complete(engine, ask("a", "a/1"))).texts
    assert len(good.requests) == 1


async def test_what_an_engine_forgot_when_it_died_is_no_loss() -> None:
    flaky = Flaky()
    engine = ReplicaSet("one", [flaky])
    await complete(engine, ask("a", "a/1"))
    await complete(engine, ask("b", "b/1"))
    flaky.error = dead()
    with pytest.raises(EngineError):
        await complete(engine, ask("b", "b/1"))
    assert not engine.gates[0].control.holds("a")  # nor what its session left there


async def test_an_idle_programs_slot_on_a_dead_replica_is_free() -> None:
    engine = ReplicaSet("two", [flaky := Flaky(), Flaky()], slots(1))
    engine.router.drain(1)
    await complete(engine, ask("idle", "idle/1"))
    engine.router.undrain(1)
    flaky.error = dead()
    engine.router._programs["other"] = {"other/1": 0}
    engine.gates[0].pause("idle", keep=False)
    await complete(engine, ask("idle", "idle/1"))
    assert engine.gates[0].state.active == 0
    assert engine.router.home("idle/1") == ("idle", 1)


async def test_other_errors_are_the_callers() -> None:
    engine = ReplicaSet("two", [Flaky(errors.rejected("flaky", "no")), Flaky(errors.rejected("flaky", "no"))])
    with pytest.raises(EngineError) as caught:
        await complete(engine, ask("a", "a/1"))
    assert caught.value.code == "ORCH-E014"
