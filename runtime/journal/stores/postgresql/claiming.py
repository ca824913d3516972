"""Who executes a run: claims, leases, and whose runs become ready again.

A lease is an owner's, for everything that it has claimed, and lasts until a time of the database's clock. An owner
whose process does not hold its advisory lock is dead, whatever its lease says; it is looked at twice, since a process
whose connection broke opens another at once. After a restart of the database, or a crash of one of its processes,
nobody has a lock yet, and leases alone count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any, Final

from orchestrator.runtime.journal.stores.base import ALONE, DEATHS, LETHAL, Claim, Head
from orchestrator.runtime.journal.stores.postgresql.connections import Session
from orchestrator.runtime.journal.stores.postgresql.flushing import NOW

TWICE_S: Final = 0.1
"""Between the two looks at an owner without its lock."""
RESTART_S: Final = 5.0
"""How long after a start of the database, or its recovery from a crash, a lock that is not held says nothing."""

HEAD: Final = """
    run.run_id, run.workflow, run.version, run.tenant, run.key, run.status, run.why, run.wake_at, run.owner, run.epoch,
    run.created_at, run.updated_at, run.rows, run.log_bytes,
    (SELECT count(*) FROM orch_notice AS notice WHERE notice.run_id = run.run_id) AS notices, run.deaths"""
"""The fields of a ``Head``, in order."""

_LOCKED: Final = f"""owner.session IN (
        SELECT classid::int8 << 32 | objid::int8 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ) OR {NOW} - extract(epoch FROM greatest(pg_postmaster_start_time(), (
        SELECT min(backend_start) FROM pg_stat_activity WHERE backend_type = 'checkpointer'
    ))) < {RESTART_S}"""
"""Where a process of the database crashes, all connections are closed, and its checkpointer is another one then."""
_GLANCE: Final = f"""
    SELECT owner.owner, owner.until, {_LOCKED}, owner.until - {NOW} FROM orch_owner AS owner
    WHERE owner.session <> %(session)s
    UNION ALL
    SELECT NULL, {NOW}, true, min(wake_at) - {NOW} FROM orch_run
    WHERE status = 'waiting' AND wake_at IS NOT NULL AND wake_at > %(after)s"""
"""The owners elsewhere, and behind them what becomes ready next, with the time by the database's clock."""
_READY: Final = f"status = 'ready', why = NULL, wake_at = NULL, owner = NULL, updated_at = {NOW}"
_MAKE_READY: Final = f"""
    WITH gone AS (
        DELETE FROM orch_owner AS owner
        WHERE (owner.owner <> %(owner)s OR owner.session <> %(session)s)
            AND (owner.until < {NOW} OR (owner.owner, owner.until) IN (
                SELECT * FROM unnest(%(dead)s::text[], %(until)s::float8[])))
        RETURNING owner.owner
    ), orphaned AS (
        UPDATE orch_run AS run SET deaths = run.deaths + 1, wake_at = NULL, owner = NULL, updated_at = {NOW},
            status = CASE WHEN run.deaths + 1 < {DEATHS} THEN 'ready' ELSE 'suspended' END,
            why = CASE WHEN run.deaths + 1 >= {DEATHS} THEN %(lethal)s END
        WHERE run.owner = ANY(ARRAY(SELECT owner FROM gone)) RETURNING run.run_id
    ), due AS MATERIALIZED (
        SELECT run.run_id FROM orch_run AS run WHERE run.status = 'waiting' AND run.wake_at <= {NOW}
        FOR UPDATE SKIP LOCKED
    ), woken AS (
        UPDATE orch_run AS run SET {_READY} WHERE run.run_id = ANY(ARRAY(SELECT run_id FROM due)) RETURNING run.run_id
    )
    SELECT pg_notify(%(channel)s, '')
    WHERE EXISTS (SELECT FROM orphaned UNION ALL SELECT FROM woken)"""

NEXT_EPOCH: Final = "nextval('orch_epoch')"
"""The number of a new claim, which no claim to any run has had."""
LEASE: Final = f"""
    INSERT INTO orch_owner (owner, session, until)
    SELECT %(owner)s, %(session)s, {NOW} + %(lease_s)s::float8 {{where}}
    ON CONFLICT (owner) DO UPDATE SET session = excluded.session, until = excluded.until"""
_CLAIM: Final = f"""
    WITH found AS MATERIALIZED (
        SELECT {HEAD} FROM orch_run AS run WHERE {{which}}
    ), leased AS ({LEASE.format(where="WHERE EXISTS (SELECT FROM found)")}
    ), claimed AS (
        UPDATE orch_run AS run
        SET status = 'running', why = NULL, wake_at = NULL, owner = %(owner)s, epoch = {NEXT_EPOCH},
            deaths = CASE WHEN run.status IN ('ready', 'running') THEN run.deaths ELSE 0 END
        WHERE run.run_id = ANY(ARRAY(SELECT run_id FROM found)) RETURNING run.run_id, run.epoch
    )
    SELECT found.*, claimed.epoch FROM found JOIN claimed ON claimed.run_id = found.run_id
    ORDER BY found.created_at, found.run_id"""
_ONE: Final = (
    "run.run_id = %(run)s AND (run.status NOT IN ('running', 'cancelled') OR run.owner = %(owner)s) FOR UPDATE"
)
_IN_ORDER: Final = "ORDER BY run.created_at, run.run_id LIMIT {limit}"
_ONE_ALONE: Final = f"""(
        SELECT alone.run_id{{created_at}} FROM orch_run AS alone
        WHERE alone.deaths >= {ALONE} AND alone.status = 'ready' AND alone.owner IS NULL {{held}} AND NOT EXISTS (
            SELECT FROM orch_run AS own
            WHERE own.deaths >= {ALONE} AND own.status = 'running' AND own.owner = %(owner)s)
        ORDER BY alone.created_at, alone.run_id LIMIT 1
        )"""
"""The oldest ready run of those with many deaths; none where the owner has such a one."""
_IS_HELD: Final = """AND (alone.workflow = ANY(%(whole)s::text[]) OR (alone.workflow, alone.version) IN (
            SELECT * FROM unnest(%(workflow)s::text[], %(version)s::text[])))"""
_READY_RUNS: Final = f"""
    run.status = 'ready' AND (run.deaths < {ALONE} OR run.run_id = {_ONE_ALONE.format(created_at="", held="")})
    {_IN_ORDER} FOR UPDATE SKIP LOCKED"""
_OLDEST: Final = f"""
        SELECT oldest.* FROM unnest({{held}}) AS held(workflow{{version}}) CROSS JOIN LATERAL (
            SELECT run.run_id, run.created_at FROM orch_run AS run
            WHERE run.status = 'ready' AND run.workflow = held.workflow {{of}} AND run.deaths < {ALONE}
            {_IN_ORDER.format(limit="{more}")}
        ) AS oldest"""
_HELD_RUNS: Final = f"""
    run.run_id = ANY(ARRAY(
        SELECT run.run_id FROM (
        {_OLDEST.format(held="%(whole)s::text[]", version="", of="", more="{more}")}
        UNION ALL
        {
    _OLDEST.format(
        held="%(workflow)s::text[], %(version)s::text[]",
        version=", version",
        of="AND run.version = held.version",
        more="{more}",
    )
}
        UNION ALL
        {
    _ONE_ALONE.format(
        created_at=", alone.created_at",
        held=_IS_HELD,
    )
}
        ) AS run {_IN_ORDER.format(limit="{more}")}
    )) AND (run.status = 'ready') IS TRUE {_IN_ORDER} FOR UPDATE SKIP LOCKED"""
"""The oldest of each workflow and version that is held, of an index, then the oldest of those that nobody locks."""
MORE: Final = 200
"""How many others may be claiming what was found, so that none finds everything locked."""
_RENEW: Final = f"""
    WITH kept AS (
        UPDATE orch_owner AS owner SET until = {NOW} + %(lease_s)s::float8, session = %(session)s
        WHERE owner.owner = %(owner)s RETURNING owner.owner
    )
    SELECT run.run_id FROM orch_run AS run WHERE run.owner = ANY(ARRAY(SELECT owner FROM kept))"""
_GIVE_BACK: Final = f"""
    WITH gone AS (
        DELETE FROM orch_owner AS owner WHERE owner.session = %(session)s RETURNING owner.owner
    )
    UPDATE orch_run AS run SET {_READY} WHERE run.owner = ANY(ARRAY(SELECT owner FROM gone))"""
NOTIFY: Final = "SELECT pg_notify(%(channel)s, '')"


class Claims:
    """The claims that one process makes."""

    def __init__(self, writes: Session, reads: Session, channel: str, session: int) -> None:
        self._writes = writes
        self._reads = reads
        self._channel = channel
        self._session = session
        self._told_until = -inf
        """Of runs whose time came before, :meth:`due_in` has told."""
        self._lost: set[str] = set()
        """Owners that are dead or silent, of which it has told."""

    async def due_in(self) -> float | None:
        """Seconds until some run becomes ready by itself, as far as can be told; 0 where a claim finds one. Of each it
        tells once: there may be nobody here who claims.
        """
        *owners, (_, now, _, due_s) = await self._glance(self._told_until)
        lost = {owner for owner, _, is_alive, left_s in owners if not is_alive or left_s <= 0}
        is_new = not lost <= self._lost or (due_s is not None and due_s <= 0)
        self._lost = lost
        if is_new:
            self._told_until = now
            return 0.0
        left = [left_s for owner, _, _, left_s in owners if owner not in lost]
        return min(left if due_s is None else [*left, due_s], default=None)

    async def make_ready(self, owner: str) -> None:
        """Make waiting runs ready whose time has come, and those of another owner that is dead or silent."""
        rows = await self._glance()
        dead = [row[:2] for row in rows if not row[2]]
        if dead:
            await asyncio.sleep(TWICE_S)
            rows = await self._glance()
            dead = [row[:2] for row in rows if not row[2] and row[:2] in dead]
        if dead or any(left is not None and left <= 0 for *_, left in rows):
            values = {
                "owner": owner,
                "session": self._session,
                "dead": [name for name, _ in dead],
                "until": [until for _, until in dead],
                "channel": self._channel,
                "lethal": LETHAL,
            }
            await self._writes.run(_MAKE_READY, values)

    async def claim(
        self,
        owner: str,
        lease_s: float,
        run_id: str | None,
        holds: Mapping[str, Collection[str] | None] | None,
        limit: int,
    ) -> Sequence[tuple[Claim, Head]]:
        """Claim the run that is named, or runs that are ready."""
        if run_id is not None:
            which = _ONE
        else:
            which = (_READY_RUNS if holds is None else _HELD_RUNS).format(limit=int(limit), more=int(limit) + MORE)
        held = [(name, version) for name, of in (holds or {}).items() for version in of or ()]
        values = {
            "owner": owner,
            "session": self._session,
            "lease_s": lease_s,
            "run": run_id,
            "whole": [name for name, of in (holds or {}).items() if of is None],
            "workflow": [name for name, _ in held],
            "version": [version for _, version in held],
        }
        found = (await self._writes.run(_CLAIM.format(which=which), values)).rows
        return [(Claim(row[0], row[-1]), replace(head_of(row[:-1]), owner=owner, epoch=row[-1])) for row in found]

    async def renew(self, owner: str, lease_s: float) -> Collection[str]:
        """Renew an owner's lease; what it has claimed."""
        values = {"owner": owner, "session": self._session, "lease_s": lease_s}
        return [run_id for (run_id,) in (await self._writes.run(_RENEW, values)).rows]

    async def give_back(self) -> None:
        """Make everything ready that was claimed here."""
        given = await self._writes.run(_GIVE_BACK, {"session": self._session})
        if given.count:
            await self._writes.run(NOTIFY, {"channel": self._channel})

    async def _glance(self, after: float = -inf) -> Sequence[tuple[Any, ...]]:
        return (await self._reads.run(_GLANCE, {"session": self._session, "after": after})).rows


def head_of(row: Sequence[Any]) -> Head:
    """A head from what ``HEAD`` selects."""
    return Head(*row)
