"""Who executes what in a file of runs, whatever the clocks say."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.runtime.journal.stores.base import FencedError, NewRun
from orchestrator.runtime.journal.stores.sqlite.store import SqliteStore
from tests.runtime.journal.stores.keeping import claimed, created, durable, head_of


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "runs.db")
    yield store
    await store.close()


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    other = await SqliteStore.open(tmp_path / "runs.db")
    yield other
    await other.close()


@pytest.mark.parametrize("hours", [-1, 1])
async def test_a_clock_that_is_set_changes_no_lease(
    store: SqliteStore, other: SqliteStore, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    await created(store, "long", owner="long", lease_s=60)
    await created(store, "short", owner="short", lease_s=0.1)
    time.sleep(0.15)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + hours * 3600)
    assert await claimed(other, "you") == ["short"]


async def test_what_was_claimed_before_the_last_boot_is_ready(
    store: SqliteStore, other: SqliteStore, tmp_path: Path
) -> None:
    await created(store, lease_s=1000)
    assert await claimed(other, "you") == []
    with closing(sqlite3.connect(tmp_path / "runs.db")) as db, db:
        db.execute("UPDATE owners SET boot = 'the one before'")
    assert await claimed(other, "you") == ["r"]


async def test_who_waits_hears_of_a_death(store: SqliteStore, other: SqliteStore) -> None:
    await created(other, lease_s=1000)
    await store.wait(0.1)
    await store.wait(0)
    other.process.let_go()
    await store.wait(60)
    assert await claimed(store, "you") == ["r"]


async def test_who_waits_hears_of_silence(store: SqliteStore, other: SqliteStore) -> None:
    await created(other, lease_s=0.5)
    await store.wait(0.1)
    await store.wait(60)
    assert await claimed(store, "you") == ["r"]


async def test_an_owner_that_ended_leaves_nothing_behind(
    store: SqliteStore, other: SqliteStore, tmp_path: Path
) -> None:
    for number in range(3):
        await created(other, f"r{number}", owner=f"o{number}")
    other.process.let_go()
    assert len(await claimed(store, "you")) == 3
    with closing(sqlite3.connect(tmp_path / "runs.db")) as db:
        assert db.execute("SELECT name FROM owners").fetchall() == [("you",)]
    assert [file.name for file in (tmp_path / "runs.db.owners").iterdir()] == [store.process.name]


async def test_a_dead_owner_that_was_none_cannot_append(store: SqliteStore, other: SqliteStore) -> None:
    claim = await created(other, lease_s=0)
    assert await claimed(store, "you", holds={}) == []
    other.append(claim, b"late")
    with pytest.raises(FencedError):
        await durable(other, "r")
    assert (await head_of(store)).rows == 1


async def test_what_is_claimed_is_of_the_versions_that_are_held(store: SqliteStore) -> None:
    for number in range(50):
        await store.create(NewRun(f"{number}", f"w{number % 5}", f"v{number % 7}"), b"")
    held = [number for number in range(50) if (number % 5, number % 7) == (1, 1) or number % 5 == 2]
    assert await claimed(store, holds={"w1": ["v1"], "w2": None}) == [str(number) for number in held]
