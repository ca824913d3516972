"""What a process holds of the runs of a store, and lets go of."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orchestrator import ask, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import JournalError, RunError
from orchestrator.runtime.coordinator import owner
from orchestrator.runtime.coordinator.notices import answer, questions
from orchestrator.runtime.coordinator.owner import Owner
from orchestrator.runtime.coordinator.submitting import submit
from orchestrator.runtime.engines.base import Usage
from orchestrator.runtime.journal.events import (
    Event,
    OpDone,
    OpFailed,
    OpSettled,
    OpStarted,
    Reserved,
    RunStarted,
    Spent,
)
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.journal.stores.sqlite.store import SqliteStore
from orchestrator.runtime.runner import Runner


class Broken(MemoryStore):
    """A store that takes nothing more of one run while it is broken."""

    broken = ""

    def append(self, claim: Any, data: bytes, **options: Any) -> None:
        if claim.run_id == self.broken:
            raise OSError(28, "No space left on device")
        super().append(claim, data, **options)


async def test_a_run_whose_log_failed_is_somebody_elses_though_the_process_goes_on_with_others() -> None:
    store, over = Broken(), asyncio.Event()
    failing = [True]

    @tool(effects="reads")
    async def stays(n: int) -> int:
        await over.wait()
        return n

    @tool(effects="reads")
    async def breaks(n: int) -> int:
        store.broken = "broken" if failing[0] else ""
        return n

    @workflow
    def other(n: int) -> int:
        return stays(n)

    @workflow
    def flow(n: int) -> int:
        return breaks(n)

    async with Runner(store=store) as runtime, Runner(store=store) as second:
        runtime._owner = Owner(store, lease_s=0.1)
        going_on = asyncio.create_task(runtime.run(compile_workflow(other), {"n": 1}, run_id="other"))
        with pytest.raises(JournalError, match="No space left"):
            await runtime.run(compile_workflow(flow), {"n": 2}, run_id="broken")
        store.broken, failing[0] = "", False
        while {head.run_id: head.owner for head in await store.heads()}["broken"] is not None:
            await asyncio.sleep(0.01)
        assert (await second.resume(compile_workflow(flow), "broken")).value == 2
        over.set()
        assert (await going_on).value == 1


async def test_a_run_that_cannot_be_resumed_as_somebody_asks_for_is_not_held() -> None:
    failing = [OSError("not yet")]

    @tool(effects="reads")
    async def fails(n: int) -> int:
        if failing:
            raise failing.pop()
        return n

    @workflow
    def flow(n: int) -> int:
        return fails(n)

    store, compiled = MemoryStore(), compile_workflow(flow)
    async with Runner(store=store) as runtime, Runner(store=store) as second:
        with pytest.raises(RunError, match="not yet"):
            await runtime.run(compiled, {"n": 1}, run_id="r")
        with pytest.raises(RunError, match="is not a budget"):
            await runtime.resume(compiled, "r", budget="nonsense")
        assert (await second.resume(compiled, "r")).value == 1


class Asked(MemoryStore):
    """A store that counts how often it is asked for notices."""

    asked = 0

    async def notices(self, run_id: str) -> Any:
        self.asked += 1
        return await super().notices(run_id)

    async def notices_of(self, owner: str) -> Any:
        self.asked += 1
        return await super().notices_of(owner)


async def test_what_was_left_for_many_runs_is_asked_for_at_once() -> None:
    store, compiled = Asked(), compile_workflow(asking)
    async with Runner(store=store, human=Absent()) as runtime:
        runs = [asyncio.create_task(runtime.run(compiled, {"n": n}, run_id=f"r{n}")) for n in range(50)]
        while len(await store.heads(limit=100)) < len(runs) or store.asked == 0:
            await asyncio.sleep(0.01)
        for n in range(50):
            while not await questions(store, f"r{n}"):
                await asyncio.sleep(0.01)
        store.asked = 0
        await answer(store, "r7", "sure", "yes")
        assert (await asyncio.wait_for(runs[7], 20)).value == "yes"
        assert 0 < store.asked < 5
        for each in runs:
            each.cancel()
        await asyncio.gather(*runs, return_exceptions=True)


class Absent:
    """Somebody who is at hand, and does not answer."""

    async def ask(self, id: str, question: str, type: Any, choices: Any) -> object:  # noqa: A002
        return await asyncio.get_running_loop().create_future()


@workflow
def asking(n: int) -> str:
    return ask(f"Sure of {n}?", choices=["yes", "no"], name="sure")


class Silent(MemoryStore):
    """A store that takes everything and says of nothing that it is durable, while it is silent."""

    is_silent = False

    def barrier(self, run_id: str) -> Any:
        return asyncio.get_running_loop().create_future() if self.is_silent else super().barrier(run_id)


async def test_who_settles_an_op_may_give_up_a_store_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "GIVEN_UP_S", 0.01)

    @tool(effects="once")
    async def pay(n: int) -> int:
        raise OSError("no")

    @workflow
    def flow(n: int) -> int:
        return pay(n)

    store, compiled = Silent(), compile_workflow(flow)
    async with Runner(store=store) as runtime:
        with pytest.raises(RunError, match="no"):
            await runtime.run(compiled, {"n": 1}, run_id="r")
        store.is_silent = True
        settling = asyncio.create_task(runtime.settle(compiled, "r", "pay_1", result=5))
        await asyncio.wait({settling}, timeout=0.1)
        settling.cancel()
        await asyncio.wait({settling}, timeout=60)
        assert settling.cancelled()
        store.is_silent = False
        await runtime.settle(compiled, "r", "pay_1", result=5)
        assert (await runtime.resume(compiled, "r")).value == 5


OVER: list[asyncio.Event] = []
"""Set when what `waits` waits for is there."""


@tool(effects="reads")
async def waits(n: int) -> int:
    await OVER[0].wait()
    return n


@workflow
def waiting(n: int) -> int:
    return waits(n)


async def test_a_run_whose_creator_did_not_wait_for_it_is_somebody_elses(tmp_path: Path) -> None:
    compiled = compile_workflow(waiting)
    OVER[:] = [asyncio.Event()]
    store = await SqliteStore.open(tmp_path / "runs.db")
    async with Runner(store=store, lease_s=0.3) as runtime:
        await store.put_program(compiled.program.fingerprint, b"")
        going_on = asyncio.create_task(runtime.run(compiled, {"n": 1}, run_id="other"))
        while not await store.head("other"):
            await asyncio.sleep(0.01)
        assert runtime.owner is not None
        started = RunStarted("r", compiled.program.name, compiled.program.fingerprint, (1,), 0.0, None, None)
        creating = asyncio.create_task(runtime.owner.begin(compiled.program, started, None))
        await asyncio.sleep(0)
        creating.cancel()
        with pytest.raises(asyncio.CancelledError):
            await creating
        async with asyncio.timeout(20):
            while (head := await store.head("r")) is None or head.status == "running":
                await asyncio.sleep(0.01)
        assert head.status == "ready"
        OVER[0].set()
        assert (await going_on).value == 1
    await store.close()


async def test_a_run_whose_log_failed_is_ready_when_the_store_is_back_though_nothing_else_is_held() -> None:
    store, compiled = Broken(), compile_workflow(waiting)
    OVER[:] = [asyncio.Event()]
    async with Runner(store=store, lease_s=0.1) as runtime:
        store.broken = "r"
        OVER[0].set()
        with pytest.raises(JournalError):
            await runtime.run(compiled, {"n": 1}, run_id="r")
        await asyncio.sleep(0.3)
        store.broken = ""
        async with asyncio.timeout(20):
            while (await store.heads())[0].status == "running":
                await asyncio.sleep(0.01)
        assert [each.run_id for each, _ in await store.claim("another", holds=None)] == ["r"]


class Unsteady(MemoryStore):
    """It gives what is ready, and then fails once whoever asks for one of them."""

    fails = True

    async def claim(self, owner: str, *, run_id: str | None = None, **options: Any) -> Any:
        if run_id is not None and self.fails:
            self.fails = False
            raise ConnectionError("gone")
        return await super().claim(owner, run_id=run_id, **options)


async def test_a_run_that_was_claimed_and_could_not_be_taken_is_ready_again() -> None:
    store, compiled = Unsteady(), compile_workflow(waiting)
    await submit(store, compiled, {"n": 1}, run_id="r")
    own = Owner(store, lease_s=0.1)
    try:
        assert [head.run_id for head in await own.claim({"waiting": [compiled.program.fingerprint]}, limit=1)] == ["r"]
        with pytest.raises(ConnectionError):
            await own.take(compiled.program, "r")
        assert not own.holds("r")
        async with asyncio.timeout(20):
            while (await store.heads())[0].status == "running":
                await asyncio.sleep(0.01)
    finally:
        await own.close()
    assert [each.run_id for each, _ in await store.claim("another", holds=None)] == ["r"]


DEATHS: list[int] = []
"""How many deaths a store knew of when each tool was called."""
STORES: list[MemoryStore] = []


async def deaths() -> int:
    (head,) = await STORES[-1].heads()
    DEATHS.append(head.deaths)
    return head.deaths


@tool(effects="once")
async def begins(n: int) -> int:
    return await deaths()


@tool(effects="reads")
async def goes_on(n: int) -> int:
    return await deaths()


@workflow
def twice(n: int) -> int:
    return goes_on(begins(n))


async def test_a_run_has_come_further_when_something_has_come_of_it_and_not_when_it_begins() -> None:
    store, compiled = MemoryStore(), compile_workflow(twice)
    DEATHS.clear()
    STORES[:] = [store]
    await submit(store, compiled, {"n": 1}, run_id="r")
    for name in "ab":
        await store.claim(name, lease_s=0)
    async with Runner(store=store) as runtime:
        await runtime.resume(compiled, "r")
    assert DEATHS == [2, 0]


@pytest.mark.parametrize(
    ("event", "deaths"),
    [
        (OpStarted("", "begins_1", 1, 2.0), 1),
        (OpFailed("", "goes_on_1", 1, "ORCH-R001", "no", None, 2.0), 1),
        (Reserved("", "goes_on_1", Usage(1), None, 2.0), 1),
        (Spent("", "goes_on_1", Usage(1), None, 2.0), 1),
        (OpSettled("", "begins_1", "did not happen", "check", (), None, 2.0), 1),
        (OpSettled("", "begins_1", "happened", "check", (1,), None, 2.0), 0),
        (OpDone("", "begins_1", (1,), 2.0), 0),
    ],
    ids=lambda each: each if isinstance(each, int) else type(each).__name__,
)
async def test_a_run_has_not_come_further_with_what_is_said_again_whenever_it_is_resumed(
    event: Event, deaths: int
) -> None:
    store, compiled = MemoryStore(), compile_workflow(twice)
    await submit(store, compiled, {"n": 1}, run_id="r")
    await store.claim("a", lease_s=0)
    me = Owner(store)
    taken = await me.take(compiled.program, "r")
    assert taken is not None
    taken.log.append("r", event)
    if (waiting := taken.log.barrier("r")) is not None:
        await waiting
    (head,) = await store.heads()
    assert head.deaths == deaths
    await me.close()
