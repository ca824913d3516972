"""Writing what runs have appended.

One statement writes what all runs that wait have appended, and is a transaction; what is appended meanwhile goes into
the next one. The fence stands in the part of it that moves the heads: a run moves if its epoch is that of the claim and
its log has as many rows as the claim's owner knows of. So one run's lost claim fails that run alone, and a statement
that arrives twice, since its connection broke before the answer came, writes once: the second time no head is where it
was. What did not move is looked at again by itself, and was written, or is fenced.

A batch is one row at most, so that no row has to look for its head; a snapshot follows what is before it in a statement
of its own. A batch that was on its way is kept as it is and sent as it is until it is known what became of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import psycopg

from orchestrator.runtime.journal.stores.appended import Appended
from orchestrator.runtime.journal.stores.base import Change, Claim, FencedError
from orchestrator.runtime.journal.stores.postgresql.connections import Session

NOW: Final = "extract(epoch FROM statement_timestamp())::float8"
WAKEABLE: Final = "('waiting', 'suspended')"
FLUSH_BYTES: Final = 8 << 20
"""What one statement takes, and more only where one run has appended more."""
FLUSH_RUNS: Final = 512

_COLUMNS: Final = "%(run)s::text[], %(epoch)s::int8[], %(before)s::int8[], %(is_snapshot)s::bool[], %(data)b::bytea[]"
_NAMES: Final = "run_id, epoch, before, is_snapshot, data"
_MOVE: Final = f"""
            rows = run.rows + (head.data IS NOT NULL)::int, log_bytes = run.log_bytes + coalesce(length(head.data), 0),
            snapshot = CASE WHEN head.is_snapshot THEN run.rows + 1 ELSE run.snapshot END, updated_at = {NOW}"""
# The runs are found by their names alone, whatever is joined: of running ones there are many.
_FENCE: Final = """
            run.run_id = ANY(%(run)s::text[]) AND run.run_id = head.run_id
            AND run.epoch = head.epoch AND run.rows = head.before AND (run.status = 'running') IS TRUE"""
_LOG: Final = f"""
    logged AS (
        INSERT INTO orch_log (run_id, number, epoch, is_snapshot, at, data)
        SELECT run_id, rows, epoch, is_snapshot, {NOW}, data FROM moved WHERE data IS NOT NULL
    )"""
_APPEND: Final = f"""
    WITH moved AS (
        UPDATE orch_run AS run SET {_MOVE}
        FROM unnest({_COLUMNS}) AS head({_NAMES})
        WHERE {_FENCE}
        RETURNING run.run_id, run.rows, run.epoch, head.is_snapshot, head.data
    ), {_LOG}
    SELECT run_id FROM moved"""

_IS_WOKEN: Final = f"(head.status IN {WAKEABLE} AND (seen.is_told OR run.told > seen.told))"
"""A notice that wakes is there, or came since the statement began: then the run must not fall asleep."""
_CHANGE: Final = f"""
    WITH head AS MATERIALIZED (
        SELECT * FROM unnest({_COLUMNS}, %(status)s::text[], %(why)s::text[], %(wake_at)s::float8[],
                             %(version)s::text[], %(has_progressed)s::bool[])
            AS head({_NAMES}, status, why, wake_at, version, has_progressed)
    ),
    taken AS MATERIALIZED (
        SELECT * FROM unnest(%(taken_run)s::text[], %(taken)s::int8[]) AS taken(run_id, number)
    ),
    seen AS MATERIALIZED (
        SELECT run.run_id, run.told, (
            SELECT count(*) > 0 FROM orch_notice AS notice
            WHERE notice.run_id = run.run_id AND notice.wakes AND notice.number <> ALL(ARRAY(
                SELECT taken.number FROM taken WHERE taken.run_id = run.run_id))
        ) AS is_told
        FROM orch_run AS run WHERE run.run_id = ANY(%(run)s::text[])
    ),
    moved AS (
        UPDATE orch_run AS run SET {_MOVE},
            status = CASE WHEN {_IS_WOKEN} THEN 'ready' ELSE coalesce(head.status, run.status) END,
            owner = CASE WHEN coalesce(head.status, 'running') = 'running' THEN run.owner END,
            why = CASE WHEN {_IS_WOKEN} THEN NULL ELSE coalesce(head.why, run.why) END,
            wake_at = CASE WHEN {_IS_WOKEN} THEN NULL ELSE coalesce(head.wake_at, run.wake_at) END,
            version = coalesce(head.version, run.version),
            deaths = CASE WHEN head.has_progressed OR head.status NOT IN ('running', 'ready') THEN 0
                          ELSE run.deaths END
        FROM head JOIN seen ON seen.run_id = head.run_id
        WHERE {_FENCE}
        RETURNING run.run_id, run.rows, run.epoch, head.is_snapshot, head.data,
            run.status = 'ready' OR head.has_progressed AS is_told
    ), {_LOG},
    forgotten AS (
        DELETE FROM orch_notice AS notice USING taken JOIN moved ON moved.run_id = taken.run_id
        WHERE notice.run_id = ANY(%(taken_run)s::text[])
            AND notice.run_id = taken.run_id AND notice.number = taken.number
    )
    SELECT run_id, CASE WHEN is_told THEN pg_notify(%(channel)s, '')::text END FROM moved"""

_UNMOVED: Final = """
    SELECT run.run_id
    FROM unnest(%(run)s::text[], %(epoch)s::int8[], %(before)s::int8[], %(data)s::bool[], %(status)s::text[])
        AS head(run_id, epoch, before, has_data, status)
    JOIN orch_run AS run ON run.run_id = head.run_id
    WHERE run.run_id = ANY(%(run)s::text[]) AND CASE WHEN head.has_data THEN EXISTS (
        SELECT FROM orch_log AS log
        WHERE log.run_id = head.run_id AND log.number = head.before + 1 AND log.epoch = head.epoch
    ) ELSE run.epoch = head.epoch AND run.rows = head.before AND run.status IN (head.status, 'ready') END"""
"""A row that this epoch wrote at this number is the one that was sent; without a row, the head has to be as asked."""
_ROWS: Final = "SELECT run_id, rows FROM orch_run WHERE run_id = ANY(%(run)s::text[]) AND (status = 'running') IS TRUE"


class _Batch:
    """What was appended to a run and is, or will be, written at once: one row at most."""

    def __init__(self, epoch: int) -> None:
        self.appended = Appended(epoch)
        self.is_snapshot = False
        self.was_sent = False
        """It may have been written: nothing may be added to it."""
        self.waiting: list[asyncio.Future[None]] = []

    @property
    def data(self) -> bytes | None:
        """The row; None where the batch has none."""
        rows = self.appended.rows()
        return rows[0][1] if rows else None

    @property
    def change(self) -> Change:
        return self.appended.change or Change()

    def answer(self, error: Exception | None = None) -> None:
        """Tell those who wait that it is written, or why it is not."""
        for future in self.waiting:
            if future.done():  # cancelled
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
                future.exception()  # a barrier that nobody awaits is no defect
        self.waiting.clear()


@dataclass(slots=True)
class _Tail:
    """The end of a claimed run's log, as far as it is known here."""

    epoch: int
    rows: int | None
    """How many there are; None where the claim was made elsewhere, until that was looked up."""
    batches: list[_Batch] = field(default_factory=list)


class Flusher:
    """What runs have appended, until it is written."""

    def __init__(self, session: Session, channel: str) -> None:
        self._session = session
        self._channel = channel
        self._tails: dict[str, _Tail] = {}
        self._wanted: dict[str, None] = {}
        """Runs that somebody waits for, in the order in which they asked."""
        self._task: asyncio.Task[None] | None = None

    def claimed(self, claim: Claim, rows: int) -> None:
        """Begin with a claim; what an older one has appended is fenced now."""
        self._drop(claim.run_id)
        self._tails[claim.run_id] = _Tail(claim.epoch, rows)

    def append(self, claim: Claim, data: bytes, change: Change | None, taken: Collection[int]) -> None:
        """Add to a run's log. Raises ``FencedError`` where a newer claim has appended."""
        batches = self._batches(claim)
        if not batches or batches[-1].was_sent or (batches[-1].is_snapshot and data):
            batches.append(_Batch(claim.epoch))
        batches[-1].appended.add(data, change, taken)

    def snapshot(self, claim: Claim, data: bytes) -> None:
        """Add a row that stands for everything before it."""
        batch = _Batch(claim.epoch)
        batch.is_snapshot = True
        batch.appended.add_snapshot(data)
        self._batches(claim).append(batch)

    def barrier(self, run_id: str) -> Awaitable[None] | None:
        """What to wait for until everything that was appended is written; None if it is."""
        tail = self._tails.get(run_id)
        if tail is None or not tail.batches:
            return None
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        tail.batches[-1].waiting.append(future)
        self._want(run_id)
        return future

    async def flush(self) -> None:
        """Write everything, whether somebody waits for it or not. Raises what kept it from being written."""
        barriers = [self.barrier(run_id) for run_id in list(self._tails)]
        found = await asyncio.gather(*(each for each in barriers if each is not None), return_exceptions=True)
        for error in found:
            if isinstance(error, BaseException) and not isinstance(error, FencedError):
                raise error

    def _batches(self, claim: Claim) -> list[_Batch]:
        tail = self._tails.get(claim.run_id)
        if tail is None or tail.epoch < claim.epoch:
            self._drop(claim.run_id)
            tail = self._tails[claim.run_id] = _Tail(claim.epoch, None)
        if tail.epoch > claim.epoch:
            raise FencedError(claim.run_id)
        return tail.batches

    def _drop(self, run_id: str) -> None:
        tail = self._tails.pop(run_id, None)
        for batch in tail.batches if tail else ():
            batch.answer(FencedError(run_id))

    def _want(self, run_id: str) -> None:
        self._wanted[run_id] = None
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())

    async def _write(self) -> None:
        """Write until nobody waits."""
        while self._wanted:
            taken = self._take()
            try:
                await self._send(taken)
            except (psycopg.OperationalError, psycopg.InterfaceError, OSError) as error:
                # All of it waits for the database, so nobody has to wait longer to be told.
                self._fail([*taken, *self._wanted], error)
                return
            except Exception as error:  # noqa: BLE001 - what one of them holds; the others must not fail for it
                if len(taken) == 1:
                    self._fail(taken, error)
                else:
                    await self._write_each(taken)

    async def _write_each(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            try:
                await self._send([run_id])
            except Exception as error:  # noqa: BLE001 - told to those who wait
                self._fail([run_id], error)

    def _take(self) -> Sequence[str]:
        """The runs whose first batch is written next."""
        taken: list[str] = []
        size = 0
        for run_id in list(self._wanted):
            batches = self._tails[run_id].batches if run_id in self._tails else ()
            if batches:
                size += len(batches[0].data or b"")
                if taken and (size > FLUSH_BYTES or len(taken) == FLUSH_RUNS):
                    break
                taken.append(run_id)
                batches[0].was_sent = True
            del self._wanted[run_id]
        return taken

    def _fail(self, run_ids: Iterable[str], error: Exception) -> None:
        for run_id in run_ids:
            self._wanted.pop(run_id, None)
            for batch in self._tails[run_id].batches if run_id in self._tails else ():
                batch.answer(error)

    async def _send(self, run_ids: Sequence[str]) -> None:
        tails = {run_id: self._tails[run_id] for run_id in run_ids if run_id in self._tails}
        await self._look_up(tails)
        batches = {run_id: (tail, tail.batches[0]) for run_id, tail in tails.items() if tail.rows is not None}
        written = {row[0] for row in (await self._session.run(*self._statement(batches))).rows}
        unmoved = {run_id: each for run_id, each in batches.items() if run_id not in written}
        if unmoved:
            written |= await self._written_before(unmoved)
        for run_id, tail in tails.items():
            if self._tails.get(run_id) is not tail:
                continue  # claimed anew meanwhile, which has told those who waited
            if run_id in written:
                self._advance(run_id, tail)
            else:
                self._drop(run_id)

    def _advance(self, run_id: str, tail: _Tail) -> None:
        batch = tail.batches.pop(0)
        if tail.rows is not None and batch.data is not None:
            tail.rows += 1
        if any(each.waiting for each in tail.batches):
            self._wanted[run_id] = None
        elif not tail.batches and batch.change.status not in (None, "running"):
            del self._tails[run_id]
        batch.answer()

    async def _look_up(self, tails: dict[str, _Tail]) -> None:
        unknown = [run_id for run_id, tail in tails.items() if tail.rows is None]
        if unknown:
            for run_id, rows in (await self._session.run(_ROWS, {"run": unknown})).rows:
                tails[run_id].rows = rows

    def _statement(self, batches: dict[str, tuple[_Tail, _Batch]]) -> tuple[str, dict[str, object]]:
        values: dict[str, object] = {
            "run": list(batches),
            "epoch": _array(tail.epoch for tail, _ in batches.values()),
            "before": _array(tail.rows for tail, _ in batches.values()),
            "is_snapshot": [batch.is_snapshot for _, batch in batches.values()],
            "data": [batch.data for _, batch in batches.values()],
        }
        if not any(batch.appended.change or batch.appended.taken for _, batch in batches.values()):
            return _APPEND, values
        changes = [batch.change for _, batch in batches.values()]
        taken = [(run_id, number) for run_id, (_, batch) in batches.items() for number in batch.appended.taken]
        return _CHANGE, values | {
            "status": [change.status for change in changes],
            "why": [None if change.why is None else storable(change.why) for change in changes],
            "wake_at": [change.wake_at for change in changes],
            "version": [change.version for change in changes],
            "has_progressed": [change.has_progressed for change in changes],
            "taken_run": [run_id for run_id, _ in taken],
            "taken": _array(number for _, number in taken),
            "channel": self._channel,
        }

    async def _written_before(self, batches: dict[str, tuple[_Tail, _Batch]]) -> set[str]:
        """Those that an earlier try has written, whose answer was lost."""
        values = {
            "run": list(batches),
            "epoch": _array(tail.epoch for tail, _ in batches.values()),
            "before": _array(tail.rows for tail, _ in batches.values()),
            "data": [batch.data is not None for _, batch in batches.values()],
            "status": [batch.change.status for _, batch in batches.values()],
        }
        return {run_id for (run_id,) in (await self._session.run(_UNMOVED, values)).rows}


def storable(text: str) -> str:
    """Text for people as PostgreSQL can hold it: without NUL and without halves of characters."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _array(numbers: Iterable[int | None]) -> str:
    """An array as PostgreSQL reads it: as one text it has one type, whatever the numbers are."""
    return "{" + ",".join("NULL" if each is None else str(each) for each in numbers) + "}"
