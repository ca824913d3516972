"""A run in one file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator import tool, workflow
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import JournalError, RunError
from orchestrator.runtime.journal.artifacts.apart import names_in
from orchestrator.runtime.journal.artifacts.folder import Folder
from orchestrator.runtime.journal.reading.carried import UNFINISHED, exported, imported, read
from orchestrator.runtime.journal.stores.base import Change, Claim, NewRun, Store
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.runner import Runner

CALLS: list[int] = []


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store("memory:" if request.param == "memory" else str(tmp_path / "runs.db"))
    yield opened
    await opened.close()


FORMS = ("MNAME", '["done",1.0,"9f",[1,{"~artifact":"NAME"}],null]', '["turn",1.0,"9f",1,0]\t@NAME', "[]\t~@NAME")
"""How a log names artifacts."""
LARGE = {b"a message", b"a value", b"a state", b"what has changed of one"}


async def made(status: str = "done", artifacts: Folder | None = None) -> MemoryStore:
    """A store with the run ``r1``, of three rows, the second a snapshot."""
    store = MemoryStore()
    head = await store.create(NewRun("r1", "flow", "v1", "acme", "k1"), b"4\nfirst\n", owner="o")
    claim = Claim("r1", head.epoch)
    names = [] if artifacts is None else [artifacts.put(each) for each in LARGE]
    if names:
        await store.refer("r1", names)
    store.snapshot(claim, b"4\nsnapshot\n")
    last = "\n".join(form.replace("NAME", name) for form, name in zip(FORMS, names, strict=False)) or "last"
    store.append(claim, f"{last}\n".encode(), change=Change(status, "because"))  # type: ignore[arg-type]
    if (waiting := store.barrier("r1")) is not None:
        await waiting
    await store.put_program("v1", b"{}")
    return store


async def lines_of(store: Store, artifacts: Folder | None = None) -> list[bytes]:
    return [line async for line in exported(store, artifacts, "r1")]


async def test_a_run_is_in_another_store_as_it_was(store: Store, tmp_path: Path) -> None:
    here, there = Folder(tmp_path / "a"), Folder(tmp_path / "b")
    source = await made(artifacts=here)
    head = await imported(store, there, read(await lines_of(source, here)), owner="i")
    assert (head.workflow, head.version, head.tenant, head.key) == ("flow", "v1", "acme", "k1")
    assert (head.status, head.why, head.owner) == ("done", "because", None)
    before = [(row.is_snapshot, row.data) async for row in source.history("r1")]
    assert [(row.is_snapshot, row.data) async for row in store.history("r1")] == before
    assert await store.program("v1") == b"{}"
    names = names_in(before[-1][1].decode())
    assert {there.get(name) for name in names} == LARGE
    assert set(await store.referred(names)) == names


@pytest.mark.parametrize("status", ["ready", "waiting", "suspended"])
async def test_a_run_that_is_not_over_is_paused_as_the_other_one_may_go_on(store: Store, status: str) -> None:
    head = await imported(store, None, read(await lines_of(await made(status))), owner="i")
    assert (head.status, head.version) == ("paused", "v1")


async def test_nothing_is_overwritten(store: Store) -> None:
    lines = await lines_of(await made())
    await imported(store, None, read(lines), owner="i")
    with pytest.raises(RunError) as caught:
        await imported(store, None, read(lines), owner="j")
    assert caught.value.code == "ORCH-R029"


async def test_an_import_that_was_killed_is_begun_again(store: Store) -> None:
    await store.create(NewRun("r1", "flow", UNFINISHED, "acme", "k1"), b"4\nfirst\n")
    head = await imported(store, None, read(await lines_of(await made())), owner="i")
    assert (head.status, head.rows) == ("done", 3)


async def test_a_damaged_file_is_refused_wherever_it_is_damaged() -> None:
    lines = await lines_of(await made())
    whole = b"".join(lines)
    damaged = [lines[:-1], lines[1:], [*lines, lines[0]], lines[:2] + lines[3:], [], [b"[]\n"], [b"\xff\n"], [b"{}\n"]]
    damaged += [(whole[:at] + b"~" + whole[at + 1 :]).splitlines(keepends=True) for at in range(0, len(whole), 7)]
    for each in damaged:
        with pytest.raises(JournalError) as caught:
            read(each)
        assert caught.value.code == "ORCH-R096"


async def test_a_large_value_that_is_not_what_its_name_says_is_refused(store: Store, tmp_path: Path) -> None:
    here = Folder(tmp_path / "a")
    run = read(await lines_of(await made(artifacts=here), here))
    run.artifacts = dict.fromkeys(run.artifacts, b"other")
    with pytest.raises(JournalError):
        await imported(store, Folder(tmp_path / "b"), run, owner="i")
    assert await store.load("r1") is None
    with pytest.raises(JournalError):
        await imported(MemoryStore(), None, run, owner="i")


@tool(effects="reads")
async def step(number: int) -> int:
    CALLS.append(number)
    if number == 3 and CALLS.count(3) < 3:
        raise ValueError("not yet")
    return number + 1


def versions() -> tuple[Compiled, Compiled]:
    """Two versions of a workflow, of which the second calls something more in front."""

    @workflow
    def flow() -> int:
        return step(step(step(step(0))))

    first = compile_workflow(flow)

    @workflow
    def flow() -> int:
        step(9)
        return step(step(step(step(0))))

    return first, compile_workflow(flow)


async def test_what_earlier_versions_have_done_counts_where_a_run_was_brought(store: Store) -> None:
    CALLS.clear()
    source, (first, second) = MemoryStore(), versions()
    async with Runner(store=source) as runner:
        for version in (first, second):
            with pytest.raises(RunError):
                await runner.run(version, {}, run_id="r1") if version is first else await runner.resume(version, "r1")
    rows = [(row.number, row.data) async for row in source.history("r1")]
    (changed,) = [row.number async for row in source.history("r1") if row.is_snapshot]
    await imported(store, None, read(await lines_of(source)), owner="i")
    brought = [(row.number, row.data) async for row in store.history("r1")]
    assert brought[:changed] == rows[:changed]
    async with Runner(store=store) as runner:
        assert (await runner.resume(second, "r1")).value == 4
    assert sorted(CALLS) == [0, 1, 2, 3, 3, 3, 9], "nothing is made again but what failed"
