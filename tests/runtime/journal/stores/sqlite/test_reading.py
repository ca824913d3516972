"""What is read of a file of runs, and that it costs by what is asked for."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest

from orchestrator.runtime.journal.stores.appended import Appended
from orchestrator.runtime.journal.stores.base import Change, Head, NewRun
from orchestrator.runtime.journal.stores.sqlite import claims, reading, runs
from orchestrator.runtime.journal.stores.sqlite.processes import Process
from orchestrator.runtime.journal.stores.sqlite.schema import connect, prepare


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    prepare(tmp_path / "runs.db")
    with closing(connect(tmp_path / "runs.db")) as db:
        yield db


def plans(db: sqlite3.Connection, act: Callable[[], object]) -> list[str]:
    """How the statements of something are executed."""
    statements: list[str] = []
    db.set_trace_callback(statements.append)
    act()
    db.set_trace_callback(None)
    looks = [each for each in statements if each.lstrip().startswith(("SELECT", "WITH", "UPDATE", "DELETE", "INSERT"))]
    assert looks
    return [step[3] for each in looks for step in db.execute(f"EXPLAIN QUERY PLAN {each}")]


def is_a_scan(step: str) -> bool:
    """Whether all rows of a table are looked at, or sorted."""
    return ("SCAN" in step and step != "SCAN chain" and "owners" not in step) or "ORDER BY" in step


@pytest.mark.parametrize(
    ("status", "workflow", "tenant", "before"),
    list(product([(), ("done", "failed")], [None, "w"], [None, "t", ""], [None, (1e9, "r")])),
)
def test_a_list_costs_by_its_length(
    db: sqlite3.Connection,
    status: tuple[()] | tuple[str, ...],
    workflow: str | None,
    tenant: str | None,
    before: tuple[float, str] | None,
) -> None:
    def listed() -> list[Head]:
        return reading.heads(db, status=status, workflow=workflow, tenant=tenant, before=before, limit=50)  # type: ignore[arg-type]

    runs.create(db, NewRun("r", "w", "v", "t"), b"", None)
    assert [step for step in plans(db, listed) if is_a_scan(step)] == []


def test_a_look_for_runs_costs_by_their_versions(db: sqlite3.Connection, tmp_path: Path) -> None:
    process = Process(tmp_path / "owners")

    def steps() -> int:
        """How many of its steps SQLite takes for a look that finds nothing."""
        taken: list[None] = []
        db.set_progress_handler(lambda: taken.append(None), 1)
        assert claims.claim(db, process, "me", lease_s=9, run_id=None, holds={"w1": ["none"]}, limit=9) == []
        db.set_progress_handler(None, 1)
        return len(taken)

    def add(many: range) -> None:
        for number in many:
            runs.create(db, NewRun(f"r{number}", f"w{number % 3}", f"v{number % 2}"), b"", None)

    add(range(12))
    few = steps()
    add(range(12, 600))
    assert steps() < 2 * few
    process.leave()


def test_a_list_of_one_tenant_costs_the_same_among_runs_of_others(db: sqlite3.Connection) -> None:
    def steps(tenant: str) -> int:
        """How many of its steps SQLite takes."""
        taken: list[None] = []
        db.set_progress_handler(lambda: taken.append(None), 1)
        assert len(reading.heads(db, status=(), workflow="w", tenant=tenant, before=None, limit=50)) == 1
        db.set_progress_handler(None, 1)
        return len(taken)

    def add(many: range) -> None:
        for number in many:
            runs.create(db, NewRun(f"r{number}", "w", "v", f"t{number}"), b"", None)

    runs.create(db, NewRun("none", "w", "v"), b"", None)
    add(range(10))
    few = steps("t0"), steps("")
    add(range(10, 600))
    assert (steps("t0"), steps("")) == few


def test_what_is_done_to_one_run_costs_by_that_run(db: sqlite3.Connection, tmp_path: Path) -> None:
    process = Process(tmp_path / "owners")

    def life() -> None:
        runs.create(db, NewRun("r", "w", "v", "t", "k"), b"first", None)
        ((claim, _),) = claims.claim(db, process, "me", lease_s=9, run_id=None, holds={"w": None}, limit=9)
        appended = Appended(claim.epoch)
        appended.add(b"a", Change(status="waiting", wake_at=1.0), [1])
        appended.add_snapshot(b"S")
        assert runs.Append("r", appended, 1)(db)
        claims.claim(db, process, "me", lease_s=9, run_id="r", holds=None, limit=1)
        claims.renew(db, process, "me", 9)
        claims.give_all_back(db, process)
        runs.send(db, "r", b"a", True)
        runs.set_status(db, "r", "waiting", None)
        runs.refer(db, "r", ["a"])
        reading.load(db, "r")
        run, ids = reading.chain(db, "r", 0)
        reading.rows(db, "r", run, ids)
        reading.notices(db, "r")
        reading.referred(db, ["a"])
        reading.next_due_s(db, 0.0)
        runs.remove(db, "r")

    found = plans(db, life)
    assert [step for step in found if is_a_scan(step) or "(status=?)" in step] == []
    assert sum("runs_waiting (wake_at" in step for step in found) == 3, "of those that wait, those whose time has come"
    process.leave()
