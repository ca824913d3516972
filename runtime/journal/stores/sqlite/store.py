"""A store of runs in a file: what is appended, and who waits for it."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from orchestrator.runtime.journal.stores.appended import Appended
from orchestrator.runtime.journal.stores.base import (
    IDLE,
    LEASE_S,
    Change,
    Claim,
    FencedError,
    Head,
    Loaded,
    NewRun,
    Notice,
    Row,
    Status,
)
from orchestrator.runtime.journal.stores.bell import Bell
from orchestrator.runtime.journal.stores.sqlite import claims, damage, reading, runs
from orchestrator.runtime.journal.stores.sqlite.connections import ConnectionThread, Do
from orchestrator.runtime.journal.stores.sqlite.processes import Process
from orchestrator.runtime.journal.stores.sqlite.schema import (
    BUSY_S,
    WAL_BYTES,
    connect,
    prepare,
    require_file,
    sync_folder,
)

POLL_S: Final = 0.075
"""How often a store that waits looks for what other processes have written."""
CHECKPOINT_BYTES: Final = 4 << 20
"""So much is written, about, before the file's log is moved into the file."""
_COMMIT_BYTES: Final = 8 << 10
"""What the pages of a small row come to."""
_ROWS_AT_ONCE: Final = 64
_WAITS_MS: Final = 75
"""So long those who write wait for those who read SQLite's log, so that it may begin anew."""
_log: Final = logging.getLogger(__name__)


class _Log:
    """What one claim has appended and is not durable, and who waits for it. It goes when there is nothing of both."""

    __slots__ = ("epoch", "is_writing", "next_waiting", "pending", "waiting", "write")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.write: runs.Append | None = None
        """What the writer has, or has failed to commit: one at a time, so that this comes before what is appended
        meanwhile, and alone, so that it can be told whether it was committed for all that."""
        self.is_writing = False
        self.waiting: list[asyncio.Future[None]] = []
        """Who waits for that."""
        self.pending: Appended | None = None
        self.next_waiting: list[asyncio.Future[None]] = []

    def fail(self, error: BaseException) -> None:
        """Tell everybody who waits that nothing more is durable."""
        for waiter in (*self.waiting, *self.next_waiting):
            if not waiter.done():
                waiter.set_exception(error)
        self.waiting, self.next_waiting = [], []


class SqliteStore:
    """Keeps runs in a file, which all processes of this machine share. :meth:`open` makes one.

    A writer commits; a reader reads beside it; a third connection moves SQLite's log into the file, which takes
    milliseconds that nobody who commits waits for. Everything else is in the event loop.
    """

    def __init__(self, path: Path, process: Process, *, busy_s: float = BUSY_S) -> None:
        self._loop = asyncio.get_running_loop()
        self._path = path
        self._file = path.stat()
        self.process = process
        self._writer = ConnectionThread(partial(connect, path, busy_s=busy_s), "orchestrator-runs-write", self._do)
        self._reader = ConnectionThread(partial(connect, path, busy_s=busy_s), "orchestrator-runs-read")
        self._mover = ConnectionThread(partial(connect, path, busy_s=POLL_S), "orchestrator-runs-checkpoint")
        self._logs: dict[str, _Log] = {}
        self._bell = Bell()
        self._seen: tuple[int, frozenset[int]] | None = None
        """What the last look of :meth:`wait` has found."""
        self._told_until = time.time()
        """Until this Unix time the times of waiting runs were told, by :meth:`wait`'s return, or had come before."""
        self._numbers = count(secrets.randbits(62))
        """They name writes, so that nobody takes another for one whose commit has failed."""
        self._to_move = 0
        """Bytes written since the last checkpoint, about."""
        self._is_told = False
        """Whether it was said that SQLite's log grows."""

    @classmethod
    async def open(cls, path: Path, *, busy_s: float = BUSY_S) -> SqliteStore:
        """The store in a file, which is made, with its folder, where it is missing. A statement waits ``busy_s``
        seconds for another process that writes.

        Raises ``OSError`` and ``sqlite3.Error`` where that cannot be done, and ``JournalError`` ORCH-R094 for a file
        that is something else.
        """
        return cls(*await asyncio.to_thread(_enter, path), busy_s=busy_s)

    @property
    def url(self) -> str:
        """What opens it again."""
        return f"sqlite:///{quote(str(self._path))}"

    async def create(
        self,
        run: NewRun,
        data: bytes,
        *,
        owner: str | None = None,
        lease_s: float = LEASE_S,
        artifacts: Collection[str] = (),
    ) -> Head:
        """Add a run with the first row of its log."""

        def do(db: sqlite3.Connection) -> Head | None:
            by = None if owner is None else claims.lease(db, self.process, owner, lease_s)
            run_id = runs.create(db, run, data, by, artifacts)
            return None if run_id is None else reading.head(db, run_id)

        head = await self._writer.write(do)
        if head is None:
            raise KeyError(run.run_id)
        self._wrote(len(data))
        self._bell.ring()
        return head

    async def claim(
        self,
        owner: str,
        *,
        lease_s: float = LEASE_S,
        run_id: str | None = None,
        holds: Mapping[str, Collection[str] | None] | None = None,
        limit: int = 1,
    ) -> Sequence[tuple[Claim, Head]]:
        """Claim runs that are ready, or the one that is named."""
        by = partial(claims.claim, lease_s=lease_s, run_id=run_id, holds=holds, limit=limit)
        return await self._writer.write(lambda db: by(db, self.process, owner))

    async def renew(self, owner: str, lease_s: float = LEASE_S) -> Collection[str]:
        """Renew the lease of everything that ``owner`` has claimed."""
        return await self._writer.write(lambda db: claims.renew(db, self.process, owner, lease_s))

    def append(self, claim: Claim, data: bytes, *, change: Change | None = None, taken: Collection[int] = ()) -> None:
        """Add to a run's log."""
        self._pending(claim).add(data, change, taken)

    def snapshot(self, claim: Claim, data: bytes) -> None:
        """Add a row that stands for everything appended before it."""
        self._pending(claim).add_snapshot(data)

    def barrier(self, run_id: str) -> Awaitable[None] | None:
        """What to wait for until everything appended to the run is durable; None if it is."""
        log = self._logs.get(run_id)
        if log is None:
            return None
        waiter: asyncio.Future[None] = self._loop.create_future()
        (log.waiting if log.pending is None else log.next_waiting).append(waiter)
        if not log.is_writing:
            self._write(run_id, log)
        return waiter

    async def head(self, run_id: str) -> Head | None:
        """What is known of a run. Raises ``JournalError`` ORCH-R095 where that is damaged."""
        return await self._reader.read(lambda db: reading.known_head(db, run_id))

    async def load(self, run_id: str) -> Loaded | None:
        """A run from its last snapshot on. Raises ``JournalError`` ORCH-R095 where some of that is damaged."""
        return await self._reader.read(lambda db: reading.load(db, run_id))

    async def history(self, run_id: str, *, after: int = 0) -> AsyncIterator[Row]:
        """Every row, in order. Raises ``JournalError`` ORCH-R095 where one is damaged."""
        run, ids = await self._reader.read(lambda db: reading.chain(db, run_id, after))
        read = 0
        while some := ids[read : read + _ROWS_AT_ONCE]:
            rows = await self._reader.read(partial(reading.rows, run_id=run_id, run=run, ids=some))
            if not rows:  # the run was removed meanwhile
                return
            for row in rows:
                yield row
            read += len(rows)

    async def heads(
        self,
        *,
        status: Collection[Status] = (),
        workflow: str | None = None,
        tenant: str | None = None,
        before: tuple[float, str] | None = None,
        limit: int = 50,
    ) -> Sequence[Head]:
        """Runs, the latest first."""
        return await self._reader.read(
            lambda db: reading.heads(db, status=status, workflow=workflow, tenant=tenant, before=before, limit=limit)
        )

    async def send(self, run_id: str, data: bytes, *, wakes: bool = True) -> bool:
        """Leave a notice."""
        was_sent = await self._writer.write(lambda db: runs.send(db, run_id, data, wakes))
        self._wrote(len(data))
        self._bell.ring()
        return was_sent

    async def notices(self, run_id: str) -> Sequence[Notice]:
        """What was left for a run, in order."""
        return await self._reader.read(lambda db: reading.notices(db, run_id))

    async def notices_of(self, owner: str) -> Mapping[str, Sequence[Notice]]:
        """What was left for each run that ``owner`` has claimed."""
        return await self._reader.read(lambda db: reading.notices_of(db, self.process.name, owner))

    async def set_status(
        self, run_id: str, status: Status, why: str | None = None, *, of: Collection[Status] = IDLE
    ) -> bool:
        """Change the status of a run that nobody executes."""
        if "running" in (status, *of):
            raise ValueError("only a claim makes a run running")
        was_set = await self._writer.write(lambda db: runs.set_status(db, run_id, status, why, of))
        self._bell.ring()
        return was_set

    async def wait(self, timeout_s: float) -> None:
        """Return when there may be something to do, or after ``timeout_s``."""
        after = min(self._told_until, time.time())  # a clock that was set back hides nothing
        due_s = await self._reader.read(partial(reading.next_due_s, after=after))
        until = self._loop.time() + (timeout_s if due_s is None else min(timeout_s, due_s))
        while True:
            seen = await self._writer.read(
                lambda db: (reading.data_version(db), frozenset(claims.lost_owners(db, self.process)))
            )
            is_new, self._seen = seen != self._seen, seen
            left_s = until - self._loop.time()
            if is_new or await self._bell.heard(min(left_s, POLL_S)) or left_s <= 0:
                self._told_until = time.time()
                return

    async def put_program(self, version: str, data: bytes) -> None:
        """Keep what describes a version of a workflow, once."""
        await self._writer.write(lambda db: runs.put_program(db, version, data))
        self._wrote(len(data))

    async def program(self, version: str) -> bytes | None:
        """What was kept of a version."""
        return await self._reader.read(lambda db: reading.program(db, version))

    async def refer(self, run_id: str, artifacts: Collection[str]) -> None:
        """Note that a run's log refers to artifacts."""
        await self._writer.write(lambda db: runs.refer(db, run_id, artifacts))

    async def referred(self, artifacts: Collection[str]) -> Collection[str]:
        """Those of the artifacts that some run refers to."""
        return await self._reader.read(lambda db: reading.referred(db, artifacts))

    async def remove(self, run_ids: Collection[str]) -> int:
        """Remove runs that nobody executes; each in a commit, between which others have theirs. One whose rows are in a
        damaged page stays.
        """
        removed = 0
        for run_id in set(run_ids):
            try:
                removed += await self._writer.write(partial(runs.remove, run_id=run_id))
            except sqlite3.DatabaseError as error:
                if not damage.is_damage(error):
                    raise
                _log.warning("run %s stays, as %s is damaged where its rows are: %s", run_id, self._path, error)
        return removed

    async def close(self) -> None:
        """Commit what was appended, give every claim back, and close. What cannot be committed is raised then."""
        waiting = [waiter for run_id in list(self._logs) if (waiter := self.barrier(run_id)) is not None]
        try:
            found = await asyncio.gather(*waiting, return_exceptions=True)
            await self._writer.write(lambda db: claims.give_all_back(db, self.process))
        finally:
            for thread in (self._mover, self._reader, self._writer):
                await thread.close()
            self.process.leave()
        for error in found:
            if isinstance(error, BaseException) and not isinstance(error, FencedError):
                raise error

    def _do(self, db: sqlite3.Connection, works: Sequence[Do[Any]]) -> list[Any]:
        """What comes of each, in the file of that name: what is written to one that is gone is lost."""
        try:
            is_there = os.path.samestat(self._path.stat(), self._file)
        except FileNotFoundError:
            is_there = False
        if not is_there:
            raise FileNotFoundError(errno.ENOENT, "the file was removed or replaced while runs were written", self.url)
        return runs.together(db, works)

    def _pending(self, claim: Claim) -> Appended:
        log = self._logs.get(claim.run_id)
        if log is not None and log.epoch > claim.epoch:
            raise FencedError(claim.run_id)
        if log is None or log.epoch < claim.epoch:
            if log is not None:
                log.fail(FencedError(claim.run_id))
            log = self._logs[claim.run_id] = _Log(claim.epoch)
        if log.pending is None:
            log.pending = Appended(claim.epoch)
        return log.pending

    def _write(self, run_id: str, log: _Log) -> None:
        """Let the writer have what it has failed to commit, or else what is pending."""
        if log.write is None:
            assert log.pending is not None
            log.write = runs.Append(run_id, log.pending, next(self._numbers))
            log.waiting, log.next_waiting = log.next_waiting, []
            log.pending = None
        self._writer.submit(log.write, partial(self._written, log, log.write), writes=True)
        log.is_writing = True

    def _written(self, log: _Log, write: runs.Append, is_claimed: bool | None, error: BaseException | None) -> None:
        """Tell who waits; the writer is done with what it had."""
        log.is_writing = False
        if error is not None:
            write.was_tried = True
            log.fail(error)
        elif not is_claimed:
            log.write = log.pending = None
            log.fail(FencedError(write.run_id))
        else:
            log.write = None
            waiting, log.waiting = log.waiting, []
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)
            self._wrote(write.appended.size)
            if write.appended.change is not None:
                self._bell.ring()
        if self._logs.get(write.run_id) is not log:
            return
        if log.write is None and log.pending is None:
            del self._logs[write.run_id]
        elif log.next_waiting:
            self._write(write.run_id, log)

    def _wrote(self, size: int) -> None:
        """Move SQLite's log into the file now and then, beside those who write."""
        self._to_move += size + _COMMIT_BYTES
        if self._to_move >= CHECKPOINT_BYTES:
            self._to_move = 0
            self._mover.submit(_move, self._moved, writes=False)

    def _moved(self, _: None, error: BaseException | None) -> None:
        if error is not None:
            self._grows(error)
        else:  # by whoever writes, as it would not find a moment in which nobody does
            self._writer.submit(_begin_anew, self._began_anew, writes=False, is_alone=True)

    def _began_anew(self, log_bytes: int | None, error: BaseException | None) -> None:
        if error is not None:
            self._grows(error)
        elif log_bytes is None:
            self._is_told = False
        elif log_bytes > WAL_BYTES and not self._is_told:
            self._is_told = True
            self._grows(f"another process has been reading or writing for long; it has {log_bytes >> 20} MiB")

    def _grows(self, why: object) -> None:
        _log.warning("The write-ahead log of %s grows, as it cannot be moved into it: %s", self._path, why)


def _enter(path: Path) -> tuple[Path, Process]:
    """Make the file ready, and this process known beside it; where it is, wherever the process goes later."""
    path = path.absolute()
    require_file(path)
    folder = path.parent
    if not folder.is_dir():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(folder.parent)
    process = Process(path.with_name(f"{path.name}.owners"))
    try:
        with process.alone():
            prepare(path)
            process.sweep()
    except BaseException:
        process.leave()
        raise
    return path, process


def _move(db: sqlite3.Connection) -> None:
    """Move what was committed into the file, without anybody waiting."""
    db.execute("PRAGMA wal_checkpoint(PASSIVE)")


def _begin_anew(db: sqlite3.Connection) -> int | None:
    """Move what was committed meanwhile, which is little, and let the log begin anew, for which nobody may be reading
    what is in it. Nobody waits for long: the next time comes soon. The bytes in the log, if it does not begin anew.
    """
    (busy_ms,) = db.execute("PRAGMA busy_timeout").fetchone()
    db.execute(f"PRAGMA busy_timeout = {_WAITS_MS}")
    try:
        is_busy, in_log, _ = db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    finally:
        db.execute(f"PRAGMA busy_timeout = {busy_ms}")
    (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
    return max(in_log, 0) * page_bytes if is_busy else None
