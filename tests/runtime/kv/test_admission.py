"""Turns that wait at a gate: cancellation, closed streams, timers and several gates leave no slot taken."""

from __future__ import annotations

import asyncio
import random

import pytest

from orchestrator.runtime.kv.admission import AdmissionOptions, CapOptions, GateGroup, ProgramGate, enclosing


def fixed(programs: int, **options: object) -> AdmissionOptions:
    return AdmissionOptions(CapOptions(programs=programs, fixed=True), **options)  # type: ignore[arg-type]


async def test_cancellation_errors_and_closed_streams_leave_no_slot_taken() -> None:
    for seed in range(15):
        await _random_schedule(random.Random(seed))


async def _random_schedule(rng: random.Random) -> None:
    gate = ProgramGate(fixed(rng.randint(1, 3)), clock=asyncio.get_running_loop().time)
    inside = 0

    async def program(name: str) -> None:
        nonlocal inside
        try:
            for _ in range(rng.randint(1, 4)):
                async with gate.turn(name, arrival_s=rng.random()):
                    inside += 1
                    try:
                        for _ in range(rng.randint(0, 3)):
                            await asyncio.sleep(0)
                        if rng.random() < 0.2:
                            raise ValueError
                    finally:
                        inside -= 1
                gate.pause(name, keep=rng.random() < 0.5)
                await asyncio.sleep(0)
        finally:
            gate.finish(name)

    tasks = [asyncio.create_task(program(f"p{i}")) for i in range(12)]
    for _ in range(40):
        await asyncio.sleep(0)
        if rng.random() < 0.3:
            rng.choice(tasks).cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert inside == 0
    assert (gate.state.active, gate.state.waiting) == (0, 0)
    assert not gate._waiting
    assert not gate.group._waiting
    gate.close()


async def test_a_slot_that_comes_with_the_cancellation_goes_on() -> None:
    gate = ProgramGate(fixed(1))
    first = gate.turn("a")
    await first.__aenter__()

    async def wait() -> None:
        async with gate.turn("b"):
            pytest.fail("the turn was cancelled before it began")

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    await first.__aexit__(None, None, None)
    gate.finish("a")
    assert gate.control.holds("b")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert gate.state.active == 0


async def test_those_behind_a_cancelled_turn_come_next() -> None:
    gate = ProgramGate()
    async with gate.turn("holder") as turn:
        turn.used("s", input_tokens=100, cached_tokens=0)
    gate.pressure(kv_tokens=1000)
    large = asyncio.create_task(gate.turn("large", arrival_s=1.0, tokens=900).__aenter__())
    await asyncio.sleep(0)
    small = asyncio.create_task(gate.turn("small", arrival_s=2.0, tokens=100).__aenter__())
    await asyncio.sleep(0)
    assert gate.state.waiting == 2
    large.cancel()
    async with asyncio.timeout(10):
        await small
    gate.close()


async def test_a_gate_may_join_another_group_while_a_turn_waits() -> None:
    gate = ProgramGate(fixed(1))
    async with gate.turn("holder"):
        late = asyncio.create_task(gate.turn("late").__aenter__())
        await asyncio.sleep(0)
        gate.join(GateGroup())
    gate.finish("holder")
    await late
    assert gate.state.active == 1


async def test_a_timer_takes_back_the_slot_of_a_program_that_is_gone() -> None:
    gate = ProgramGate(fixed(1, idle_s=0.01), clock=asyncio.get_running_loop().time)
    async with gate.turn("gone"):
        pass
    async with asyncio.timeout(20), gate.turn("next") as entered:
        assert entered.queued_s > 0
    gate.close()


async def test_the_timer_looks_at_whoever_idles_first() -> None:
    gate = ProgramGate(fixed(2, idle_s=0.01), clock=asyncio.get_running_loop().time)
    async with gate.turn("long"):
        pass
    gate.pause("long", keep=True, within_s=500.0)
    await asyncio.sleep(0.02)
    async with gate.turn("gone"):
        late = asyncio.create_task(gate.turn("next").__aenter__())
        await asyncio.sleep(0)
        assert gate.state.waiting == 1
    async with asyncio.timeout(10):
        await late
    gate.close()


async def test_programs_that_need_two_gates_do_not_block_each_other() -> None:
    group = GateGroup()
    gates = [ProgramGate(fixed(1), name=name, group=group) for name in ("left", "right")]

    async def program(name: str, order: list[int]) -> None:
        for index in order * 3:
            async with gates[index].turn(name):
                await asyncio.sleep(0)
            gates[index].pause(name, keep=True)
            await asyncio.sleep(0)
        for gate in gates:
            gate.finish(name)

    async with asyncio.timeout(20):  # far below the 60 s after which idle slots are taken back
        await asyncio.gather(program("a", [0, 1]), program("b", [1, 0]), program("c", [0, 1]))
    assert [gate.state.active for gate in gates] == [0, 0]


async def test_full_gates_do_not_block_each_other_either() -> None:
    group = GateGroup()
    gates = [ProgramGate(name=name, group=group) for name in ("left", "right")]
    all_have_one = asyncio.Barrier(4)

    async def program(name: str, order: list[int]) -> None:
        for index in order:
            async with gates[index].turn(name) as turn:
                if index == order[0]:
                    await all_have_one.wait()
                gates[index].pressure(kv_tokens=1000)
                turn.used(f"{name}/{index}", input_tokens=600, cached_tokens=0)
                if index == order[0]:
                    await all_have_one.wait()
            gates[index].pause(name, keep=True)
        for gate in gates:
            gate.finish(name)

    async with asyncio.timeout(10):
        await asyncio.gather(*(program(f"{i}", [0, 1] if i < 2 else [1, 0]) for i in range(4)))
    assert [gate.state.active for gate in gates] == [0, 0]


async def test_programs_do_not_wait_for_the_slots_of_those_that_wait_for_them() -> None:
    gate = ProgramGate(fixed(2))

    async def outer(name: str, depth: int) -> None:
        with enclosing(name):
            async with gate.turn(name):
                await asyncio.sleep(0)
            gate.pause(name, keep=True)
            if depth:
                await asyncio.gather(*(outer(f"{name}/{i}", depth - 1) for i in range(2)))
            async with gate.turn(name):
                pass
            gate.finish(name)

    async with asyncio.timeout(10):
        await asyncio.gather(*(outer(name, 2) for name in "abc"))
    assert gate.state.active == 0
    assert not gate.group._waiting


async def test_an_engine_without_cached_tokens_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    gate = ProgramGate(name="far away")
    for _ in range(10):
        async with gate.turn("a") as one:
            one.used("s", input_tokens=500, cached_tokens=0)
    assert gate.state.open
    assert [record.message.split("`")[1] for record in caplog.records] == ["far away"]
