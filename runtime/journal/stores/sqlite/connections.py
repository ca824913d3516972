"""A thread with a connection, which commits everything that has queued up at once.

While it commits, others queue up; then it takes all of them into one transaction. So with one run a row costs a
commit, and with many, it costs its share of one, and nobody waits for a timer. The event loop is told once per commit.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

T = TypeVar("T")
Do = Callable[[sqlite3.Connection], T]
Settle = Callable[[Any, BaseException | None], None]
"""It is called in the event loop with what came of it, or why nothing did."""

DoAll = Callable[[sqlite3.Connection, Sequence[Do[Any]]], list[Any]]
"""What comes of each of several."""

_HELD_BY_OTHERS: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class _Work(NamedTuple):
    do: Do[Any]
    settle: Settle
    writes: bool
    is_alone: bool = False


def one_by_one(db: sqlite3.Connection, works: Sequence[Do[Any]]) -> list[Any]:
    """What comes of each."""
    return [do(db) for do in works]


class ConnectionThread:
    """It does what is submitted in order, with a connection that it opens when it needs one."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], name: str, do: DoAll = one_by_one) -> None:
        self._connect = connect
        self._do = do
        self._db: sqlite3.Connection | None = None
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._is_committing = False
        self._closed: asyncio.Future[None] | None = None
        # A store that nobody closed must not keep the process from ending.
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def submit(self, do: Do[Any], settle: Settle, *, writes: bool, is_alone: bool = False) -> None:
        """Have something done. What writes is in one transaction with everything else that has queued up, and what
        ``is_alone`` in none, behind it.

        ``do`` must be right when it is done twice, the first time having been undone: where something else in the
        transaction fails, each is tried in one of its own. Raises ``RuntimeError`` after :meth:`close`.
        """
        if self._closed is not None:
            raise RuntimeError("the store is closed")
        self._queue.put(_Work(do, settle, writes, is_alone))

    async def read(self, do: Do[T]) -> T:
        """What ``do`` gives, which writes nothing."""
        return await self._done(do, writes=False)

    async def write(self, do: Do[T]) -> T:
        """What ``do`` gives, when it is durable."""
        return await self._done(do, writes=True)

    async def close(self) -> None:
        """Do what was submitted, and close the connection."""
        if self._closed is None:
            self._closed = self._loop.create_future()
            self._queue.put(None)
        await asyncio.shield(self._closed)

    async def _done(self, do: Do[T], *, writes: bool) -> T:
        future: asyncio.Future[T] = self._loop.create_future()
        self.submit(do, partial(_settle, future), writes=writes)
        return await future

    def _serve(self) -> None:
        while True:
            batch = [self._queue.get()]
            try:
                while True:
                    batch.append(self._queue.get_nowait())
            except Empty:
                pass
            works = [work for work in batch if work is not None and not work.is_alone]
            alone = [work for work in batch if work is not None and work.is_alone]
            outcomes = self._outcomes(works) if works else []
            outcomes += [self._outcomes([work])[0] for work in alone]
            works += alone
            is_closed = batch[-1] is None
            if is_closed:
                self._drop()
            try:
                self._loop.call_soon_threadsafe(self._settle, works, outcomes, is_closed)
            except RuntimeError:  # the loop is closed, and with it everybody who waited
                is_closed = True
            if is_closed:
                return

    def _settle(
        self, works: Sequence[_Work], outcomes: Sequence[tuple[Any, BaseException | None]], is_closed: bool
    ) -> None:
        for work, outcome in zip(works, outcomes, strict=True):
            work.settle(*outcome)
        if is_closed and self._closed is not None:
            _settle(self._closed, None, None)

    def _outcomes(self, works: Sequence[_Work]) -> list[tuple[Any, BaseException | None]]:
        """What comes of each; where one fails, the others do not. A commit fails for all: it may be on the disk, or be
        found there after a crash, so nothing in it is done again here.
        """
        try:
            return [(outcome, None) for outcome in self._together(works)]
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            is_over = len(works) == 1 or self._is_committing or _is_held_by_others(error)
            if is_over:
                return [(None, error) for _ in works]
        return [self._outcomes([work])[0] for work in works]

    def _together(self, works: Sequence[_Work]) -> list[Any]:
        writes = any(work.writes for work in works)
        self._is_committing = False
        try:
            if self._db is None:
                self._db = self._connect()
            if writes:
                self._db.execute("BEGIN IMMEDIATE")
            outcomes = self._do(self._db, [work.do for work in works])
            if writes:
                self._is_committing = True
                self._db.execute("COMMIT")
        except BaseException as error:
            self._undo(error)
            raise
        return outcomes

    def _undo(self, error: BaseException) -> None:
        """Roll back. After most failures the connection goes as well: it may be to a file that was read-only."""
        if isinstance(error, sqlite3.Error) and not _is_held_by_others(error):
            self._drop()
        elif self._db is not None and self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _drop(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()


def _is_held_by_others(error: BaseException) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _HELD_BY_OTHERS


def _settle(future: asyncio.Future[Any], outcome: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(outcome)
    else:
        future.set_exception(error)
