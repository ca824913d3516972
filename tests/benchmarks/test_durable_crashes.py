"""Plays whose processes are killed: few of them, with few programs; and what is read out of what they have done."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from benchmarks.arms.effects import KILL, Effect, Effects, read
from benchmarks.durability import crashes, synced
from benchmarks.durability.crashes import Theatre
from benchmarks.durability.kills import Verdict, judge
from benchmarks.durability.nursery import Nursery
from benchmarks.durability.plays import PowerCuts, Store
from benchmarks.durability.programs import charging, looping, named, scraping
from benchmarks.durability.synced import Syncs
from benchmarks.durability.vllm import Told
from orchestrator.dsl.models.messages import Message
from orchestrator.runtime.engines.base import GenerateRequest
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.stores.base import Claim, NewRun
from orchestrator.runtime.journal.stores.sqlite.store import SqliteStore
from tests.postgresql import binaries, running_server

FEW = (looping.name, charging.name, scraping.name)


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Of parts that tell what is on the disk, where they are asked to, and there is a compiler of C."""
    library = str(synced.library(tmp_path_factory.mktemp("library"))) if shutil.which("cc") else ""
    with Nursery({"LD_PRELOAD": library}) as parent:
        yield parent


def test_killed_programs_give_what_they_give_undisturbed(nursery: Nursery, tmp_path: Path) -> None:
    theatre = Theatre(nursery, Store(), tmp_path, seed=1, programs=FEW)
    theatre.rehearse()
    tally = theatre.kill_at_random(4)
    assert tally.is_clean, tally
    assert tally.kills.total() == 4
    assert tally.runs == tally.plays * len(FEW)


@pytest.mark.skipif(binaries() is None, reason="no PostgreSQL is installed")
def test_a_database_that_was_killed_has_what_it_had() -> None:
    with running_server() as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept (number int)")
            connection.execute("INSERT INTO kept VALUES (1)")
            assert connection.info.backend_pid in server.backends()
            server.kill()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        server.start()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT * FROM kept").fetchall() == [(1,)]


def test_a_call_that_was_killed_counts_at_its_most() -> None:
    calls = [
        Effect("a", "model", False, (), 2, 0, tokens=50),
        Effect("a", "model", False, (), 2, 1, tokens=50),
        Effect("a", "model", True, (), 2, 2, tokens=7),
        Effect("of another program", "model", False, (), 2, 3, tokens=50),
    ]
    assert crashes._taken(calls, frozenset("a")) == (7, 57)


def test_a_run_is_taken_over_when_another_process_does_something_new_for_it() -> None:
    def did(op: str, pid: int, at: float) -> Effect:
        return Effect(op, "reads", False, (), pid, at)

    lived = [
        *(Effect("coordinator", "ready", False, (), pid, 0) for pid in (1, 2)),
        did("a1", 1, 1),
        did("b1", 2, 1),
        Effect("coordinator 1", KILL, False, (), 9, 2),
        Effect("coordinator 1 gone", KILL, False, (), 9, 3),
        did("b2", 2, 3.5),
        Effect("engine 7", KILL, False, (), 9, 3.6),
        did("a2", 2, 4),
        Effect("silent 2", KILL, False, (), 9, 5),
        Effect("coordinator", "ready", False, (), 3, 6),
        did("a3", 3, 20),
        Effect("coordinators 3", KILL, False, (), 9, 21),
        Effect("coordinators 3 gone", KILL, False, (), 9, 22),
        Effect("coordinator", "ready", False, (), 4, 23),
        did("a4", 4, 23.5),
    ]
    of = {f"{program}{number}": program for program in "ab" for number in range(9)}
    assert list(crashes._gone_on(lived, of)) == [(1, "coordinator"), (15, "silent"), (0.5, "coordinators")]
    after_a_restart = [Effect("postmaster", KILL, False, (), 9, 1.5), *lived]
    assert list(crashes._gone_on(after_a_restart, of)) == [(0.5, "coordinators")]


@pytest.mark.skipif(shutil.which("cc") is None, reason="what is on the disk is kept by a library in C")
def test_programs_that_lose_their_power_give_what_they_give_undisturbed(nursery: Nursery, tmp_path: Path) -> None:
    theatre = Theatre(nursery, Store(), tmp_path, seed=1, programs=FEW, play=PowerCuts)
    theatre.rehearse()
    tally = theatre.kill_at_random(3)
    assert tally.is_clean, tally
    assert tally.kills == {"power": 3}
    assert tally.syncs.acknowledged > 0


def test_what_is_acknowledged_without_a_sync_since_it_was_appended_is_counted() -> None:
    found = Syncs()
    found.count(["asked 1", "b", "asked 2", "e", "durable 1", "durable 2", "b", "e", "asked 3", "durable 3"])
    assert found == Syncs(syncs=2, acknowledged=3, unsynced=2)


async def test_a_store_is_noted_when_it_is_appended_to_and_when_that_is_durable(tmp_path: Path) -> None:
    store = synced.Noting(await SqliteStore.open(tmp_path / "runs.db"), tmp_path)
    head = await store.create(NewRun("r", "w", "v"), b"first", owner="me")
    store.append(Claim("r", head.epoch), b"second")
    await store.barrier("r")
    assert store.barrier("r") is None
    await store.close()
    assert (tmp_path / synced.LIST).read_text().splitlines() == ["asked 1", "durable 1"]


def test_a_call_that_arrived_when_its_caller_was_dead_was_in_flight() -> None:
    def called(pid: int) -> Effect:
        return Effect("a", "model", False, (), pid, 0)

    killed = Effect("coordinator 1 gone", KILL, False, (), 9, 0)
    assert judge([killed, called(1), called(2)], {"a"}) == Verdict(in_flight=1)
    assert judge([killed, called(2), called(2)], {"a"}) == Verdict(repeated=Counter(model=1))


async def test_a_real_model_is_told_of_and_answers_with_a_name_of_what_it_said(tmp_path: Path) -> None:
    effects = Effects(tmp_path / "effects")
    asked = GenerateRequest("r", "m", (Message("user", "Go on from turn-00000001"),))
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        engine = Told(ScriptedEngine(lambda request: f"to {request.messages[-1].content}"), effects, port)
        said = [chunk.text async for chunk in engine.generate(asked)]
    name = named("model", "Go on from turn-00000001")
    assert said == [f"{name} {named('said', 'to Go on from turn-00000001')}"]
    found = list(read(tmp_path / "effects"))
    assert [(each.op, each.ended, each.seen) for each in found] == [(name, False, ("turn-00000001",)), (name, True, ())]
