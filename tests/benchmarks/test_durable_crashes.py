"""Plays whose processes are killed: few of them, with few programs; and what is read out of what they have done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from benchmarks.arms.effects import KILL, Effect
from benchmarks.durability import crashes
from benchmarks.durability.crashes import Store, Theatre
from benchmarks.durability.nursery import Nursery
from benchmarks.durability.programs import charging, looping, scraping
from tests.postgresql import binaries, running_server

FEW = (looping.name, charging.name, scraping.name)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as parent:
        yield parent


def test_killed_programs_give_what_they_give_undisturbed(nursery: Nursery, tmp_path: Path) -> None:
    theatre = Theatre(nursery, Store(), tmp_path, seed=1, programs=FEW)
    theatre.rehearse()
    tally = theatre.kill_at_random(4)
    assert tally.is_clean, tally
    assert tally.kills.total() == 4
    assert tally.runs == tally.plays * len(FEW)


@pytest.mark.skipif(binaries() is None, reason="no PostgreSQL is installed")
def test_a_database_that_was_killed_has_what_it_had() -> None:
    with running_server() as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept (number int)")
            connection.execute("INSERT INTO kept VALUES (1)")
            assert connection.info.backend_pid in server.backends()
            server.kill()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        server.start()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT * FROM kept").fetchall() == [(1,)]


def test_a_call_that_was_killed_counts_at_its_most() -> None:
    calls = [
        Effect("a", "model", False, (), 1, 0, tokens=50),
        Effect("a", "model", False, (), 2, 1, tokens=50),
        Effect("a", "model", True, (), 2, 2, tokens=7),
        Effect("of another program", "model", False, (), 2, 3, tokens=50),
    ]
    assert crashes._taken(calls, frozenset("a")) == (7, 57)


def test_a_run_is_taken_over_when_another_process_does_something_new_for_it() -> None:
    def did(op: str, pid: int, at: float) -> Effect:
        return Effect(op, "reads", False, (), pid, at)

    lived = [
        *(Effect("coordinator", "ready", False, (), pid, 0) for pid in (1, 2)),
        did("a1", 1, 1),
        did("b1", 2, 1),
        Effect("coordinator 1", KILL, False, (), 9, 2),
        Effect("coordinator 1 gone", KILL, False, (), 9, 3),
        did("b2", 2, 3.5),
        Effect("engine 7", KILL, False, (), 9, 3.6),
        did("a2", 2, 4),
        Effect("silent 2", KILL, False, (), 9, 5),
        Effect("coordinator", "ready", False, (), 3, 6),
        did("a3", 3, 20),
        Effect("coordinators 3", KILL, False, (), 9, 21),
        Effect("coordinators 3 gone", KILL, False, (), 9, 22),
        Effect("coordinator", "ready", False, (), 4, 23),
        did("a4", 4, 23.5),
    ]
    of = {f"{program}{number}": program for program in "ab" for number in range(9)}
    assert list(crashes._gone_on(lived, of)) == [(1, "coordinator"), (15, "silent"), (0.5, "coordinators")]
    after_a_restart = [Effect("postmaster", KILL, False, (), 9, 1.5), *lived]
    assert list(crashes._gone_on(after_a_restart, of)) == [(0.5, "coordinators")]
