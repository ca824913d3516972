"""Async tools: each is a task of its own to what it does, and takes no turn of the event loop for that."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from orchestrator import loop, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.execution import control
from orchestrator.runtime.runner import Runner
from orchestrator.runtime.tools import on_loop

who: ContextVar[str] = ContextVar("who", default="nobody")
seen: list[object] = []


async def _tidied(seconds: float) -> None:
    try:
        await asyncio.sleep(30)
    finally:
        await asyncio.sleep(seconds)
        seen.append("tidied")


async def _refuses() -> None:
    while "let go" not in seen:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            seen.append("refused")
    seen.append("ended")


async def _fails() -> None:
    await asyncio.sleep(0)
    raise LookupError("nothing there")


@tool(effects="idempotent")
async def gives_up(how: str) -> str:
    """A timeout of its own, whose end waits longer than a cancelled tool may."""
    try:
        async with asyncio.timeout(0.01):
            await (_tidied(0.05) if how == "scope" else asyncio.gather(_tidied(0.05)))
    except TimeoutError:
        await asyncio.sleep(0.01)
        seen.append("went on")
    return how


@tool(effects="idempotent")
async def cancels_itself(how: str) -> str:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    if how == "caught":
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(0)
        assert (task.cancelling(), task.uncancel()) == (1, 0)
    else:
        await asyncio.sleep(30 if how == "waiting" else 0)
    return how


@tool(effects="idempotent")
async def groups(how: str) -> str:
    async with asyncio.TaskGroup() as group:
        group.create_task(_fails())
        await asyncio.sleep(30)
    return how


@tool(effects="idempotent", timeout=0.05)
async def waits_for_another(how: str) -> str:
    task = asyncio.create_task(_refuses())
    await (asyncio.shield(task) if how == "shield" else asyncio.gather(task) if how == "gather" else task)
    return how


@tool(effects="idempotent")
async def says_who(how: str) -> str:
    before = who.get()
    who.set(how)
    await asyncio.sleep(0)
    return f"{before}, {who.get()}"


@tool(effects="idempotent")
async def looks_at_its_task(how: str) -> list[str]:
    first = asyncio.current_task()
    await asyncio.sleep(0)
    names = [asyncio.current_task().get_name()]  # type: ignore[union-attr]
    await asyncio.gather(asyncio.sleep(0))
    assert asyncio.current_task() is first
    assert first is not None
    assert not first.done()
    first.set_name("another")
    return [*names, first.get_name()]


@tool(effects="idempotent")
async def count(n: int) -> int:
    return n + 1


@tool(effects="idempotent")
async def count_later(n: int) -> int:
    await asyncio.sleep(0)
    return n + 1


@workflow
def giving_up(how: str) -> str:
    return gives_up(how)


@workflow
def cancelling(how: str) -> str:
    return cancels_itself(how)


@workflow
def grouping(how: str) -> str:
    return groups(how)


@workflow
def waiting(how: str) -> str:
    return waits_for_another(how)


@workflow
def telling(how: str) -> str:
    return says_who(says_who(how))


@workflow
def looking(how: str) -> list[str]:
    return looks_at_its_task(how)


@workflow
def counting(n: int) -> int:
    return loop(count, n, max=50, until=lambda n: n >= 50)


@workflow
def counting_later(n: int) -> int:
    return loop(count_later, n, max=50, until=lambda n: n >= 50)


@pytest.fixture(autouse=True)
def _afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_loop, "GRACE_S", 0.02)
    seen.clear()


@pytest.mark.parametrize("how", ["scope", "gather"])
async def test_a_timeout_inside_a_tool_ends_nothing_but_what_it_is_around(how: str) -> None:
    async with asyncio.timeout(20), Runner() as runtime:
        result = await runtime.run(compile_workflow(giving_up), {"how": how})
    assert (result.value, result.warnings) == (how, ())
    assert seen == ["tidied", "went on"]


@pytest.mark.parametrize("how", ["waiting", "at once"])
async def test_a_tool_that_cancels_itself_has_failed_and_its_run_is_not_cancelled(how: str) -> None:
    async with asyncio.timeout(20), Runner() as runtime:
        with pytest.raises(RunError) as caught:
            await runtime.run(compile_workflow(cancelling), {"how": how})
        assert caught.value.code == "ORCH-R001"
        assert "`cancels_itself_1` failed" in caught.value.message
        assert (await runtime.run(compile_workflow(cancelling), {"how": "caught"})).value == "caught"


async def test_a_task_group_inside_a_tool_cancels_that_tool_only() -> None:
    async with asyncio.timeout(20), Runner() as runtime:
        with pytest.raises(RunError, match="ExceptionGroup") as caught:
            await runtime.run(compile_workflow(grouping), {"how": "group"})
    assert caught.value.code == "ORCH-R001"


@pytest.mark.parametrize("how", ["task", "gather", "shield"])
async def test_a_tool_that_waits_for_what_takes_no_cancellation_holds_nobody(how: str) -> None:
    async with asyncio.timeout(20), Runner() as runtime:
        with pytest.raises(RunError) as caught:
            await runtime.run(compile_workflow(waiting), {"how": how})
        assert caught.value.code == "ORCH-R004"
        assert seen == ([] if how == "shield" else ["refused"])
        seen.append("let go")
        while "ended" not in seen:
            await asyncio.sleep(0.01)


async def test_a_cancelled_run_ends_although_its_tool_takes_the_cancellation_back() -> None:
    @tool(effects="idempotent")
    async def takes_back(n: int) -> int:
        try:
            seen.append("waits")
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
        await asyncio.sleep(0)
        return n

    @workflow
    def taking_back(n: int) -> int:
        return takes_back(n)

    async with asyncio.timeout(20), Runner() as runtime:
        run = asyncio.create_task(runtime.run(compile_workflow(taking_back), {"n": 1}))
        while not seen:
            await asyncio.sleep(0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run


async def test_a_tool_may_clean_up_although_its_run_is_cancelled_again_and_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    @tool(effects="idempotent")
    async def tidies(n: int) -> int:
        seen.append("waits")
        await (_tidied(0.02) if n else asyncio.gather(_tidied(0.02)))
        return n

    @workflow
    def tidying(n: int) -> int:
        return tidies(n)

    monkeypatch.setattr(on_loop, "GRACE_S", 30.0)
    async with asyncio.timeout(20), Runner() as runtime:
        for n in (0, 1):
            seen.clear()
            run = asyncio.create_task(runtime.run(compile_workflow(tidying), {"n": n}))
            while not seen:
                await asyncio.sleep(0)
            while not run.done():
                run.cancel()
                await asyncio.sleep(0)
            assert run.cancelled()
            assert seen == ["waits", "tidied"]
    assert "left behind" not in caplog.text


async def test_context_variables_of_a_tool_are_its_own() -> None:
    async with Runner() as runtime:
        said = (await runtime.run(compile_workflow(telling), {"how": "me"})).value
    assert said == "nobody, nobody, me"
    assert who.get() == "nobody"


async def test_a_tool_is_one_task_from_its_beginning_to_its_end() -> None:
    async with Runner() as runtime:
        assert (await runtime.run(compile_workflow(looking), {"how": "x"})).value == ["looks_at_its_task_1", "another"]


async def _turns_of(flow: object) -> int:
    """How often the event loop turns during a run of fifty tools."""
    turns = 0
    is_over = False

    def turn() -> None:
        nonlocal turns
        turns += 1
        if not is_over:
            asyncio.get_running_loop().call_soon(turn)

    compiled = compile_workflow(flow)  # type: ignore[arg-type]
    async with Runner() as runtime:
        await runtime.run(compiled, {"n": 49})
        asyncio.get_running_loop().call_soon(turn)
        assert (await runtime.run(compiled, {"n": 0})).value == 50
        is_over = True
    return turns


async def test_the_event_loop_turns_as_often_as_tools_wait() -> None:
    at_once, later = await _turns_of(counting), await _turns_of(counting_later)
    assert at_once < 60  # where the machine is slow, a loop lets others go on in between
    assert later < 110


async def test_a_loop_gives_way_after_a_while_unless_its_tools_have_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "SLICE_S", 0.0)
    assert await _turns_of(counting) > 45
    assert await _turns_of(counting_later) < 75
