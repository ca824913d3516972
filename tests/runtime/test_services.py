"""Engines close whatever the others do."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator import chat, llm, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.observe import Subscription
from orchestrator.runtime.runner import Runner
from orchestrator.runtime.services import Engines


class Stubborn(ScriptedEngine):
    """Is closed, or says why not."""

    def __init__(self, name: str, error: BaseException | None) -> None:
        super().__init__(lambda request: name, name=name, model=name)
        self.error = error
        self.closed = 0

    async def close(self) -> None:
        self.closed += 1
        if self.error is not None:
            raise self.error


@workflow
def all_three(q: str) -> list[str]:
    return [llm(q, model="a"), llm(q, model="b"), llm(q, model="c")]


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (RuntimeError("a hangs"), "RuntimeError: a hangs"),
        (SystemExit(4), "SystemExit: 4"),
        (asyncio.CancelledError("a gave up"), "CancelledError: a gave up"),
    ],
)
async def test_an_engine_that_does_not_close_keeps_no_other_open(fault: BaseException, why: str) -> None:
    engines = [Stubborn("a", fault), Stubborn("b", None), Stubborn("c", OSError("c is gone"))]
    cluster = Cluster(engines=tuple(EngineSpec(name=each.name, kind="scripted", model=each.name) for each in engines))
    feed = Subscription()
    runtime = Runner({each.name: each for each in engines}, observers=[feed])
    assert (await runtime.run(compile_workflow(all_three, cluster), {"q": "?"})).value == ["a", "b", "c"]
    with pytest.raises(RunError) as caught:
        await runtime.close()
    assert [each.closed for each in engines] == [1, 1, 1]
    found = {each.message.split("`")[1]: each.why for each in caught.value.diagnostics}
    assert found == {"a": why, "c": "OSError: c is gone"}
    assert {each.code for each in caught.value.diagnostics} == {"ORCH-R065"}
    assert [entry async for entry in feed]  # its feed has an end
    await runtime.close()


class Unwilling(ScriptedEngine):
    """Takes no hint."""

    async def release(self, session: str) -> None:
        raise SystemExit(1)


@workflow
def two_turns(q: str) -> str:
    first = chat("s").say(q)
    return first.chat.say(first.reply).reply


async def test_a_hint_that_exits_ends_no_run() -> None:
    cluster = Cluster(engines=(EngineSpec(name="main", kind="scripted", model="main"),))
    async with Runner({"main": Unwilling(lambda request: "yes", name="main", model="main")}) as runtime:
        assert (await runtime.run(compile_workflow(two_turns, cluster), {"q": "?"})).value == "yes"


class Late(ScriptedEngine):
    """Starts when it is let, or fails to."""

    def __init__(self) -> None:
        super().__init__(["yes"])
        self.let = asyncio.Event()
        self.fault: BaseException | None = None

    async def start(self) -> None:
        await self.let.wait()
        if self.fault is not None:
            raise self.fault


async def test_those_who_give_up_waiting_for_a_start_leave_it_to_the_others() -> None:
    late = Late()
    engines = Engines({"main": late})
    calls = [asyncio.create_task(engines.started("main")) for _ in range(100)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(engines._starting["main"].task._callbacks) == 1  # type: ignore[attr-defined]
    for call in calls[1:]:
        call.cancel()
    await asyncio.wait(calls[1:])
    assert all(call.cancelled() for call in calls[1:])
    late.let.set()
    assert (await calls[0]).name == late.name
    await engines.close()


async def test_those_who_wait_for_a_start_go_on_in_the_order_in_which_they_came() -> None:
    late = Late()
    engines = Engines({"main": late})
    order: list[int] = []

    async def call(number: int) -> None:
        await engines.started("main")
        order.append(number)

    calls = [asyncio.create_task(call(number)) for number in range(50)]
    await asyncio.sleep(0)
    late.let.set()
    await asyncio.gather(*calls)
    assert order == list(range(50))
    await engines.close()


async def test_all_who_wait_for_a_start_are_told_how_it_failed_and_the_next_one_starts_it_again() -> None:
    late = Late()
    late.fault = OSError("no memory")
    engines = Engines({"main": late})
    calls = [asyncio.create_task(engines.started("main")) for _ in range(3)]
    await asyncio.sleep(0)
    late.let.set()
    told = await asyncio.gather(*calls, return_exceptions=True)
    assert told == [late.fault] * 3
    late.fault = None
    await engines.started("main")
    await engines.close()
