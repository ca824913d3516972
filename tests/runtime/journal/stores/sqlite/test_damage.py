"""A file that was damaged below SQLite says exactly what is lost, and of whom."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.errors import JournalError
from orchestrator.runtime.journal.stores.base import Claim
from orchestrator.runtime.journal.stores.sqlite.store import SqliteStore
from tests.runtime.journal.stores.keeping import created, durable, log

PAGE = 4096


def row_data(name: str, number: int) -> bytes:
    """Something that is found in the file again, and fills a third of a page."""
    return (b"<%s %d>" % (name.encode(), number)).ljust(1300, b".")


async def written(file: Path, *, snapshot: int | None = None) -> None:
    """Two runs of 30 rows each, moved into the file."""
    store = await SqliteStore.open(file)
    for name in ("hurt", "well"):
        claim = await created(store, name)
        for number in range(2, 31):
            add = store.snapshot if number == snapshot else store.append
            add(claim, row_data(name, number))
            await durable(store, name)
    await store.close()


def changed(file: Path, name: str, number: int, change: Callable[[bytearray, int], None]) -> None:
    """Change the file where a row is."""
    content = bytearray(file.read_bytes())
    change(content, content.index(b"<%s %d>" % (name.encode(), number)))
    file.write_bytes(content)


def a_bit(content: bytearray, at: int) -> None:
    content[at + 700] ^= 4


def the_page(content: bytearray, at: int) -> None:
    first = at // PAGE * PAGE
    content[first : first + PAGE] = bytes(PAGE)


async def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    await written(file)
    for number in (7, 8, 12):
        changed(file, "hurt", number, a_bit)
    store = await SqliteStore.open(file)
    with pytest.raises(JournalError, match=r"run hurt is damaged: of the 30 rows of its log, 7-8, 12 cannot") as caught:
        await store.load("hurt")
    assert caught.value.code == "ORCH-R095"
    assert "no snapshot can be read" in str(caught.value)
    assert len(await log(store, "well")) == 30
    assert [head.run_id for head in await store.heads()] == ["well", "hurt"]
    await store.close()


async def test_a_history_goes_as_far_as_it_can_be_read(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    await written(file)
    changed(file, "hurt", 20, a_bit)
    store = await SqliteStore.open(file)
    found: list[int] = []
    with pytest.raises(JournalError, match="20 cannot be read"):
        async for row in store.history("hurt"):
            found.append(row.number)  # noqa: PERF401 - as far as it goes
    assert found == list(range(1, 20))
    assert [row.number async for row in store.history("hurt", after=20)] == list(range(21, 31))
    await store.close()


async def test_a_damaged_page_says_which_rows_it_had(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    await written(file)
    changed(file, "hurt", 15, the_page)
    store = await SqliteStore.open(file)
    with pytest.raises(JournalError, match="of the 30 rows of its log, ") as caught:
        await store.load("hurt")
    first, _, last = str(caught.value).split("log, ")[1].split(" cannot")[0].partition("-")
    lost = range(int(first), int(last) + 1)
    assert 15 in lost
    assert len(lost) <= 3, "as many as fit into a page"
    with closing(sqlite3.connect(file)) as db:
        for number in set(range(1, 31)).difference(lost):
            assert db.execute("SELECT number FROM log WHERE id = ?", (number,)).fetchone() == (number,)
    assert len(await log(store, "well")) == 30
    await store.close()


async def test_what_is_behind_a_snapshot_may_be_damaged(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    await written(file, snapshot=25)
    changed(file, "hurt", 10, a_bit)
    store = await SqliteStore.open(file)
    loaded = await store.load("hurt")
    assert loaded is not None
    assert [row.number for row in loaded.rows] == list(range(25, 31))
    changed(file, "hurt", 27, a_bit)
    await store.close()
    store = await SqliteStore.open(file)
    with pytest.raises(JournalError, match="10, 27 cannot be read") as caught:
        await store.load("hurt")
    assert "the last snapshot that can be read is row 25" in str(caught.value)
    await store.close()


async def test_a_damaged_head_is_told_from_a_damaged_log(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    await written(file)
    with closing(sqlite3.connect(file)) as db:
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'runs'").fetchone()
    content = bytearray(file.read_bytes())
    content[(page - 1) * PAGE : page * PAGE] = bytes(PAGE)
    file.write_bytes(content)
    store = await SqliteStore.open(file)
    with pytest.raises(JournalError, match="damaged where it says how far the run is") as caught:
        await store.load("hurt")
    assert caught.value.code == "ORCH-R095"
    with pytest.raises(JournalError, match="cannot be listed"):
        await store.heads()
    await store.close()


async def test_a_damaged_run_stops_no_other(tmp_path: Path) -> None:
    """In one commit with it, too."""
    file = tmp_path / "runs.db"
    await written(file)
    with closing(sqlite3.connect(file)) as db, db:
        db.execute(
            "CREATE TRIGGER hurts BEFORE UPDATE ON runs WHEN old.run_id = 'hurt' AND new.rows > old.rows"
            " BEGIN SELECT RAISE(ABORT, 'a page of it is gone'); END"
        )
    store = await SqliteStore.open(file)
    claims = {}
    for name in ("hurt", "well"):
        ((claims[name], _),) = await store.claim("me", run_id=name)
        store.append(claims[name], b"more")
    hurt, well = store.barrier("hurt"), store.barrier("well")
    assert hurt is not None
    assert well is not None
    await well
    with pytest.raises(sqlite3.DatabaseError):
        await hurt
    assert (await log(store, "well"))[-1] == b"more"
    store.append(Claim("well", claims["well"].epoch), b"and more")
    await durable(store, "well")
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("DROP TRIGGER hurts")
    await store.close()


@pytest.mark.parametrize("seed", range(6))
async def test_a_torn_write_loses_what_was_not_durable_and_no_more(tmp_path: Path, seed: int) -> None:
    """The log that is written ahead is cut, or changed, at any place."""
    chance = random.Random(seed)
    file = tmp_path / "runs.db"
    ahead = tmp_path / "runs.db-wal"
    store = await SqliteStore.open(file)
    claims = [await created(store, name) for name in ("a", "b")]
    sizes: list[tuple[int, int]] = []
    for number in range(2, 40):
        for claim in claims:
            store.append(claim, row_data(claim.run_id, number))
        for claim in claims:
            await durable(store, claim.run_id)
        sizes.append((ahead.stat().st_size, number))
    for attempt in range(4):
        torn = tmp_path / f"torn{attempt}"
        torn.mkdir()
        shutil.copy(file, torn)
        content = bytearray(ahead.read_bytes())
        at = chance.randrange(sizes[0][0], len(content))
        if chance.random() < 0.5:
            del content[at:]
        else:
            content[at] ^= 1 << chance.randrange(8)
        (torn / ahead.name).write_bytes(content)
        least = max(number for size, number in sizes if size <= at)
        after = await SqliteStore.open(torn / file.name)
        for claim in claims:
            rows = await log(after, claim.run_id)
            assert rows[1:] == [row_data(claim.run_id, number) for number in range(2, len(rows) + 1)]
            assert len(rows) >= least
        await after.close()
    await store.close()
