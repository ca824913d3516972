"""Whatever a log holds may be large: what loops hand on, what failures and people say, and what names messages."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from time import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import Chat, ask, attempt, chat, loop, map_, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError, SuspendedError
from orchestrator.runtime.coordinator import notices
from orchestrator.runtime.coordinator.forking import fork
from orchestrator.runtime.coordinator.owner import Owner
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.lifecycle import result_of
from orchestrator.runtime.journal import recorder
from orchestrator.runtime.journal.artifacts import apart, garbage
from orchestrator.runtime.journal.artifacts.apart import Apart, names_in
from orchestrator.runtime.journal.artifacts.base import DAY_S
from orchestrator.runtime.journal.artifacts.folder import Folder
from orchestrator.runtime.journal.artifacts.garbage import collect_garbage
from orchestrator.runtime.journal.artifacts.opening import open_artifacts
from orchestrator.runtime.journal.events import RunStarted
from orchestrator.runtime.journal.lines.chats import Chats
from orchestrator.runtime.journal.lines.stored import loads
from orchestrator.runtime.journal.lines.wire import Wire
from orchestrator.runtime.journal.reading.carried import exported, imported, read
from orchestrator.runtime.journal.recorder import Recorder
from orchestrator.runtime.journal.stores.base import Change, Claim, NewRun, Row
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.runner import Runner
from orchestrator.runtime.services import Engines, Services
from tests.runtime.journal.lines.test_wire import EVENTS, program_of
from tests.runtime.journal.test_recorder import PROFILE, SEEDS, resumed
from tests.runtime.random_programs import Builder, Generator, Shape

LARGE, PIECE = 2000, 80
"""Characters of what is large here, and numbers that a turn adds: less to write, and all the same."""
turns: list[int] = []


@tool(effects="idempotent")
async def grow(state: list[int]) -> list[int]:
    """Every value of a piece is another one, so no turn looks like the one before."""
    turns.append(len(state))
    return [*state, *range(len(state), len(state) + PIECE)]


@tool(effects="idempotent")
async def change(state: list[int]) -> list[int]:
    """Nothing stays as it was, so that what has changed is the whole."""
    turns.append(len(state))
    return [each + 1 for each in state]


@workflow
def growing(start: int) -> int:
    return len(loop(grow, [start], max=33))


@workflow
def changing(state: list[int]) -> int:
    return loop(change, state, max=33)[0]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    turns.clear()
    monkeypatch.setattr(apart, "LARGEST_INLINE", LARGE)
    monkeypatch.setattr(recorder, "SNAPSHOT_BYTES", LARGE)
    yield


async def rows_of(store: MemoryStore, run_id: str = "r") -> list[Row]:
    return [row async for row in store.history(run_id)]


async def until(rows: list[Row], version: str, workflow: str, artifacts: list[str]) -> MemoryStore:
    """A store with a run that has come so far."""
    store = MemoryStore()
    head = await store.create(NewRun("r", workflow, version), rows[0].data, owner="gone", artifacts=artifacts)
    claim = Claim("r", head.epoch)
    for row in rows[1:]:
        (store.snapshot if row.is_snapshot else store.append)(claim, row.data)
    store.append(claim, b"", change=Change("ready"))
    store.barrier("r")
    return store


@pytest.mark.parametrize(("flow", "given"), [(growing, 0), (changing, list(range(900)))])
async def test_what_a_loop_hands_on_is_an_artifact_and_goes_on_from_any_row(
    flow: Any, given: object, tmp_path: Path
) -> None:
    store, artifacts, compiled = MemoryStore(), Folder(tmp_path), compile_workflow(flow)
    async with Runner(store=store, artifacts=artifacts) as runner:
        result = await runner.run(compiled, {compiled.program.params[0]: given}, run_id="r")
    rows, did = await rows_of(store), len(turns)
    text = "\n".join(row.data.decode() for row in rows)
    assert max(map(len, text.split("\n"))) < LARGE + 300
    assert "\t@" in text
    names = names_in(text)
    assert set(await store.referred(names)) == names == set(artifacts.names(1e11))
    left = []
    for cut in range(1, len(rows) + 1, 3):
        turns.clear()
        begun = await until(rows[:cut], compiled.program.fingerprint, compiled.program.name, [*names])
        async with Runner(store=begun, artifacts=artifacts) as runner:
            assert (await runner.resume(compiled, "r")).value == result.value
        left.append(len(turns))
    assert left[0] == did
    assert left[-1] <= 1
    assert all(later <= before for before, later in pairwise(left))


async def test_only_a_change_that_is_large_is_an_artifact(tmp_path: Path) -> None:
    @tool(effects="idempotent")
    async def append(state: list[int]) -> list[int]:
        return [*state, 1]

    @workflow
    def flow(state: list[int]) -> int:
        return len(loop(append, state, max=33))

    store, artifacts = MemoryStore(), Folder(tmp_path)
    async with Runner(store=store, artifacts=artifacts) as runner:
        await runner.run(compile_workflow(flow), {"state": [1] * 1500}, run_id="r")
    text = b"".join(row.data for row in await rows_of(store)).decode()
    assert text.count("\t@") == 1
    assert text.count("\t~") == 3
    assert text.count("\t~@") == 0


async def test_artifacts_of_a_loop_go_with_its_run_into_a_file_and_a_fork_and_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, artifacts, compiled = MemoryStore(), Folder(tmp_path / "a"), compile_workflow(changing)
    async with Runner(store=store, artifacts=artifacts) as runner:
        await runner.run(compiled, {"state": list(range(900))}, run_id="r")
    other, there = MemoryStore(), Folder(tmp_path / "b")
    await imported(other, there, read([line async for line in exported(store, artifacts, "r")]), owner="o")
    assert set(there.names(1e11)) == set(artifacts.names(1e11))
    await fork(store, compiled.program, "r", "f", artifacts=artifacts)
    await store.remove(["r"])
    at = time() + 30 * DAY_S
    monkeypatch.setattr(garbage, "time", lambda: at)
    await collect_garbage(store, artifacts)
    named = names_in("\n".join([row.data.decode() for row in await rows_of(store, "f")]))
    assert set(artifacts.names(1e11)) == named != set()
    turns.clear()
    async with Runner(store=store, artifacts=artifacts) as runner:
        assert (await runner.resume(compiled, "f")).value == 33
    assert len(turns) == 0
    await store.remove(["f"])
    assert await collect_garbage(store, artifacts) > 0
    assert list(artifacts.names(1e11)) == []


async def test_a_loop_that_is_interrupted_in_every_turn_does_not_read_more_and_more(tmp_path: Path) -> None:
    """What stands beside the log counts as what has to be read, also for whoever goes on."""
    fails_at: list[int] = []

    @tool(effects="idempotent")
    async def step(state: list[int]) -> list[int]:
        if state[0] in fails_at:
            fails_at.remove(state[0])
            raise OSError("the power is gone")
        return [each + 1 for each in state]

    @workflow
    def flow(state: list[int]) -> int:
        return loop(step, state, max=100)[0]

    store, artifacts, compiled = MemoryStore(), Folder(tmp_path), compile_workflow(flow)
    fails_at += range(9, 99, 9)
    async with Runner(store=store, artifacts=artifacts) as runner:
        with pytest.raises(RunError, match="the power is gone"):
            await runner.run(compiled, {"state": [0] * 1500}, run_id="r")
    for _ in range(9):
        async with Runner(store=store, artifacts=artifacts) as runner:
            with pytest.raises(RunError, match="the power is gone"):
                await runner.resume(compiled, "r")
    async with Runner(store=store, artifacts=artifacts) as runner:
        assert (await runner.resume(compiled, "r")).value == 100
    assert sum(row.is_snapshot for row in await rows_of(store)) >= 3


@tool(effects="idempotent")
async def refuse(text: str) -> str:
    raise ValueError(text)


@workflow
def said(text: str) -> str:
    answer = ask("What then?", name="what")
    return attempt(lambda: refuse(text + answer), lambda error: error.message)


async def test_answers_and_what_failures_say_are_artifacts(tmp_path: Path) -> None:
    store, artifacts, compiled = MemoryStore(), Folder(tmp_path), compile_workflow(said)
    text, answer = "x" * 7000, "y\ud800" * 4000
    async with Runner(store=store, artifacts=artifacts) as runner:
        with pytest.raises(SuspendedError):
            await runner.run(compiled, {"text": text}, run_id="r")
        await notices.answer(store, "r", "what", answer)
        assert (await runner.resume(compiled, "r")).value == text + answer
    rows = await rows_of(store)
    assert sum(len(row.data) for row in rows) < 10_000
    for cut in range(1, len(rows)):
        begun = await until(rows[:cut], compiled.program.fingerprint, "said", [])
        async with Runner(store=begun, artifacts=artifacts) as runner:
            try:
                value = (await runner.resume(compiled, "r")).value
            except SuspendedError:
                await notices.answer(begun, "r", "what", answer)
                value = (await runner.resume(compiled, "r")).value
        assert value == text + answer


def test_every_kind_of_line_is_read_again_with_everything_in_it_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "LARGEST_INLINE", 0)
    for flow, event in EVENTS:
        beside = Apart(MemoryStore(), open_artifacts("memory://kinds"))
        wire = Wire(program_of(flow), Chats(), beside)
        line = wire.write(event)
        asyncio.run(beside.put(beside.take_fresh()))
        data = loads(line.text)
        assert wire.read(data if line.state is None else [*data, loads(line.state)]) == event
        assert line.kind in _SMALL or names_in(line.text), line.text


_SMALL = {
    "resumed", "totals", "version", "forked", "decided", "started", "turn", "cleanup", "timer", "asked", "reserved",
    "spent",
}  # fmt: skip
"""They say nothing large, but for questions, and turns, which hand on what stands behind the line."""


@workflow
def fails(text: str) -> str:
    return refuse(text)


async def test_the_head_of_a_run_that_failed_says_the_beginning_of_why(tmp_path: Path) -> None:
    store, artifacts = MemoryStore(), Folder(tmp_path)
    async with Runner(store=store, artifacts=artifacts) as runner:
        with pytest.raises(RunError):
            await runner.run(compile_workflow(fails), {"text": "x" * 10_000}, run_id="r")
    head = await store.head("r")
    assert head is not None
    assert head.why is not None
    assert len(head.why) < 3000
    assert "xxx" in head.why
    assert sum(len(row.data) for row in await rows_of(store)) < 10_000


@tool(effects="pure", cheap=True)
def lengths(talks: list[Chat]) -> list[int]:
    return [len(each.messages) for each in talks]


@workflow
def several(texts: list[str]) -> str:
    talks = map_(lambda text: chat("Be brief.").say(text)[1], texts, limit=50)
    grown = loop(grow, lengths(talks), max=20)
    said, _ = talks[7].say(f"And {len(grown)}?")
    return said


async def test_a_large_value_that_names_messages_is_apart_and_they_are_kept_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "LARGEST_INLINE", 400)
    monkeypatch.setattr(recorder, "SNAPSHOT_BYTES", 1000)
    monkeypatch.setattr(Recorder, "_halves", lambda *_: True)
    store, artifacts, compiled = MemoryStore(), Folder(tmp_path), compile_workflow(several)

    def engine() -> ScriptedEngine:
        return ScriptedEngine(lambda request: f"{request.messages[-1].content} is read" + "z" * 300)

    async with Runner({"default": engine()}, store=store, artifacts=artifacts) as runner:
        result = await runner.run(compiled, {"texts": [str(each) for each in range(50)]}, run_id="r")
    rows = await rows_of(store)
    assert any('[{"~chat":' in artifacts.get(name).decode() for name in artifacts.names(1e11))
    for cut in range(1, len(rows) + 1, 5):
        begun = await until(rows[:cut], compiled.program.fingerprint, "several", [])
        async with Runner({"default": engine()}, store=begun, artifacts=artifacts) as runner:
            assert (await runner.resume(compiled, "r")).value == result.value


@settings(PROFILE, max_examples=8)
@given(SEEDS, st.integers(1, 2000))
def test_a_log_with_snapshots_goes_on_from_any_row_with_everything_apart(seed: int, least: int) -> None:
    body = Generator(Random(seed), Shape(races=False, flaky=False)).program()
    artifacts = open_artifacts(f"memory://slots{seed}")

    async def recorded() -> tuple[Any, list[Row]]:
        store, program = MemoryStore(), Builder(Random(seed)).build(body)
        owner = Owner(store, artifacts=artifacts)
        started = RunStarted("run", program.name, program.fingerprint, (7,), 0.0)
        log = await owner.begin(program, started, None)
        assert isinstance(log, Recorder)
        result = await result_of(Execution(program, Services(Engines({})), log, "run", started=started), (7,))
        await owner.close()
        return result.value, await rows_of(store, "run")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apart, "LARGEST_INLINE", 0)
        patch.setattr(recorder, "SNAPSHOT_BYTES", least)
        value, rows = asyncio.run(recorded())
    for cut in range(1, len(rows) + 1):
        program = Builder(Random(seed)).build(body)
        last = max((at for at, row in enumerate(rows[:cut]) if row.is_snapshot), default=0)
        log = Recorder(MemoryStore(), program, patience_s=1.0, artifacts=artifacts)
        assert resumed(program, log.read(rows[last:cut])).value == value
