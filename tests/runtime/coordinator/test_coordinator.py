"""Any number of coordinators share the runs of a store, and each does what it has the code for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import time
from typing import Any

import pytest

from orchestrator import ask, tool, workflow
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.runtime.coordinator import notices
from orchestrator.runtime.coordinator.coordinator import Coordinator
from orchestrator.runtime.coordinator.owner import Owner
from orchestrator.runtime.journal.events import RunStarted
from orchestrator.runtime.journal.stores.base import Change, Head, Status, Store
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.runner import Runner
from tests.runtime.journal.stores.keeping import durable

CALLS: list[int] = []
GATE: dict[str, asyncio.Event] = {}


@pytest.fixture(autouse=True)
def anew() -> None:
    CALLS.clear()
    GATE.update({name: asyncio.Event() for name in ("started", "may end")})


@tool(effects="once")
async def count(n: int) -> int:
    CALLS.append(n)
    return n + 1


@workflow
def counting(n: int) -> int:
    return count(count(n))


@workflow
def other(n: int) -> int:
    return count(n)


@workflow
def approving(n: int) -> str:
    return ask(f"May it be {n}?", name="verdict")


@tool(effects="once")
async def long(n: int) -> int:
    CALLS.append(n)
    GATE["started"].set()
    await GATE["may end"].wait()
    return n + 1


@workflow
def longer(n: int) -> int:
    return count(long(n))


async def begun(store: Store, compiled: Compiled, run_id: str, n: int) -> None:
    """A run that somebody has begun, and does not go on with."""
    owner, program = Owner(store), compiled.program
    log = await owner.begin(program, RunStarted(run_id, program.name, program.fingerprint, (n,), time()), None)
    assert not isinstance(log, Head)
    assert log.claim is not None
    store.append(log.claim, b"", change=Change("ready"))
    await durable(store, run_id)
    await owner.close()


@asynccontextmanager
async def working(store: Store, compiled: Sequence[Compiled], **options: Any) -> AsyncIterator[Coordinator]:
    async with Runner(store=store, longest_sleep_s=1.0) as runtime:
        coordinator = Coordinator(runtime, compiled, **options)
        task = asyncio.create_task(coordinator.run())
        try:
            yield coordinator
        finally:
            coordinator.stop()
            await asyncio.wait_for(task, 20)


async def become(store: Store, run_id: str, status: str) -> Head:
    async def until() -> Head:
        while True:
            loaded = await store.load(run_id)
            assert loaded is not None
            if loaded.head.status == status:
                return loaded.head
            await asyncio.sleep(0.01)

    return await asyncio.wait_for(until(), 20)


async def test_runs_are_executed_whoever_has_begun_them() -> None:
    store, compiled = MemoryStore(), compile_workflow(counting)
    for number in range(7):
        await begun(store, compiled, f"r{number}", 10 * number)
    async with working(store, [compiled], concurrency=2):
        for number in range(7):
            await become(store, f"r{number}", "done")
    assert sorted(CALLS) == sorted([n for number in range(7) for n in (10 * number, 10 * number + 1)])


async def test_a_run_whose_code_nobody_has_says_what_it_waits_for() -> None:
    store, compiled = MemoryStore(), compile_workflow(other)
    await begun(store, compiled, "r", 1)
    async with working(store, [compile_workflow(counting)]):

        async def said() -> str:
            while True:
                head = await become(store, "r", "ready")
                if head.why is not None:
                    return head.why
                await asyncio.sleep(0.01)

        why = await asyncio.wait_for(said(), 20)
    assert why == f"waits for a worker that has version {compiled.program.fingerprint} of `other`"
    assert CALLS == []


async def test_an_answer_wakes_a_run_that_waits() -> None:
    store, compiled = MemoryStore(), compile_workflow(approving)
    await begun(store, compiled, "r", 1)
    async with working(store, [compiled]):
        await become(store, "r", "waiting")
        await notices.answer(store, "r", "verdict", "yes")
        await become(store, "r", "done")


async def test_what_is_in_flight_is_handed_over_when_tools_that_run_once_have_ended() -> None:
    store, compiled = MemoryStore(), compile_workflow(longer)
    await begun(store, compiled, "r", 1)
    async with working(store, [compiled]) as coordinator:
        await GATE["started"].wait()
        coordinator.stop()
        await asyncio.sleep(0.05)
        assert (await become(store, "r", "running")).owner is not None
        GATE["may end"].set()
    head = await become(store, "r", "ready")
    assert (head.owner, head.why) == (None, "its owner has ended")
    assert CALLS == [1]
    async with working(store, [compiled]):
        await become(store, "r", "done")
    assert CALLS == [1, 2]


async def test_what_was_claimed_as_it_was_told_to_stop_is_handed_over_too() -> None:
    store, compiled = MemoryStore(), compile_workflow(approving)
    for number in range(5):
        await begun(store, compiled, f"r{number}", number)
    async with working(store, [compiled]) as coordinator:
        while not coordinator.executed:
            await asyncio.sleep(0)
        coordinator.stop()
    assert {head.status for head in await store.heads()} <= {"ready", "waiting"}


async def test_a_run_that_cannot_be_read_is_put_aside_and_stops_nobody() -> None:
    store, compiled = MemoryStore(), compile_workflow(counting)
    await begun(store, compiled, "bad", 1)
    claim, _ = (await store.claim("me", run_id="bad"))[0]
    store.append(claim, b'["nonsense",1.0,"x"]\n', change=Change("ready"))
    await durable(store, "bad")
    await begun(store, compiled, "good", 1)
    async with working(store, [compiled]):
        await become(store, "good", "done")
        head = await become(store, "bad", "suspended")
    assert (head.why or "").startswith("ORCH-R102")


class Told(MemoryStore):
    """Somebody says what has become of `lost` as soon as the run says that it wants to know."""

    told = False

    async def head(self, run_id: str) -> Head | None:
        head = await super().head(run_id)
        if head is not None and head.status == "suspended":
            await self._tell(run_id)
        return head

    async def set_status(self, run_id: str, status: Status, *more: Any, **also: Any) -> bool:
        if status == "suspended":
            await self._tell(run_id)
        return await super().set_status(run_id, status, *more, **also)

    async def _tell(self, run_id: str) -> None:
        if not self.told:
            self.told = True
            await notices.settle(self, run_id, "lost_1", result=7)


@tool(effects="once", timeout="20 ms")
async def lost(n: int) -> int:
    CALLS.append(n)
    await asyncio.Event().wait()
    return n


@workflow
def losing(n: int) -> int:
    return lost(n)


async def test_a_run_that_was_told_what_it_wanted_to_know_is_not_put_aside_for_that() -> None:
    store, compiled = Told(), compile_workflow(losing)
    await begun(store, compiled, "r", 1)
    async with working(store, [compiled]):
        await become(store, "r", "done")
    assert CALLS == [1]


async def test_a_run_whose_result_somebody_read_who_died_is_done_again_and_not_claimed_for_ever() -> None:
    store, compiled = MemoryStore(), compile_workflow(counting)
    await begun(store, compiled, "r", 1)
    async with working(store, [compiled]):
        await become(store, "r", "done")
    claim, _ = (await store.claim("reader", run_id="r"))[0]
    store.append(claim, b"", change=Change("ready"))  # what a store makes of what a dead owner had claimed
    await durable(store, "r")
    async with working(store, [compiled]):
        await become(store, "r", "done")
    assert CALLS == [1, 2]


async def test_two_coordinators_share_the_runs_of_a_file(tmp_path: Path) -> None:
    compiled = compile_workflow(counting)
    one, two = await open_store(str(tmp_path / "runs.db")), await open_store(str(tmp_path / "runs.db"))
    try:
        for number in range(20):
            await begun(one, compiled, f"r{number}", 10 * number)
        async with working(one, [compiled], concurrency=3), working(two, [compiled], concurrency=3):
            for number in range(20):
                await become(two, f"r{number}", "done")
    finally:
        await one.close()
        await two.close()
    assert sorted(CALLS) == sorted([n for number in range(20) for n in (10 * number, 10 * number + 1)])
