"""Whatever an edit does to a workflow, nothing that has written something is written again by itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from time import time
from typing import Any

import pytest

from orchestrator import ask, chat, race, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.human import Answers
from orchestrator.runtime.journal.artifacts.folder import Folder
from orchestrator.runtime.journal.stores.base import NewRun
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.journal.versions.version_change import read_history
from orchestrator.runtime.runner import Runner

calls: Counter[str] = Counter()
broken: list[bool] = []


@pytest.fixture(autouse=True)
def _afresh() -> None:
    calls.clear()
    broken[:] = [True]


@tool(effects="once")
async def pay(cents: int) -> int:
    calls[f"pay {cents}"] += 1
    return cents


@tool(effects="once")
async def pay_slowly(cents: int) -> int:
    calls["pay slowly"] += 1
    await asyncio.sleep(60)
    return cents


@tool(effects="once")
async def pay_badly(cents: int) -> int:
    calls["pay badly"] += 1
    raise OSError("lost connection")


@tool(effects="reads")
async def soon(n: int) -> int:
    await asyncio.sleep(0.01)
    return n


@tool(effects="reads")
async def look(what: str) -> str:
    return f"about {what}"


@tool(effects="reads")
async def end(text: str) -> str:
    """It fails while it is broken, so that the run stops there."""
    if broken[0]:
        raise OSError("not yet")
    return text


async def versions(runtime: Runner, *flows: Any, **options: Any) -> list[Any]:
    """What a run gives in each version of its workflow in turn; ``end`` fails in the first one."""
    found: list[Any] = []
    for at, flow in enumerate(flows):
        broken[0] = not at
        flow.__name__ = "flow"
        compiled = compile_workflow(workflow(flow))
        try:
            result = await (
                runtime.resume(compiled, "r", **options) if at else runtime.run(compiled, {"n": 1}, run_id="r")
            )
        except RunError as error:
            found.append(error.code)
        else:
            found.append(result.value)
    return found


async def test_what_was_cut_off_in_a_race_that_is_over_is_not_started_again_with_that_race() -> None:
    def first(n: int) -> str:
        return end(f"{race(lambda: soon(1), lambda: pay_slowly(5))}")

    def second(n: int) -> str:
        return end(f"{race(lambda: soon(1), lambda: pay_slowly(5))} {look('x')}")

    async with Runner(store=MemoryStore()) as runtime:
        assert (await versions(runtime, first, second))[1] == "1 about x"
    assert calls["pay slowly"] == 1


async def test_what_has_failed_must_run_at_most_once_under_all_versions_together() -> None:
    def first(n: int) -> str:
        return end(f"{pay_badly(5)}")

    def second(n: int) -> str:
        return end(f"{pay_badly(5)} {look('x')}")

    def third(n: int) -> str:
        return end(f"{look('y')} {pay_badly(5)}")

    async with Runner(store=MemoryStore()) as runtime:
        await versions(runtime, first, second, third)
    assert calls["pay badly"] == 1


async def test_what_has_failed_once_and_is_another_tool_now_waits_for_a_decision() -> None:
    def first(n: int) -> str:
        return end(f"{pay_badly(5)}")

    def second(n: int) -> str:
        return end(f"{pay(5)}")

    async with Runner(store=MemoryStore()) as runtime:
        assert await versions(runtime, first, second) == ["ORCH-R001", "ORCH-R104"]
        assert calls["pay 5"] == 0
        decided = await runtime.resume(compile_workflow(workflow(second)), "r", decisions={"pay_1": "again"})
    assert decided.value == "5"
    assert calls["pay 5"] == 1


async def test_a_write_that_was_moved_into_an_arm_waits_for_a_decision() -> None:
    def first(n: int) -> str:
        return end(f"{pay(5)} {pay(7)}")

    def second(n: int) -> str:
        paid = 0
        if n > 0:
            paid = pay(7)
        return end(f"{paid}")

    async with Runner(store=MemoryStore()) as runtime:
        assert (await versions(runtime, first, second))[1] == "ORCH-R104"
        compiled = compile_workflow(workflow(second))
        kept = await runtime.resume(compiled, "r", decisions={"pay_1": "keep"})
    assert kept.value == "7", "what was given the same comes first"
    assert calls == {"pay 5": 1, "pay 7": 1}


async def test_what_was_kept_is_in_doubt_no_more_when_the_run_goes_on_again() -> None:
    def first(n: int) -> str:
        return end(f"{pay(100)}")

    def second(n: int) -> str:
        paid = pay(250)
        said = end(f"{paid}")
        return f"{said} {pay(len(said))}"

    second.__name__ = "flow"
    async with Runner(store=MemoryStore()) as runtime:
        assert await versions(runtime, first) == ["ORCH-R001"]
        compiled = compile_workflow(workflow(second))
        with pytest.raises(RunError, match="not yet"):
            await runtime.resume(compiled, "r", decisions={"pay_1": "keep"})
        broken[0] = False
        assert (await runtime.resume(compiled, "r")).value == "100 3"
    assert calls == {"pay 100": 1, "pay 3": 1}


async def test_a_pause_between_two_versions_is_no_part_of_a_budget_of_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    def first(n: int) -> str:
        return end("a")

    def second(n: int) -> str:
        return end("a") + look("x")

    async with Runner(store=MemoryStore()) as runtime:
        compiled = compile_workflow(workflow(first))
        with pytest.raises(RunError, match="not yet"):
            await runtime.run(compiled, {"n": 1}, run_id="r", budget="1 min")
        broken[0] = False
        second.__name__ = "first"
        now = time() + 3600
        for module in (
            "execution.execution",
            "execution.lifecycle",
            "execution.perform",
            "journal.versions.version_change",
        ):
            monkeypatch.setattr(f"orchestrator.runtime.{module}.time", lambda: now, raising=False)
        assert (await runtime.resume(compile_workflow(workflow(second)), "r")).value == "aabout x"


async def test_a_run_with_messages_in_a_folder_of_artifacts_goes_on_with_another_version(tmp_path: Path) -> None:
    def first(n: int) -> str:
        reply, _ = chat("You are brief.").say("x" * 70_000)
        return end(reply)

    def second(n: int) -> str:
        reply, _ = chat("You are brief.").say("x" * 70_000)
        return end(f"{reply} {look('x')}")

    engine = ScriptedEngine(lambda _: "yes")
    async with Runner({"default": engine}, store=MemoryStore(), artifacts=Folder(tmp_path)) as runtime:
        assert (await versions(runtime, first, second))[1] == "yes about x"


async def test_an_answer_that_nobody_had_taken_is_in_doubt_and_not_lost() -> None:
    @workflow
    def first(n: int) -> str:
        return end(ask("Now?"))

    store, compiled = MemoryStore(), compile_workflow(first)
    async with Runner(store=store, human=Answers({"ask_1": "yes"})) as runtime:
        with pytest.raises(RunError, match="not yet"):
            await runtime.run(compiled, {"n": 1}, run_id="r")
    lines = b"".join([row.data async for row in store.history("r")]).splitlines(keepends=True)
    (at,) = (at for at, line in enumerate(lines) if line.startswith(b'["answered"'))
    for crash, count in ((at, 0), (at + 1, 1)):
        cut = MemoryStore()
        await cut.create(NewRun("r", "first", ""), b"".join(lines[:crash]))
        history = await read_history(compiled.program, cut, "r", 1)
        body = compiled.program.body
        (question,) = (op for op in body.ops() if op.id.startswith("ask"))
        assert len(history.earlier.in_doubt("", question.key, "", body)) == count

    def second(n: int) -> str:
        return end(ask("Now?")) + look("x")

    second.__name__ = "first"
    broken[0] = False
    store = MemoryStore()
    await store.create(NewRun("r", "first", compiled.program.fingerprint, "", None), b"".join(lines[: at + 1]))
    async with Runner(store=store) as runtime:
        assert (await runtime.resume(compile_workflow(workflow(second)), "r")).value == "yesabout x"


async def test_equal_calls_have_what_each_of_them_gave_whichever_ended_first() -> None:
    second_is_over = asyncio.Event()

    @tool(effects="reads")
    async def draw(n: int) -> int:
        calls["draw"] += 1
        number = calls["draw"]
        if number == 1:
            await second_is_over.wait()
        second_is_over.set()
        return number

    def first(n: int) -> str:
        return end(f"{draw(n)} {draw(n)}")

    def second(n: int) -> str:
        return end(f"{draw(n)} {draw(n)} {look('x')}")

    async with Runner(store=MemoryStore()) as runtime:
        assert (await versions(runtime, first, second))[1] == "1 2 about x"
    assert calls["draw"] == 2
