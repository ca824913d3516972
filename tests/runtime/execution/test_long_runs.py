"""A run in a store that goes on for very long does not keep all that has happened in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import llm, loop, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.execution import execution
from orchestrator.runtime.journal.stores.base import Store
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.result import RunResult
from orchestrator.runtime.runner import Runner

TURNS = 100


@tool(effects="reads")
async def look(at: str) -> str:
    return at


@workflow(max_iterations=TURNS)
def looping(start: str) -> str:
    return loop(lambda s: llm(f"Go on from {look(s)}"), start, max=TURNS)


async def ran(store: Store | None) -> RunResult:
    async with Runner({"main": ScriptedEngine(lambda _: "two words")}, store=store) as runner:
        return await runner.run(compile_workflow(looping), {"start": "two words"}, run_id="r")


async def test_the_latest_events_are_kept_and_everything_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = await ran(None)
    monkeypatch.setattr(execution, "MOST_EVENTS", 60)
    kept = await ran(MemoryStore())
    assert (kept.value, kept.usage) == (whole.value, whole.usage)
    assert len(kept.events) < 70 < 4 * TURNS < len(whole.events)
    assert [each.frame for each in kept.ops][-2:] == [each.frame for each in whole.ops][-2:]
    assert any("the latest of its ops alone" in said for said in kept.warnings)
    assert not whole.warnings


async def test_what_is_not_over_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "MOST_EVENTS", 60)
    store = await open_store(str(tmp_path / "runs.db"))
    result = await ran(store)
    await store.close()
    looped = next(each for each in result.ops if each.id == "loop_1")
    assert looped.done
    assert looped.seconds > 0
