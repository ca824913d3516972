"""Who executes what, as statements in a transaction that somebody else begins and commits.

A lease is an owner's, not a run's: renewing it is one row, however many runs it has.
"""

from __future__ import annotations

import heapq
import sqlite3
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Final

from orchestrator.runtime.journal.stores.base import ALONE, DEATHS, LETHAL, Claim, Head
from orchestrator.runtime.journal.stores.sqlite.processes import Process
from orchestrator.runtime.journal.stores.sqlite.reading import head
from orchestrator.runtime.journal.stores.sqlite.runs import next_epoch

_READY: Final = f"FROM runs INDEXED BY runs_ready WHERE status = 'ready' AND deaths < {ALONE}"
_VERSION: Final = f"SELECT workflow, version {_READY}"
_MANY_DEATHS: Final = f"FROM runs INDEXED BY runs_alone WHERE deaths >= {ALONE}"


def lease(db: sqlite3.Connection, process: Process, owner: str, lease_s: float) -> int:
    """Note until when an owner has what it has claimed; its number."""
    until = time.monotonic() + lease_s
    db.execute(
        "INSERT INTO owners(name, process, boot, until) VALUES(?, ?, ?, ?)"
        " ON CONFLICT(process, name) DO UPDATE SET until = excluded.until",
        (owner, process.name, process.boot, until),
    )
    (number,) = db.execute("SELECT id FROM owners WHERE process = ? AND name = ?", (process.name, owner)).fetchone()
    return int(number)


def renew(db: sqlite3.Connection, process: Process, owner: str, lease_s: float) -> list[str]:
    """Renew the lease of an owner; the ids of the runs that it has claimed."""
    own = db.execute("SELECT id FROM owners WHERE process = ? AND name = ?", (process.name, owner)).fetchone()
    if own is None:
        return []
    lease(db, process, owner, lease_s)
    return [run_id for (run_id,) in db.execute("SELECT run_id FROM runs WHERE owner = ?", own)]


def lost_owners(db: sqlite3.Connection, process: Process, but: str | None = None) -> set[int]:
    """The owners that are dead, or silent for longer than their lease, though not this process's ``but``."""
    now = time.monotonic()
    return {
        number
        for number, name, where, boot, until in db.execute("SELECT id, name, process, boot, until FROM owners")
        if (where, name) != (process.name, but) and (boot != process.boot or until < now or process.is_gone(where))
    }


def make_ready(db: sqlite3.Connection, process: Process, but: str) -> None:
    """Let go of waiting runs whose time has come, and of those of lost owners, though not of this process's ``but``."""
    now = time.time()
    db.execute(
        "UPDATE runs INDEXED BY runs_waiting SET status = 'ready', why = NULL, wake_at = NULL, updated_at = ?1"
        " WHERE status = 'waiting' AND wake_at <= ?1",
        (now,),
    )
    for owner in lost_owners(db, process, but):
        db.execute("UPDATE runs SET deaths = deaths + 1 WHERE owner = ?", (owner,))
        db.execute(
            "UPDATE runs SET status = 'suspended', owner = NULL, why = ?, wake_at = NULL, updated_at = ?"
            f" WHERE owner = ? AND deaths >= {DEATHS}",
            (LETHAL, now, owner),
        )
        give_back(db, owner)


def give_back(db: sqlite3.Connection, owner: int) -> None:
    """Let go of everything that an owner has claimed."""
    db.execute(
        "UPDATE runs SET status = 'ready', owner = NULL, why = NULL, wake_at = NULL, updated_at = ? WHERE owner = ?",
        (time.time(), owner),
    )
    db.execute("DELETE FROM owners WHERE id = ?", (owner,))


def give_all_back(db: sqlite3.Connection, process: Process) -> None:
    """Let go of everything that was claimed through this store."""
    for (owner,) in db.execute("SELECT id FROM owners WHERE process = ?", (process.name,)).fetchall():
        give_back(db, owner)


def claim(
    db: sqlite3.Connection,
    process: Process,
    owner: str,
    *,
    lease_s: float,
    run_id: str | None,
    holds: Mapping[str, Collection[str] | None] | None,
    limit: int,
) -> list[tuple[Claim, Head]]:
    """Claim runs that are ready, or the one that is named."""
    make_ready(db, process, owner)
    if run_id is None:
        found = list(islice(_ready(db, process, owner, holds, limit), limit))
    else:
        found = [] if _is_executed_by_another(db, process, owner, run_id) else [run_id]
    heads = [before for each in found if (before := head(db, each)) is not None and before.status != "cancelled"]
    number = lease(db, process, owner, lease_s) if heads else 0
    claimed = []
    for before in heads:
        epoch = next_epoch(db)
        db.execute(
            "UPDATE runs SET status = 'running', owner = ?, epoch = ?, why = NULL, wake_at = NULL,"
            " deaths = CASE WHEN status IN ('ready', 'running') THEN deaths ELSE 0 END, updated_at = ?"
            " WHERE run_id = ?",
            (number, epoch, time.time(), before.run_id),
        )
        claimed.append((Claim(before.run_id, epoch), replace(before, owner=owner, epoch=epoch)))
    return claimed


def _is_executed_by_another(db: sqlite3.Connection, process: Process, owner: str, run_id: str) -> bool:
    by = db.execute(
        "SELECT owners.process, owners.name FROM runs JOIN owners ON owners.id = runs.owner WHERE run_id = ?", (run_id,)
    ).fetchone()
    return by is not None and by != (process.name, owner)


def _ready(
    db: sqlite3.Connection,
    process: Process,
    owner: str,
    holds: Mapping[str, Collection[str] | None] | None,
    limit: int,
) -> Iterator[str]:
    """The ids of ready runs that an owner may claim, the oldest first.

    Versions are looked up one after the other, so that the runs of those that nobody here has cost nothing.
    """
    by_age = heapq.merge(
        *(
            db.execute(
                f"SELECT created_at, run_id {_READY} AND workflow = ? AND version = ?"
                " ORDER BY created_at, run_id LIMIT ?",
                (workflow, version, limit),
            )
            for workflow, version in _ready_versions(db)
            if _is_held(workflow, version, holds)
        ),
        _one_alone(db, process, owner, holds),
    )
    return (run_id for _, run_id in by_age)


def _one_alone(
    db: sqlite3.Connection, process: Process, owner: str, holds: Mapping[str, Collection[str] | None] | None
) -> list[tuple[float, str]]:
    """The oldest ready run of those with many deaths; none where the owner has such a one."""
    has_one = (
        f"SELECT 1 {_MANY_DEATHS} AND status = 'running'"
        " AND owner = (SELECT id FROM owners WHERE process = ? AND name = ?)"
    )
    if db.execute(has_one, (process.name, owner)).fetchone() is not None:
        return []
    ready = db.execute(
        f"SELECT created_at, run_id, workflow, version {_MANY_DEATHS} AND status = 'ready' AND owner IS NULL"
        " ORDER BY created_at, run_id"
    )
    held = (
        (created_at, run_id) for created_at, run_id, workflow, version in ready if _is_held(workflow, version, holds)
    )
    return list(islice(held, 1))


def _ready_versions(db: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    """The workflows and versions that ready runs have: a step or two in the index for each, however many they are."""
    found = db.execute(f"{_VERSION} AND workflow >= '' ORDER BY workflow, version LIMIT 1").fetchone()
    while found is not None:
        workflow, version = found
        yield workflow, version
        behind = f"{_VERSION} AND workflow = ? AND version > ? ORDER BY version LIMIT 1"
        found = db.execute(behind, (workflow, version)).fetchone()
        if found is None:
            behind = f"{_VERSION} AND workflow > ? ORDER BY workflow, version LIMIT 1"
            found = db.execute(behind, (workflow,)).fetchone()


def _is_held(workflow: str, version: str, holds: Mapping[str, Collection[str] | None] | None) -> bool:
    if holds is None:
        return True
    versions = holds.get(workflow, ())
    return versions is None or version in versions
