"""A rehearsal says what a version of a workflow would do with a run, and does none of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from orchestrator import llm, map_, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.rehearsal import Rehearsal, rehearse
from orchestrator.runtime.runner import Runner

calls: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def _afresh() -> None:
    calls.clear()


@tool(effects="once")
async def pay(cents: int) -> int:
    calls["pay"] += 1
    return cents


@tool(effects="reads")
async def look(what: str) -> str:
    calls["look"] += 1
    return f"about {what}"


@tool(effects="reads")
async def end(text: str) -> str:
    calls["end"] += 1
    raise OSError("not yet")


def flow(n: int) -> str:
    found = map_(lambda t: llm(f"say {t}"), ["a", "b"], limit=5)
    return end("".join(found) + f"{pay(100)}")


async def rehearsed(later: Any) -> tuple[Rehearsal, MemoryStore]:
    """What another version would do with a run that stopped at its end."""
    store = MemoryStore()
    async with Runner({"default": ScriptedEngine(lambda r: r.messages[-1].content)}, store=store) as runtime:
        with pytest.raises(RunError, match="not yet"):
            await runtime.run(compile_workflow(workflow(flow)), {"n": 1}, run_id="r")
    calls.clear()
    later.__name__ = "flow"
    rows = [row async for row in store.history("r")]
    found = await rehearse(compile_workflow(workflow(later)).program, store, "r")
    assert not calls
    assert [row async for row in store.history("r")] == rows
    return found, store


async def test_the_same_version_goes_on_where_it_stopped() -> None:
    found, _ = await rehearsed(flow)
    assert found.is_same
    assert found.again == {"end_1": "end_1"}
    assert not found.undecided
    assert not found.left


async def test_what_would_be_made_again_is_named_and_what_is_lost() -> None:
    def later(n: int) -> str:
        found = map_(lambda t: llm(f"tell {t}"), ["a", "b"], limit=5)
        return end("".join(found) + f"{pay(100)}")

    found, _ = await rehearsed(later)
    assert not found.is_same
    assert len(found.again) == 2
    assert len(found.left) == 2
    assert found.problem is None


async def test_what_needs_a_decision_is_named() -> None:
    def later(n: int) -> str:
        return end(f"{pay(250)}")

    found, _ = await rehearsed(later)
    assert found.undecided == ["pay_1"]
    assert not found.again


async def test_a_new_call_in_front_is_the_only_one_that_is_made() -> None:
    def later(n: int) -> str:
        new = look("x")
        found = map_(lambda t: llm(f"say {t}"), ["a", "b"], limit=5)
        return end("".join(found) + f"{pay(100)}" + new)

    found, _ = await rehearsed(later)
    assert list(found.again) == ["look_1"]
    assert [result.values for result in found.left] == [[100]], "it is behind the new call, and is taken then"


async def test_a_run_that_cannot_go_on_says_why() -> None:
    started = asyncio.Event()

    @tool(effects="once")
    async def slow(n: int) -> int:
        started.set()
        await asyncio.sleep(60)
        return n

    def first(n: int) -> int:
        return slow(n)

    def other(n: int) -> int:
        return len(look("x"))

    other.__name__ = "first"
    store = MemoryStore()
    async with Runner(store=store) as runtime:
        task = asyncio.create_task(runtime.run(compile_workflow(workflow(first)), {"n": 1}, run_id="r"))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    found = await rehearse(compile_workflow(workflow(other)).program, store, "r")
    assert found.problem is not None
    assert found.problem.code == "ORCH-R020"


async def test_an_unknown_run_is_an_error() -> None:
    with pytest.raises(RunError):
        await rehearse(compile_workflow(workflow(flow)).program, MemoryStore(), "none")
