"""A run that a person has cancelled is over for good, whoever asks for it; one that was interrupted goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import attempt, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.coordinator import notices
from orchestrator.runtime.coordinator.coordinator import Coordinator
from orchestrator.runtime.coordinator.forking import fork
from orchestrator.runtime.coordinator.submitting import submit
from orchestrator.runtime.journal.events import Feed, OpFailed
from orchestrator.runtime.journal.stores.base import Head, Notice, Store
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.observe import Subscription
from orchestrator.runtime.runner import Runner

CALLS: list[str] = []
GATE: dict[str, asyncio.Event] = {}


@pytest.fixture(autouse=True)
def anew() -> None:
    CALLS.clear()
    GATE.update({name: asyncio.Event() for name in ("begun", "may end")})


@pytest.fixture(params=["memory:", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store = await open_store(f"sqlite:///{tmp_path}/runs.db" if request.param == "sqlite" else request.param)
    yield store
    await store.close()


@tool(effects="idempotent")
async def pay(title: str) -> str:
    CALLS.append(f"pays {title}")
    return title


@tool(effects="idempotent")
async def hold(title: str) -> str:
    CALLS.append("holds")
    GATE["begun"].set()
    await GATE["may end"].wait()
    return title


@tool(effects="idempotent")
async def tidy() -> str:
    CALLS.append("tidies")
    return ""


@workflow
def buy(title: str) -> str:
    return attempt(lambda: pay(hold(pay(title))), lambda e: title, cleanup=tidy, name="a")


COMPILED = compile_workflow(buy)
INPUTS: dict[str, object] = {"title": "Ducks"}


async def head_of(store: Store) -> Head:
    head = await store.head("r")
    assert head is not None
    return head


async def stopped(store: Store, stop: Callable[[asyncio.Task[Any]], Awaitable[object]]) -> None:
    """Begin the run, stop it while it holds, and forget what it has done until then."""
    async with Runner(store=store) as runner:
        running = asyncio.create_task(runner.run(COMPILED, INPUTS, run_id="r", key="k"))
        await GATE["begun"].wait()
        await stop(running)
        with pytest.raises((RunError, asyncio.CancelledError)):
            await asyncio.wait_for(running, 20)
    assert CALLS == ["pays Ducks", "holds", "tidies"]
    CALLS.clear()
    GATE["may end"].set()


async def cancelled(store: Store) -> None:
    await stopped(store, lambda _: notices.cancel(store, "r", by="Ada"))


async def interrupted(store: Store) -> None:
    async def interrupt(running: asyncio.Task[Any]) -> None:
        running.cancel()

    await stopped(store, interrupt)


GOES_ON: dict[str, Callable[[Runner], Awaitable[object]]] = {
    "key": lambda runner: runner.run(COMPILED, INPUTS, key="k"),
    "resume": lambda runner: runner.resume(COMPILED, "r"),
    "settle": lambda runner: runner.settle(COMPILED, "r", "pay_1", did_not_happen=True),
}


@pytest.mark.parametrize("how", GOES_ON)
async def test_nothing_goes_on_with_a_run_that_a_person_has_cancelled(store: Store, how: str) -> None:
    await cancelled(store)
    before = await head_of(store)
    assert before.status == "cancelled"
    async with Runner(store=store) as runner:
        with pytest.raises(RunError) as failure:
            await GOES_ON[how](runner)
    assert failure.value.code == "ORCH-R033"
    said = failure.value.diagnostics[0]
    assert (said.why or "").startswith("the run was cancelled by Ada, 20")
    assert "orch runs fork" in (said.fix or "")
    assert CALLS == []
    assert await head_of(store) == before


async def test_a_run_under_the_key_of_a_cancelled_one_is_not_left_to_workers(store: Store) -> None:
    await cancelled(store)
    with pytest.raises(RunError, match="it is cancelled"):
        await submit(store, COMPILED, INPUTS, key="k")
    with pytest.raises(RunError, match="it is cancelled"):
        await notices.resume(store, "r")


async def test_a_run_under_the_key_of_one_that_has_failed_is_left_to_workers(store: Store) -> None:
    await interrupted(store)
    assert await submit(store, COMPILED, INPUTS, key="k") == "r"
    assert (await head_of(store)).status == "ready"


async def test_no_worker_goes_on_with_a_cancelled_run(store: Store) -> None:
    await cancelled(store)
    async with Runner(store=store) as runner:
        coordinator = Coordinator(runner, [COMPILED])
        working = asyncio.create_task(coordinator.run())
        other = await submit(store, COMPILED, INPUTS)
        while (await store.heads(status=("done",))) == []:
            await asyncio.sleep(0.01)
        coordinator.stop()
        await working
        assert coordinator.executed == 1
    assert {each.run_id for each in await store.heads(status=("done",))} == {other}


async def test_a_fork_goes_on_with_what_a_cancelled_run_has_done(store: Store) -> None:
    await cancelled(store)
    await fork(store, COMPILED.program, "r", "s")
    async with Runner(store=store) as runner:
        assert (await runner.resume(COMPILED, "s")).value == "Ducks"
    assert CALLS == ["holds", "pays Ducks", "tidies"]


@pytest.mark.parametrize("how", ["key", "resume"])
async def test_a_run_that_was_interrupted_goes_on(store: Store, how: str) -> None:
    await interrupted(store)
    head = await head_of(store)
    assert (head.status, head.why) == ("failed", "ORCH-R035: the run was interrupted")
    async with Runner(store=store) as runner:
        await GOES_ON[how](runner)
    assert CALLS == ["holds", "pays Ducks", "tidies"]
    assert (await head_of(store)).status == "done"


async def test_a_run_that_was_interrupted_or_failed_is_cancelled_at_once(store: Store) -> None:
    await interrupted(store)
    await notices.cancel(store, "r", by="Ada")
    head = await head_of(store)
    assert (head.status, head.notices) == ("cancelled", 0)
    assert (head.why or "").startswith("the run was cancelled by Ada, 20")


@tool(effects="pure")
async def refuse(title: str) -> str:
    raise ValueError(title)


@workflow
def refuses(title: str) -> str:
    return refuse(title)


class Ada(Subscription):
    """Somebody who cancels the run at the moment at which it fails."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self._runner = runner

    def push(self, entry: Feed) -> None:
        if isinstance(entry, OpFailed):
            assert self._runner.owner is not None
            self._runner.owner._attended["r"].take([Notice(1, notices.written(notices.Cancel("Ada", 1.0)))])


async def test_what_a_run_fails_with_meanwhile_does_not_keep_it_alive(store: Store) -> None:
    async with Runner(store=store) as runner:
        with pytest.raises(RunError, match="cancelled by Ada"):
            await runner.run(compile_workflow(refuses), INPUTS, run_id="r", observers=[Ada(runner)])
    assert (await head_of(store)).status == "cancelled"


class Slow(MemoryStore):
    """A store that takes its time to make the end of a run durable."""

    ending = asyncio.Event()
    may_end = asyncio.Event()
    ends = False

    def append(self, claim: Any, data: bytes, **options: Any) -> None:
        super().append(claim, data, **options)
        self.ends |= b'["result"' in data

    def barrier(self, run_id: str) -> Awaitable[None] | None:
        waiting = super().barrier(run_id)
        return self._end(waiting) if self.ends and not self.may_end.is_set() else waiting

    async def _end(self, waiting: Awaitable[None] | None) -> None:
        self.ending.set()
        await self.may_end.wait()
        if waiting is not None:
            await waiting


async def test_who_cancels_a_run_that_has_its_result_is_too_late() -> None:
    store = Slow()
    GATE["may end"].set()
    async with Runner(store=store) as runner:
        running = asyncio.create_task(runner.run(COMPILED, INPUTS, run_id="r"))
        await asyncio.wait_for(store.ending.wait(), 20)
        await store.send("r", notices.written(notices.Cancel("Ada", 1.0)))
        runner._owner._attended["r"].take(await store.notices("r"))
        store.may_end.set()
        assert (await asyncio.wait_for(running, 20)).value == "Ducks"
    assert (await head_of(store)).status == "done"
