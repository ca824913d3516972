"""A store in PostgreSQL."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping, Sequence
from typing import Final, get_args

from orchestrator.errors import JournalError
from orchestrator.runtime.journal.stores.base import (
    IDLE,
    LEASE_S,
    Change,
    Claim,
    Head,
    Loaded,
    NewRun,
    Notice,
    Row,
    Status,
)
from orchestrator.runtime.journal.stores.bell import Bell
from orchestrator.runtime.journal.stores.failed import DAMAGED, ranges
from orchestrator.runtime.journal.stores.postgresql import claiming
from orchestrator.runtime.journal.stores.postgresql.address import Address
from orchestrator.runtime.journal.stores.postgresql.claiming import HEAD, NOTIFY, Claims, head_of
from orchestrator.runtime.journal.stores.postgresql.connections import Session
from orchestrator.runtime.journal.stores.postgresql.flushing import NOW, WAKEABLE, Flusher, storable
from orchestrator.runtime.journal.stores.postgresql.listening import Listener, channel_of
from orchestrator.runtime.journal.stores.postgresql.migrating import migrate
from orchestrator.runtime.journal.stores.postgresql.together import Together

LOOK_S: Final = 1.0
"""How often a process that waits looks for owners that have died, of which nothing is told."""
PAGE_ROWS: Final = 200

_CREATE: Final = f"""
    WITH made AS (
        INSERT INTO orch_run (run_id, workflow, version, tenant, key, status, owner, epoch, created_at, updated_at,
                              rows, log_bytes, snapshot, noted, told)
        VALUES (%(run)s, %(workflow)s, %(version)s, %(tenant)s, %(key)s, %(status)s, %(owner)s, {{epoch}}, {NOW}, {NOW},
                1, octet_length(%(data)b::bytea), 1, 0, 0)
        ON CONFLICT DO NOTHING RETURNING *
    ), added AS (
        INSERT INTO orch_log (run_id, number, epoch, is_snapshot, at, data)
        SELECT run_id, 1, epoch, false, created_at, %(data)b::bytea FROM made
    ), referred AS (
        INSERT INTO orch_reference (run_id, artifact)
        SELECT run_id, artifact FROM made CROSS JOIN unnest(%(artifact)s::text[]) AS artifact
    ){{leased}}
    SELECT {HEAD}{{told}} FROM made AS run"""
_CREATE_READY: Final = _CREATE.format(epoch="0", leased="", told=", pg_notify(%(channel)s, '')::text")
_CREATE_CLAIMED: Final = _CREATE.format(
    epoch=claiming.NEXT_EPOCH,
    leased=f", leased AS ({claiming.LEASE.format(where='FROM made')})",
    told=", NULL",
)
_SAME: Final = f"""
    SELECT {HEAD} FROM orch_run AS run
    WHERE run.tenant = %(tenant)s AND run.workflow = %(workflow)s AND run.key = %(key)s"""
_HEAD: Final = f"SELECT {HEAD}, run.snapshot FROM orch_run AS run WHERE run.run_id = %(run)s"
_ROWS: Final = """
    SELECT number, is_snapshot, at, data FROM orch_log
    WHERE run_id = %(run)s AND number BETWEEN %(first)s AND %(last)s ORDER BY number"""
_MISSING: Final = """
    SELECT wanted.number FROM orch_run AS run CROSS JOIN generate_series(1, %(last)s::int8) AS wanted(number)
    WHERE run.run_id = %(run)s
        AND NOT EXISTS (SELECT FROM orch_log AS log WHERE log.run_id = run.run_id AND log.number = wanted.number)
    ORDER BY wanted.number"""
_SEND: Final = f"""
    WITH told AS (
        UPDATE orch_run AS run SET
            noted = run.noted + 1,
            told = CASE WHEN %(wakes)s THEN run.noted + 1 ELSE run.told END,
            status = CASE WHEN {{wakes}} THEN 'ready' ELSE run.status END,
            why = CASE WHEN {{wakes}} THEN NULL ELSE run.why END,
            wake_at = CASE WHEN {{wakes}} THEN NULL ELSE run.wake_at END,
            updated_at = CASE WHEN {{wakes}} THEN {NOW} ELSE run.updated_at END
        WHERE run.run_id = %(run)s RETURNING run.run_id, run.noted
    ), left_there AS (
        INSERT INTO orch_notice (run_id, number, wakes, data) SELECT run_id, noted, %(wakes)s, %(data)b FROM told
    )
    SELECT run_id, pg_notify(%(channel)s, '')::text FROM told""".format(wakes=f"%(wakes)s AND run.status IN {WAKEABLE}")
_NOTICES: Final = "SELECT number, data FROM orch_notice WHERE run_id = %(run)s ORDER BY number"
_NOTICES_OF: Final = """
    SELECT run_id, number, data FROM orch_notice
    WHERE run_id = ANY(ARRAY(SELECT run.run_id FROM orch_run AS run WHERE run.owner = %(owner)s))
    ORDER BY run_id, number"""
_SET_STATUS: Final = f"""
    UPDATE orch_run AS run SET status = %(status)s, why = %(why)s, wake_at = NULL, updated_at = {NOW},
        deaths = CASE run.status WHEN %(status)s THEN run.deaths ELSE 0 END
    WHERE run.run_id = %(run)s AND run.status = ANY(%(of)s::text[])"""
_PUT_PROGRAM: Final = "INSERT INTO orch_program VALUES (%(version)s, %(data)b) ON CONFLICT DO NOTHING"
_PROGRAM: Final = "SELECT data FROM orch_program WHERE version = %(version)s"
_REFER: Final = """
    INSERT INTO orch_reference (run_id, artifact)
    SELECT found.run_id, artifact
    FROM (SELECT run_id FROM orch_run WHERE run_id = %(run)s FOR KEY SHARE) AS found
    CROSS JOIN unnest(%(artifact)s::text[]) AS artifact
    ON CONFLICT DO NOTHING"""
_REFERRED: Final = """
    SELECT artifact FROM unnest(%(artifact)s::text[]) AS artifact
    WHERE EXISTS (SELECT FROM orch_reference AS reference WHERE reference.artifact = artifact.artifact)"""
_REMOVE: Final = "DELETE FROM orch_run WHERE run_id = ANY(%(run)s) AND status <> 'running' RETURNING run_id"
_BELONGING: Final = ("orch_log", "orch_notice", "orch_reference")


class PostgresqlStore:
    """Keeps runs in a PostgreSQL 12 or newer, for any number of processes.

    It has three sessions of its own, which a pooler must not share among others by the transaction: one writes, one
    reads, and one listens and holds a lock for as long as this process lives.
    """

    def __init__(self, address: Address, writes: Session, reads: Session, schema: str) -> None:
        channel = channel_of(schema)
        lock = secrets.randbits(64) - (1 << 63)
        self._url = address.url
        self._channel = channel
        self._writes = writes
        self._reads = reads
        self._bell = Bell()
        self._listener = Listener(address, channel, lock, self._bell)
        self._claims = Claims(writes, reads, channel, lock)
        self._flusher = Flusher(writes, channel)
        self._creates = Together(writes)
        self._lock = lock
        self._has_claimed = False

    @classmethod
    async def open(cls, url: str, *, may_make: bool = True) -> PostgresqlStore:
        """Open a store, and make its tables, if it ``may_make`` them, or bring them up to date; several processes may
        do so at once.

        ``url``: ``postgresql://user@host:5432/database``, with ``?schema=NAME`` for a schema of its own, which is made
        where there is none; without it the tables are where the session's ``search_path`` begins
        (:mod:`~orchestrator.runtime.journal.stores.postgresql.address`). Raises ``JournalError`` ORCH-R093 where
        there are no tables, ORCH-R110 for a URL that cannot be read, ORCH-R111 for tables that a newer version has
        changed, and ``psycopg.Error`` for a database
        that cannot be reached.
        """
        address = Address.of(url)
        writes, reads = Session(address), Session(address)
        try:
            schema = await migrate(writes, address, may_make=may_make)
            store = cls(address, writes, reads, schema)
        except BaseException:
            await writes.close()
            raise
        try:
            await store._listener.up()
        except BaseException:
            await store._close_sessions()
            raise
        return store

    @property
    def url(self) -> str:
        """What opens it again, without a password."""
        return self._url

    def __repr__(self) -> str:
        return f"<PostgresqlStore {self._url}>"

    async def create(
        self,
        run: NewRun,
        data: bytes,
        *,
        owner: str | None = None,
        lease_s: float = LEASE_S,
        artifacts: Collection[str] = (),
    ) -> Head:
        """Add a run with the first row of its log; the head of the run that has this key, if there is one."""
        if owner is not None:
            await self._listener.up()
        values = {
            "run": run.run_id,
            "workflow": run.workflow,
            "version": run.version,
            "tenant": run.tenant,
            "key": run.key,
            "status": "ready" if owner is None else "running",
            "owner": owner,
            "data": data,
            "artifact": sorted(set(artifacts)),
            "channel": self._channel,
            "session": self._lock,
            "lease_s": lease_s,
        }
        self._has_claimed = self._has_claimed or owner is not None
        made = (await self._creates.run(_CREATE_READY if owner is None else _CREATE_CLAIMED, values)).rows
        if made:
            head = head_of(made[0][:-1])
            if owner is not None:
                self._flusher.claimed(Claim(head.run_id, head.epoch), head.rows)
            return head
        same = () if run.key is None else (await self._writes.run(_SAME, values)).rows
        if not same:
            raise KeyError(run.run_id)
        return head_of(same[0])

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
        await self._listener.up()
        await self._claims.make_ready(owner)
        self._has_claimed = True
        claimed = await self._claims.claim(owner, lease_s, run_id, holds, limit)
        for claim, head in claimed:
            self._flusher.claimed(claim, head.rows)
        return claimed

    async def renew(self, owner: str, lease_s: float = LEASE_S) -> Collection[str]:
        """Renew the lease of everything that ``owner`` has claimed; the ids of those runs."""
        return await self._claims.renew(owner, lease_s)

    def append(self, claim: Claim, data: bytes, *, change: Change | None = None, taken: Collection[int] = ()) -> None:
        """Add to a run's log."""
        self._flusher.append(claim, data, change, taken)

    def snapshot(self, claim: Claim, data: bytes) -> None:
        """Add a row that stands for everything appended before it."""
        self._flusher.snapshot(claim, data)

    def barrier(self, run_id: str) -> Awaitable[None] | None:
        """What to wait for until everything appended to the run is durable; None if it is."""
        return self._flusher.barrier(run_id)

    async def head(self, run_id: str) -> Head | None:
        """What is known of a run."""
        found = (await self._reads.run(_HEAD, {"run": run_id})).rows
        return head_of(found[0][:-1]) if found else None

    async def load(self, run_id: str) -> Loaded | None:
        """A run from its last snapshot on. Raises ``JournalError`` ORCH-R095 where rows of that are missing."""
        found = (await self._reads.run(_HEAD, {"run": run_id})).rows
        if not found:
            return None
        *fields, snapshot = found[0]
        head = head_of(fields)
        rows = [row async for row in self._rows(run_id, snapshot, head.rows)]
        if not rows:  # it was removed meanwhile
            return None
        return Loaded(head, rows)

    async def history(self, run_id: str, *, after: int = 0) -> AsyncIterator[Row]:
        """Every row that is kept, in order, from the one behind ``after``. Raises ``JournalError`` ORCH-R095 where one
        is missing."""
        head = await self.head(run_id)
        if head is not None:
            async for row in self._rows(run_id, after + 1, head.rows):
                yield row

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
        asked = {
            "workflow": (workflow is not None, "AND run.workflow = %(workflow)s"),
            "tenant": (tenant is not None, "AND run.tenant = %(tenant)s"),
            "before": (before is not None, "AND (run.created_at, run.run_id) < (%(created_at)s, %(before)s)"),
        }
        conditions = " ".join(condition for is_asked, condition in asked.values() if is_asked)
        latest = f"ORDER BY run.created_at DESC, run.run_id DESC LIMIT {int(limit)}"
        # A range of an index for each status, whatever else is asked for.
        statement = f"""
            SELECT {HEAD} FROM unnest(%(status)s::text[]) AS asked(status) CROSS JOIN LATERAL (
                SELECT * FROM orch_run AS run WHERE run.status = asked.status {conditions} {latest}
            ) AS run {latest}"""
        created_at, last = before or (None, None)
        values = {
            "status": list(status or get_args(Status)),
            "workflow": workflow,
            "tenant": tenant,
            "created_at": created_at,
            "before": last,
        }
        return [head_of(row) for row in (await self._reads.run(statement, values, prepare=False)).rows]

    async def send(self, run_id: str, data: bytes, *, wakes: bool = True) -> bool:
        """Leave a notice; durable when it returns. False for an unknown run."""
        values = {"run": run_id, "data": data, "wakes": wakes, "channel": self._channel}
        return bool((await self._writes.run(_SEND, values)).rows)

    async def notices(self, run_id: str) -> Sequence[Notice]:
        """What was left for a run, in order."""
        return [Notice(*row) for row in (await self._reads.run(_NOTICES, {"run": run_id})).rows]

    async def notices_of(self, owner: str) -> Mapping[str, Sequence[Notice]]:
        """What was left for each run that ``owner`` has claimed, in order."""
        found: dict[str, list[Notice]] = {}
        for run_id, *notice in (await self._reads.run(_NOTICES_OF, {"owner": owner})).rows:
            found.setdefault(run_id, []).append(Notice(*notice))
        return found

    async def set_status(
        self, run_id: str, status: Status, why: str | None = None, *, of: Collection[Status] = IDLE
    ) -> bool:
        """Change the status of a run that nobody executes; False where it has another one, or there is none."""
        if "running" in (status, *of):
            raise ValueError("only a claim makes a run running")
        values = {"run": run_id, "status": status, "why": None if why is None else storable(why), "of": list(of)}
        is_set = (await self._writes.run(_SET_STATUS, values)).count > 0
        if is_set and status == "ready":
            await self._writes.run(NOTIFY, {"channel": self._channel})
        return is_set

    async def wait(self, timeout_s: float) -> None:
        """Return when there may be a run to claim or a notice to take, or after ``timeout_s``."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while (left := end - loop.time()) > 0:
            due_in = await self._claims.due_in()
            if due_in == 0 or await self._bell.heard(min(left, LOOK_S, LOOK_S if due_in is None else due_in)):
                return

    async def put_program(self, version: str, data: bytes) -> None:
        """Keep what describes a version of a workflow, once."""
        await self._creates.run(_PUT_PROGRAM, {"version": version, "data": data})

    async def program(self, version: str) -> bytes | None:
        """What was kept of a version."""
        found = (await self._reads.run(_PROGRAM, {"version": version})).rows
        return bytes(found[0][0]) if found else None

    async def refer(self, run_id: str, artifacts: Collection[str]) -> None:
        """Note that a run's log refers to artifacts."""
        await self._writes.run(_REFER, {"run": run_id, "artifact": sorted(set(artifacts))})

    async def referred(self, artifacts: Collection[str]) -> Collection[str]:
        """Those of the artifacts that some run refers to."""
        return {name for (name,) in (await self._reads.run(_REFERRED, {"artifact": sorted(set(artifacts))})).rows}

    async def remove(self, run_ids: Collection[str]) -> int:
        """Remove runs that nobody executes, with their logs, notices and references; how many there were."""
        async with self._writes.held() as connection, connection.transaction():
            cursor = await connection.execute(_REMOVE, {"run": list(run_ids)})
            removed = [run_id for (run_id,) in await cursor.fetchall()]
            # After the runs are locked, so that nothing is added to them any more.
            for table in _BELONGING:
                await connection.execute(f"DELETE FROM {table} WHERE run_id = ANY(%(run)s)", {"run": removed})
        return len(removed)

    async def close(self) -> None:
        """Commit what was appended, give back what was claimed here, and close."""
        try:
            try:
                await self._flusher.flush()
            finally:
                if self._has_claimed:  # else there is nothing to write, and who only reads may not be able to
                    await self._claims.give_back()
        finally:
            await self._close_sessions()

    async def _close_sessions(self) -> None:
        await self._listener.close()
        await self._writes.close()
        await self._reads.close()

    async def _rows(self, run_id: str, first: int, last: int) -> AsyncIterator[Row]:
        """Rows in order, some at a time; none any more where the run is removed meanwhile."""
        while first <= last:
            end = min(last, first + PAGE_ROWS - 1)
            values = {"run": run_id, "first": first, "last": end}
            for number, is_snapshot, at, data in (await self._reads.run(_ROWS, values)).rows:
                if number != first:
                    break
                yield Row(number, is_snapshot, at, bytes(data))
                first += 1
            if first <= end:
                await self._say_what_is_missing(run_id, last)
                return

    async def _say_what_is_missing(self, run_id: str, last: int) -> None:
        """Raise ORCH-R095 for a run of which rows were removed, unless that is removed as a whole."""
        missing = [number for (number,) in (await self._reads.run(_MISSING, {"run": run_id, "last": last})).rows]
        if missing:
            raise JournalError(
                DAMAGED,
                f"run {run_id} is damaged: of the {last} rows of its log, {ranges(missing)} are missing",
                why="they were removed from the database, or lost with a page of it",
                fix="restore the database from a backup; the other runs in it are not touched by this",
            )
