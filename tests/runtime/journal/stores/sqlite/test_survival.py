"""Runs in a file survive the process that writes them, the disk that takes them, and each other's owners."""

from __future__ import annotations

import ctypes
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from orchestrator.runtime.journal.stores.base import Change, NewRun
from orchestrator.runtime.journal.stores.sqlite.store import SqliteStore
from tests.runtime.journal.stores.keeping import claimed, created, durable, log

CHILD = Path(__file__).with_name("child.py")


@contextmanager
def child(
    what: str, file: Path, *, before: Callable[[], None] | None = None, **environment: str
) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, str(CHILD), what, str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
        preexec_fn=before,  # noqa: PLW1509 - it makes one system call
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.communicate()


def hears(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def told(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return hears(process)


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that keeps what is on the disk for sure."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("what is on the disk is kept by a library in C, and there is no `cc`")
    library = tmp_path_factory.mktemp("disk") / "synced.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, CHILD.with_name("synced.c"), "-ldl"], check=True)
    return library


async def numbers(store: SqliteStore, run_id: str) -> list[int]:
    """What the rows of a run have, once each; snapshots apart."""
    found = [int(number) for row in await log(store, run_id) for number in re.findall(rb"(?<!S)\b(\d+);", row)]
    return [number for place, number in enumerate(found) if place == 0 or number != found[place - 1]]


async def assert_whole(file: Path, noted: str) -> None:
    """What was durable is there, in order, and what follows it can be appended."""
    durable = {name: int(number) for name, number in re.findall(r"durable (\w) (\d+)\n", noted)}
    store = await SqliteStore.open(file)
    assert durable
    for name, last in durable.items():
        assert await numbers(store, name) == list(range(len(await numbers(store, name))))
        assert len(await numbers(store, name)) > last
        loaded = await store.load(name)
        assert loaded is not None
        assert loaded.rows[-1].number == loaded.head.rows
        assert loaded.rows[0].is_snapshot == (loaded.head.rows > 20)
    assert sorted(await claimed(store, "heir")) == sorted(durable), "their owner is dead"
    await store.close()


@pytest.mark.parametrize("seed", range(3))
async def test_what_was_durable_is_there_after_a_kill(tmp_path: Path, seed: int) -> None:
    file = tmp_path / "runs.db"
    with child("appends", file) as process:
        lines = [hears(process) for _ in range(random.Random(seed).randrange(100, 600))]
        process.kill()
        assert process.stdout is not None
        noted = "\n".join(lines) + "\n" + process.stdout.read()
    await assert_whole(file, noted[: noted.rindex("\n") + 1])


@pytest.mark.parametrize("seed", range(4))
async def test_what_was_durable_is_there_after_a_power_cut(tmp_path: Path, disk: Path, seed: int) -> None:
    """What was written after the last sync of each file may be there, or not, sector by sector."""
    chance = random.Random(seed)
    file, synced, after = tmp_path / "runs.db", tmp_path / "synced", tmp_path / "after"
    synced.mkdir()
    after.mkdir()
    with child("appends", file, LD_PRELOAD=str(disk), SYNCED=str(synced)) as process:
        assert hears(process) == "writes"
        time.sleep(chance.uniform(0.3, 1.5))
        process.kill()
        process.wait()
    for part in ("runs.db", "runs.db-wal"):
        (after / part).write_bytes(torn(chance, (synced / part).read_bytes(), (tmp_path / part).read_bytes()))
    await assert_whole(after / "runs.db", (synced / "syncs").read_text().rpartition("\n")[0] + "\n")


def torn(chance: random.Random, synced: bytes, written: bytes) -> bytes:
    """A file of which each sector is what was synced, or what was written since."""
    share = chance.choice([0, 0.5, 1])
    end = len(written) if chance.random() < 0.5 else len(synced)
    sectors = [
        (written if chance.random() < share else synced)[at : at + 512].ljust(min(512, end - at), b"\0")
        for at in range(0, end, 512)
    ]
    return b"".join(sectors)[:end]


async def test_nothing_is_durable_before_it_is_synced(tmp_path: Path, disk: Path) -> None:
    synced = tmp_path / "synced"
    synced.mkdir()
    with child("appends", tmp_path / "runs.db", LD_PRELOAD=str(disk), SYNCED=str(synced)) as process:
        assert hears(process) == "writes"
        time.sleep(0.5)
        process.kill()
        process.wait()
    asked: dict[str, int] = {}
    latest = began = 0  # of the syncs that have ended: when it began
    for place, line in enumerate((synced / "syncs").read_text().splitlines()):
        what, _, which = line.partition(" ")
        match what:
            case "asked":
                asked[which] = place
            case "b":
                began = place
            case "e":
                latest = began
            case "durable" if not which.endswith(" 0"):
                assert latest > asked[which], f"{which} was acknowledged, and not synced"
    assert len(asked) > 15


@pytest.mark.parametrize("fault", ["full", "broken"])
async def test_a_disk_that_fails_loses_nothing(tmp_path: Path, disk: Path, fault: str) -> None:
    synced = tmp_path / "synced"
    synced.mkdir()
    with child("obeys", tmp_path / "runs.db", LD_PRELOAD=str(disk), SYNCED=str(synced)) as process:
        assert hears(process) == "listens"
        assert told(process, "first") == told(process, "a") == "durable"
        (synced / fault).touch()
        assert re.match("OperationalError: (disk I/O error|database or disk is full)", told(process, "b"))
        assert re.match("OperationalError: (disk I/O error|database or disk is full)", told(process, "c"))
        (synced / fault).unlink()
        assert told(process, "d") == "durable"
        process.kill()
        process.wait()
    store = await SqliteStore.open(tmp_path / "runs.db")
    assert b"".join(await log(store)) == b"first;a;b;c;d;"
    await store.close()


async def test_a_file_that_was_read_only_is_written_when_it_can_be(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    await (await SqliteStore.open(file)).close()
    file.chmod(0o400)
    with child("obeys", file, before=obey_modes) as process:
        assert hears(process) == "listens"
        assert told(process, "first") == "OperationalError: attempt to write a readonly database"
        for each in ("runs.db", "runs.db-wal", "runs.db-shm"):  # SQLite makes the others like the first
            file.with_name(each).chmod(0o600)
        assert told(process, "first") == told(process, "a") == "durable"
    store = await SqliteStore.open(file)
    assert await log(store) == [b"first;", b"a;"]
    await store.close()


def obey_modes() -> None:
    """Let root be refused, too, by dropping what lets it write to any file (CAP_DAC_OVERRIDE) from what it may get."""
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).prctl(24, 1, 0, 0, 0) != 0:
        os._exit(1)


async def test_a_file_that_another_writes_to_for_long_is_tried_again(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    store = await SqliteStore.open(file, busy_s=0.1)
    claim = await created(store)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for part in (b"a", b"b"):
            store.append(claim, part)
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                await durable(store, "r")
    store.append(claim, b"c")
    await durable(store, "r")
    assert b"".join(await log(store)) == b"firstabc"
    await store.close()


async def test_an_owner_that_was_stopped_over_its_lease_cannot_append(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    with child("is_paused", file) as process:
        assert hears(process) == "has claimed"
        store = await SqliteStore.open(file)
        process.send_signal(signal.SIGSTOP)
        until = time.monotonic() + 30
        while not await claimed(store, "heir"):
            assert time.monotonic() < until
            await store.wait(1)
        process.send_signal(signal.SIGCONT)
        assert told(process, "append") == "fenced"
        assert told(process, "append again") == "fenced"
    assert await log(store) == [b"first;"]
    loaded = await store.load("r")
    assert loaded is not None
    assert (loaded.head.status, loaded.head.owner, loaded.head.epoch) == ("running", "heir", 2)
    await store.close()


async def test_who_waits_takes_over_from_a_killed_process(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    store = await SqliteStore.open(file)
    with child("obeys", file) as process:
        assert hears(process) == "listens"
        assert told(process, "first") == "durable"
        await store.wait(1)
        assert await claimed(store, "heir") == []
        process.kill()
        process.wait()
        await store.wait(60)
        assert await claimed(store, "heir") == ["r"]
    await store.close()


async def test_two_processes_claim_each_run_once(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    store = await SqliteStore.open(file)
    names = [f"r{number:03}" for number in range(500)]
    for name in names:
        await store.create(NewRun(name, "w", "v"), b"first;")
    with child("claims_all", file) as one, child("claims_all", file) as other:
        for process in (one, other):
            assert hears(process) == "waits"
        for process in (one, other):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        by = [process.communicate()[0].split() for process in (one, other)]
    assert sorted(by[0] + by[1]) == names
    assert all(by), "both had some"
    for name in names[::50]:
        assert await log(store, name) == [b"first;", b"claimed;"]
    await store.close()


async def test_a_file_is_whole_after_kills_amid_checkpoints(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    for _ in range(3):
        with child("appends", file) as process:
            for _ in range(200):
                hears(process)
            process.kill()
        store = await SqliteStore.open(file)
        claims = [claim for claim, _ in await store.claim("heir", limit=100)]
        assert sorted(claim.run_id for claim in claims) == ["a", "b", "c"]
        with closing(sqlite3.connect(file)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        for claim in claims:
            store.append(claim, b"", change=Change(status="failed"))
            await durable(store, claim.run_id)
        assert await store.remove(["a", "b", "c"]) == 3
        await store.close()
