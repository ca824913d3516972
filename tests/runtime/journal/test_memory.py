"""A journal in memory keeps runs in progress, and the last ones that ended."""

from __future__ import annotations

from pydantic import BaseModel

from orchestrator.dsl.models.llm import chat, llm
from orchestrator.dsl.regions.control import loop, map_
from orchestrator.dsl.tool import tool
from orchestrator.dsl.workflow import workflow
from orchestrator.planner.graph import read
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.events import RunDone, RunFailed, RunResumed, RunStarted
from orchestrator.runtime.journal.memory import MemoryJournal
from orchestrator.runtime.program.lowering import lower
from orchestrator.runtime.services import Engines, Services
from tests.runtime.executing import execute


class Point(BaseModel):
    x: int
    tags: tuple[str, ...] = ()


@tool(effects="idempotent")
async def move(point: Point) -> Point:
    return Point(x=point.x + 1, tags=(*point.tags, "moved"))


@workflow
def wf(start: Point, label: str) -> list[Point]:
    talk = chat(label)
    _, talk = talk.say("hello")
    reply, _ = talk.say("again")
    end = loop(move, start, max=3, until=lambda p: p.x >= 3)
    drafts = llm(f"{reply} {end}", returns=Point, samples=2)
    return map_(move, drafts)


async def test_only_runs_that_ended_are_forgotten() -> None:
    traced = wf.trace()
    program = lower(read(traced.module), traced.bindings, returns=traced.returns, program_hash="hash")
    done = await execute(
        program,
        (Point(x=1), "system"),
        Services(Engines({"main": ScriptedEngine(lambda r: '{"x": 5}' if r.sampling.schema else "text")})),
        MemoryJournal(),
        "run",
    )
    journal = MemoryJournal(kept=1)
    for run_id in ("open", "first", "second"):
        for event in done.events[: -1 if run_id == "open" else None]:
            journal.append(run_id, event)
    assert await journal.load("open")
    assert not await journal.load("first")
    assert await journal.load("second")


async def test_a_run_that_was_resumed_is_in_progress_again() -> None:
    journal = MemoryJournal(kept=1)
    for event in (RunStarted("r", "w", "hash", (), 0.0), RunFailed("ORCH-R001", "failed", None, None, 1.0)):
        journal.append("r", event)
    journal.append("r", RunResumed(2.0))
    for other in ("first", "second"):
        journal.append(other, RunDone(1, 3.0))
    assert len(await journal.load("r")) == 3
    journal.append("r", RunDone(1, 4.0))
    assert not await journal.load("second")
    assert len(await journal.load("r")) == 4
