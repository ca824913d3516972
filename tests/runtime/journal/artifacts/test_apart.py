"""The large values of runs are artifacts: durable before the log says their name, and read when the run goes on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings

from orchestrator import chat, llm, loop, map_, tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import JournalError, RunError
from orchestrator.runtime.coordinator.owner import Owner
from orchestrator.runtime.coordinator.submitting import submit
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.execution.execution import Execution
from orchestrator.runtime.execution.lifecycle import result_of
from orchestrator.runtime.journal import recorder
from orchestrator.runtime.journal.artifacts import apart, folder, garbage
from orchestrator.runtime.journal.artifacts.base import DAY_S, Artifacts
from orchestrator.runtime.journal.artifacts.folder import Folder
from orchestrator.runtime.journal.artifacts.garbage import collect_garbage
from orchestrator.runtime.journal.artifacts.opening import open_artifacts
from orchestrator.runtime.journal.events import OpDone, OpStarted, RunStarted
from orchestrator.runtime.journal.recorder import Recorder
from orchestrator.runtime.journal.stores.base import Row
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.runner import Runner
from orchestrator.runtime.services import Engines, Services
from tests.runtime.journal.test_recorder import PROFILE, SEEDS, lines_of, resumed
from tests.runtime.random_programs import Builder, Generator, Shape

FOR_EVER = 1e11
LARGE = "x" * 200_000
fails = [False]
calls: list[str] = []


@tool(effects="reads")
async def fetch(url: str) -> dict[str, str]:
    calls.append("fetch")
    return {"text": LARGE, "url": url}


@tool(effects="idempotent")
async def shorten(page: dict[str, str]) -> str:
    if fails[0]:
        raise OSError("the power is gone")
    return page["text"][:3]


@workflow
def flow(url: str) -> str:
    return shorten(fetch(url))


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    calls.clear()
    fails[0] = False
    yield


async def written(store: MemoryStore, run_id: str = "r") -> bytes:
    return b"".join([row.data async for row in store.history(run_id)])


async def interrupted(store: MemoryStore, artifacts: Artifacts) -> None:
    fails[0] = True
    async with Runner(store=store, artifacts=artifacts) as runtime:
        with pytest.raises(RunError, match="the power is gone"):
            await runtime.run(compile_workflow(flow), {"url": "u"}, run_id="r")
    fails[0] = False


async def test_a_large_result_is_an_artifact_and_is_not_asked_for_again(tmp_path: Path) -> None:
    store, artifacts = MemoryStore(), Folder(tmp_path)
    await interrupted(store, artifacts)
    (name,) = artifacts.names(FOR_EVER)
    log = await written(store)
    assert len(log) < 2000
    assert name.encode() in log
    assert set(await store.referred([name])) == {name}
    async with Runner(store=store, artifacts=artifacts) as runtime:
        assert (await runtime.resume(compile_workflow(flow), "r")).value == "xxx"
    assert calls == ["fetch"]


async def test_it_is_kept_as_long_as_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, artifacts = MemoryStore(), Folder(tmp_path)
    await interrupted(store, artifacts)
    at = garbage.time() + 30 * DAY_S
    monkeypatch.setattr(garbage, "time", lambda: at)
    assert await collect_garbage(store, artifacts) == 0
    await store.remove(["r"])
    assert await collect_garbage(store, artifacts) == 1


async def test_a_lost_one_is_said_to_be_what_the_op_gave_and_the_run_waits_for_it(tmp_path: Path) -> None:
    store, artifacts = MemoryStore(), Folder(tmp_path)
    await interrupted(store, artifacts)
    (name,) = artifacts.names(FOR_EVER)
    data = artifacts.get(name)
    artifacts.remove([name])
    artifacts.put(b"of another run")
    async with Runner(store=store, artifacts=artifacts) as runtime:
        with pytest.raises(RunError, match="what `fetch_1` gave is lost") as caught:
            await runtime.resume(compile_workflow(flow), "r")
        assert caught.value.code == "ORCH-R090"
        assert (await store.heads())[0].status == "failed"
        artifacts.put(data, name)
        assert (await runtime.resume(compile_workflow(flow), "r")).value == "xxx"
    assert calls == ["fetch"]


class Watched(Folder):
    """Notes what the log has when something is put, and fails for a while."""

    def __init__(self, path: Path, store: MemoryStore, failures: int = 0) -> None:
        super().__init__(path)
        self.store, self.failures = store, failures
        self.seen: list[bytes] = []

    def put(self, data: bytes, name: str | None = None) -> str:
        self.seen.append(asyncio.run(written(self.store)))
        if self.failures:
            self.failures -= 1
            raise OSError(28, "No space left on device")
        return super().put(data, name)


async def test_no_row_names_what_is_not_durable_and_referred_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MemoryStore()
    artifacts = Watched(tmp_path, store)
    refer = store.refer

    async def noted(run_id: str, names: Any) -> None:
        assert set(names) == set(artifacts.names(FOR_EVER))
        artifacts.seen.append(await written(store))
        await refer(run_id, names)

    monkeypatch.setattr(store, "refer", noted)
    async with Runner(store=store, artifacts=artifacts) as runtime:
        await runtime.run(compile_workflow(flow), {"url": "u"}, run_id="r")
    assert len(artifacts.seen) == 2
    assert all(b"~artifact" not in log for log in artifacts.seen)
    assert (await written(store)).count(b"~artifact") == 1


async def test_a_place_that_fails_suspends_the_run_and_is_no_failure_of_its_tools(tmp_path: Path) -> None:
    store = MemoryStore()
    artifacts = Watched(tmp_path, store, failures=3)
    async with Runner(store=store, artifacts=artifacts) as runtime:
        assert (await runtime.run(compile_workflow(flow), {"url": "u"}, run_id="r")).value == "xxx"
    assert (artifacts.failures, calls) == (0, ["fetch"])


async def test_one_that_goes_on_failing_ends_the_run_which_goes_on_when_it_is_mended(tmp_path: Path) -> None:
    store = MemoryStore()
    async with Runner(store=store, artifacts=Watched(tmp_path, store, failures=10_000), lease_s=0.05) as runtime:
        with pytest.raises(JournalError, match="No space left on device"):
            await runtime.run(compile_workflow(flow), {"url": "u"}, run_id="r")
    assert b"~artifact" not in await written(store)
    await asyncio.sleep(0.1)
    async with Runner(store=store, artifacts=Folder(tmp_path)) as runtime:
        assert (await runtime.resume(compile_workflow(flow), "r")).value == "xxx"
    assert calls == ["fetch", "fetch"], "it only reads, and what it gave was nowhere"


@workflow
def several(urls: list[str]) -> list[dict[str, str]]:
    return map_(fetch, urls, limit=10)


async def test_equal_content_is_kept_once(tmp_path: Path) -> None:
    store, artifacts = MemoryStore(), Folder(tmp_path)
    async with Runner(store=store, artifacts=artifacts) as runtime:
        result = await runtime.run(compile_workflow(several), {"urls": ["u"] * 5}, run_id="r")
        assert result.value == [{"text": LARGE, "url": "u"}] * 5
        assert len(list(artifacts.names(FOR_EVER))) == 2, "the page, and the list of five"
        again = await runtime.resume(compile_workflow(several), "r")
    assert again.value == result.value
    assert len(calls) == 5


@tool(effects="idempotent")
async def longer(text: str) -> str:
    return text + "y"


@tool(effects="reads")
async def text_of(n: int) -> str:
    return "x" * n


@workflow
def one(n: int) -> int:
    return len(text_of(n))


@workflow
def looping(text: str) -> str:
    text = loop(lambda so_far: so_far + "y", text, max=30)
    talk = chat("You are brief.")
    reply, talk = talk.say(text)
    return f"{len(llm(reply))}"


async def test_what_a_loop_hands_on_stays_in_the_log_and_large_inputs_and_messages_do_not(tmp_path: Path) -> None:
    store, artifacts = MemoryStore(), Folder(tmp_path)
    engine = ScriptedEngine(lambda request: f"{len(request.messages)} {LARGE}")
    async with Runner({"default": engine}, store=store, artifacts=artifacts) as runtime:
        result = await runtime.run(compile_workflow(looping), {"text": LARGE}, run_id="r")
        names = set(artifacts.names(FOR_EVER))
        log = await written(store)
        assert {each.decode() for each in re.findall(rb"^M(\S+)$", log, re.M)} == names
        assert len(names) >= 2
        assert len(log) < 10_000
        assert (await runtime.resume(compile_workflow(looping), "r")).value == result.value


@workflow
def counting(texts: list[str], url: str) -> str:
    return shorten(fetch(url)) + f"{len(texts)}"


INPUTS = {"texts": [str(number) for number in range(20_000)], "url": "u" + LARGE}


async def test_a_run_refers_to_its_large_inputs_from_its_first_moment(tmp_path: Path) -> None:
    store, artifacts, compiled = MemoryStore(), Watched(tmp_path, MemoryStore()), compile_workflow(counting)
    run_id = await submit(store, compiled, INPUTS, artifacts=artifacts)
    (first,) = [row async for row in store.history(run_id)]
    names = set(artifacts.names(FOR_EVER))
    assert len(first.data) < 1000
    assert len(names) == 2
    assert set(await store.referred(names)) == names
    async with Runner(store=store, artifacts=Folder(tmp_path)) as runtime:
        assert (await runtime.resume(compiled, run_id)).value == "xxx20000"
        assert (await runtime.resume(compiled, run_id)).value == "xxx20000"


async def test_large_inputs_of_a_run_that_was_never_created_are_garbage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, artifacts = MemoryStore(), Folder(tmp_path)

    async def dies(*_: object, **__: object) -> None:
        assert len(set(artifacts.names(FOR_EVER))) == 2, "they are durable before anything names them"
        raise OSError("the process is gone")

    with monkeypatch.context() as patch:
        patch.setattr(store, "create", dies)
        with pytest.raises(OSError, match="is gone"):
            await submit(store, compile_workflow(counting), INPUTS, run_id="r", artifacts=artifacts)
    assert await store.load("r") is None
    at = garbage.time() + 30 * DAY_S
    monkeypatch.setattr(garbage, "time", lambda: at)
    assert await collect_garbage(store, artifacts) == 2


async def test_a_log_whose_values_are_elsewhere_is_not_read_without_them(tmp_path: Path) -> None:
    store = MemoryStore()
    async with Runner(store=store, artifacts=Folder(tmp_path)) as runtime:
        await runtime.run(compile_workflow(one), {"n": 200_000}, run_id="r")
    assert b"\nM" in await written(store)
    async with Runner(store=store) as runtime:
        with pytest.raises(RunError, match="no place for artifacts was given") as caught:
            await runtime.resume(compile_workflow(one), "r")
    assert caught.value.code == "ORCH-R102"


@settings(PROFILE, max_examples=8)
@given(SEEDS)
def test_every_prefix_goes_on_with_every_value_apart(seed: int) -> None:
    body = Generator(Random(seed), Shape(races=False, flaky=False)).program()
    artifacts = open_artifacts(f"memory://{seed}")

    async def recorded() -> tuple[Any, list[Row]]:
        store, program = MemoryStore(), Builder(Random(seed)).build(body)
        owner = Owner(store, artifacts=artifacts)
        started = RunStarted("run", program.name, program.fingerprint, (7,), 0.0)
        log = await owner.begin(program, started, None)
        assert isinstance(log, Recorder)
        result = await result_of(Execution(program, Services(Engines({})), log, "run", started=started), (7,))
        await owner.close()
        return result.value, [row async for row in store.history("run")]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apart, "LARGEST_INLINE", 0)
        value, rows = asyncio.run(recorded())
    lines = lines_of(rows)
    for cut in range(2, len(lines) + 1):
        program = Builder(Random(seed)).build(body)
        recorder = Recorder(MemoryStore(), program, patience_s=1.0, artifacts=artifacts)
        events = recorder.read([Row(1, False, 0.0, b"".join(lines[:cut]))])
        done = {(event.frame, event.op) for event in events if isinstance(event, OpDone)}
        result = resumed(program, events)
        assert result.value == value
        assert not {(event.frame, event.op) for event in result.events if isinstance(event, OpStarted)} & done


def test_a_name_given_before_midnight_is_the_name_after_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "time", lambda: 86_399.0)
    monkeypatch.setattr(folder, "time", lambda: 86_401.0)
    artifacts = Folder(tmp_path)
    values = apart.Apart(MemoryStore(), artifacts)
    text = values.written(f'"{LARGE}"')
    asyncio.run(values.put(values.take_fresh()))
    assert "19700101-" in text
    assert apart.value_of(apart.loads(text), "it", values) == LARGE


@tool(effects="reads")
async def page(n: int) -> str:
    return str(n) * 70_000


@workflow(max_iterations=200)
def reading(n: int) -> int:
    while n < 100:
        n = length(page(n)) // 70_000 + n
    return n


@tool(effects="reads")
async def length(text: str) -> int:
    return 70_000


async def test_a_long_run_remembers_the_names_of_what_may_still_count_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "SNAPSHOT_BYTES", 2000)
    program, owner = compile_workflow(reading).program, Owner(MemoryStore(), artifacts=Folder(tmp_path))
    started = RunStarted("r", program.name, program.fingerprint, (1,), 0.0)
    log = await owner.begin(program, started, None)
    assert isinstance(log, Recorder) and log.apart is not None
    await result_of(Execution(program, Services(Engines({})), log, "r", started=started), (1,))
    await owner.close()
    assert len([each for each in tmp_path.rglob("*") if each.is_file()]) == 99
    assert len(log.apart._kept) < 20
