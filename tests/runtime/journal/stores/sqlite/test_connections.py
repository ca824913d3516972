"""A thread with a connection, which commits everything that has queued up at once."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from orchestrator.runtime.journal.stores.sqlite.connections import ConnectionThread
from orchestrator.runtime.journal.stores.sqlite.schema import connect, prepare

Write = Callable[[sqlite3.Connection], None]


@pytest.fixture
async def thread(tmp_path: Path) -> AsyncIterator[ConnectionThread]:
    file = tmp_path / "runs.db"
    prepare(file)
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE t(x UNIQUE)")
    db.close()
    thread = ConnectionThread(partial(connect, file, busy_s=0.05), "writes")
    yield thread
    await thread.close()


def adds(value: object) -> Write:
    def do(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO t VALUES(?)", (value,))

    return do


async def kept(thread: ConnectionThread) -> list[object]:
    return [value for (value,) in await thread.read(lambda db: db.execute("SELECT x FROM t ORDER BY x").fetchall())]


async def test_what_queues_up_is_one_transaction(thread: ConnectionThread) -> None:
    begun, goes_on = threading.Event(), threading.Event()
    is_open: list[bool] = []
    statements: list[str] = []

    def first(db: sqlite3.Connection) -> None:
        db.set_trace_callback(statements.append)
        begun.set()
        goes_on.wait(20)

    waiting = [asyncio.ensure_future(thread.read(first))]
    await asyncio.to_thread(begun.wait, 20)
    waiting += [asyncio.ensure_future(thread.write(adds(number))) for number in range(50)]
    waiting += [asyncio.ensure_future(thread.read(lambda db: is_open.append(db.in_transaction)))]
    await asyncio.sleep(0.05)
    goes_on.set()
    await asyncio.gather(*waiting)
    assert statements.count("COMMIT") == 1
    assert is_open == [True]
    assert await kept(thread) == list(range(50))


async def test_who_only_reads_begins_no_transaction(thread: ConnectionThread) -> None:
    assert not await thread.read(lambda db: db.in_transaction)
    assert await thread.write(lambda db: db.in_transaction)
    assert not await thread.read(lambda db: db.in_transaction)


async def test_what_fails_in_a_transaction_fails_alone(thread: ConnectionThread) -> None:
    def fails(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO t VALUES('half')")
        raise ZeroDivisionError

    works = [adds(1), fails, adds(2), adds(1), adds(3)]
    found = await asyncio.gather(*(thread.write(work) for work in works), return_exceptions=True)
    assert [type(each) for each in found] == [
        type(None),
        ZeroDivisionError,
        type(None),
        sqlite3.IntegrityError,
        type(None),
    ]
    assert await kept(thread) == [1, 2, 3]


async def test_who_stops_waiting_changes_nothing_for_the_others(thread: ConnectionThread) -> None:
    waiting = [asyncio.ensure_future(thread.write(adds(number))) for number in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await waiting[0]
    await waiting[2]
    assert await kept(thread) in ([0, 1, 2], [0, 2])


async def test_a_file_that_somebody_else_writes_to_is_tried_again(thread: ConnectionThread, tmp_path: Path) -> None:
    await thread.write(adds(0))
    other = sqlite3.connect(tmp_path / "runs.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    found = await asyncio.gather(thread.write(adds(1)), thread.write(adds(2)), return_exceptions=True)
    assert all(isinstance(each, sqlite3.OperationalError) for each in found)
    other.execute("ROLLBACK")
    other.close()
    await thread.write(adds(3))
    assert await kept(thread) == [0, 3]


async def test_a_closed_thread_has_done_everything_and_does_no_more(thread: ConnectionThread) -> None:
    waiting = [asyncio.ensure_future(thread.write(adds(number))) for number in range(20)]
    await asyncio.sleep(0)
    await asyncio.gather(thread.close(), thread.close())
    await asyncio.gather(*waiting)
    with pytest.raises(RuntimeError, match="closed"):
        await thread.write(adds(100))


async def test_a_connection_is_opened_again_after_a_failure(tmp_path: Path) -> None:
    file = tmp_path / "runs.db"
    thread = ConnectionThread(partial(connect, file), "writes")
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        await thread.write(lambda db: None)
    prepare(file)
    await thread.write(lambda db: None)
    await thread.close()
