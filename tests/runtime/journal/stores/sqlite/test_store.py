"""The store in a file of SQLite's, beyond what every store does."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.runtime.journal.stores.base import Claim
from orchestrator.runtime.journal.stores.sqlite import store as sqlite_store
from orchestrator.runtime.journal.stores.sqlite.store import SqliteStore
from tests.runtime.journal.stores.keeping import claimed, created, durable, log


async def test_nothing_is_written_to_a_file_that_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    store = await SqliteStore.open(file)
    claim = await created(store)
    store.append(claim, b"a")
    parts = [file, tmp_path / "runs.db-wal", tmp_path / "runs.db-shm"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for part in parts:
        part.rename(elsewhere / part.name)
    with pytest.raises(FileNotFoundError, match="removed or replaced"):
        await durable(store, "r")
    file.touch()
    with pytest.raises(FileNotFoundError, match="removed or replaced"):
        await created(store, "s")
    for part in parts:
        (elsewhere / part.name).rename(part)
    await durable(store, "r")
    assert await log(store) == [b"first", b"a"]
    await store.close()


async def test_a_store_stays_with_its_file_when_the_process_goes_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = await SqliteStore.open(Path("runs.db"))
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    await created(store)
    assert await log(store) == [b"first"]
    await store.close()
    assert list((tmp_path / "else").iterdir()) == []


async def test_the_log_that_is_written_ahead_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its header counts how often."""
    monkeypatch.setattr(sqlite_store, "CHECKPOINT_BYTES", 50_000)
    store = await SqliteStore.open(tmp_path / "runs.db")
    claim = await created(store)
    for number in range(2000):
        store.append(claim, b"%d;" % number)
        await durable(store, "r")
        if int.from_bytes((tmp_path / "runs.db-wal").read_bytes()[12:16], "big") >= 3:
            break
    else:
        pytest.fail("it grows")
    assert b"".join(await log(store)) == b"first" + b"".join(b"%d;" % each for each in range(number + 1))
    await store.close()


@pytest.mark.parametrize("writers", [1, 2])
async def test_the_log_that_is_written_ahead_is_bounded_while_others_write_and_read(
    writers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody leaves a moment in which nobody writes; each store is a process, as far as the file can tell."""
    monkeypatch.setattr(sqlite_store, "CHECKPOINT_BYTES", 256_000)
    stores = [await SqliteStore.open(tmp_path / "runs.db") for _ in range(writers)]
    claims = [[await created(store, f"{place}-{number}") for number in range(4)] for place, store in enumerate(stores)]
    reader = await SqliteStore.open(tmp_path / "runs.db")
    wal, largest, written = tmp_path / "runs.db-wal", 0, 0

    async def writes(store: SqliteStore, claim: Claim) -> None:
        nonlocal largest, written
        while written < 20_000_000:
            store.append(claim, bytes(20_000))
            await durable(store, claim.run_id)
            written += 20_000
            largest = max(largest, wal.stat().st_size)

    async def reads() -> None:
        while written < 20_000_000:
            await reader.load("0-0")
            await asyncio.sleep(0.01)

    pairs = [(store, claim) for store, own in zip(stores, claims, strict=True) for claim in own]
    await asyncio.gather(*(writes(*each) for each in pairs), reads())
    assert largest < 5_000_000
    for store in (*stores, reader):
        await store.close()


async def test_who_reads_for_long_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sqlite_store, "CHECKPOINT_BYTES", 50_000)
    monkeypatch.setattr(sqlite_store, "WAL_BYTES", 200_000)
    store = await SqliteStore.open(tmp_path / "runs.db")
    claim = await created(store)
    with closing(sqlite3.connect(tmp_path / "runs.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM runs").fetchall()
        while "has been reading" not in caplog.text:
            store.append(claim, bytes(20_000))
            await durable(store, "r")
    await store.close()


async def test_a_closed_file_is_one_file(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "runs.db")
    await created(store)
    await store.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["runs.db", "runs.db.owners"]
    assert list((tmp_path / "runs.db.owners").iterdir()) == []


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "runs.db")
    claim = await created(store)
    await store.close()
    store.append(claim, b"late")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="closed"):
            await durable(store, "r")
    with pytest.raises(RuntimeError, match="closed"):
        await store.load("r")


async def test_nothing_is_kept_of_a_run_that_is_durable(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "runs.db")
    claims = [await created(store, f"r{number}") for number in range(20)]
    for claim in claims:
        store.append(claim, b"a")
    await asyncio.gather(*(durable(store, claim.run_id) for claim in claims))
    assert store._logs == {}
    await store.close()


async def test_a_store_that_was_not_closed_keeps_nobody(tmp_path: Path) -> None:
    """Its loop ends, and another one opens the file and goes on."""

    def leaves() -> None:
        async def begins() -> None:
            store = await SqliteStore.open(tmp_path / "runs.db")
            await created(store, lease_s=0)
            left.append(store)

        asyncio.run(begins())

    left: list[SqliteStore] = []
    await asyncio.to_thread(leaves)
    store = await SqliteStore.open(tmp_path / "runs.db")
    assert await claimed(store, "heir") == ["r"]
    await store.close()
    with closing(sqlite3.connect(tmp_path / "runs.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
