"""Owners that are silent, dead or many: each run is executed by one of them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator

import psycopg
import pytest

from orchestrator.runtime.journal.stores.base import Claim, Store
from orchestrator.runtime.journal.stores.postgresql import claiming
from orchestrator.runtime.journal.stores.postgresql.store import PostgresqlStore
from tests.postgresql import Server
from tests.runtime.journal.stores.keeping import claimed, created, durable, head_of, log
from tests.runtime.journal.stores.postgresql.owner import Owner


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresqlStore]:
    store = await PostgresqlStore.open(url)
    yield store
    await store.close()


@pytest.fixture
def owner(url: str) -> Iterator[Callable[[str], Owner]]:
    owners: list[Owner] = []

    def start(name: str) -> Owner:
        owners.append(Owner(url, name))
        return owners[-1]

    yield start
    for each in owners:
        each.end()


async def taken_over(store: Store) -> list[str]:
    """What a process claims that waits for something to claim, as a coordinator does."""
    async with asyncio.timeout(120):
        while not (found := await claimed(store, "you")):
            await store.wait(10)
    return found


async def test_a_paused_owner_that_wakes_up_cannot_write(store: PostgresqlStore, owner: Callable[[str], Owner]) -> None:
    paused = owner("paused")
    await paused.started()
    assert await paused.does("create r 1") == "created"
    paused.signal(signal.SIGSTOP)
    paused.tell("append r late")
    assert await taken_over(store) == ["r"]
    store.append(Claim("r", (await head_of(store)).epoch), b"mine")
    await durable(store, "r")
    paused.signal(signal.SIGCONT)
    assert await paused.said() == "fenced"
    assert await log(store) == [b"first", b"mine"]


async def test_a_killed_owner_is_seen_to_be_dead_long_before_its_lease_is_over(
    store: PostgresqlStore, owner: Callable[[str], Owner]
) -> None:
    killed, living = owner("killed"), owner("living")
    await killed.started()
    await living.started()
    assert await killed.does("create r 100000") == "created"
    assert await living.does("create s 100000") == "created"
    assert await claimed(store, "you") == []
    killed.signal(signal.SIGKILL)
    assert await taken_over(store) == ["r"]
    assert await living.does("append s more") == "durable"


async def test_two_processes_claim_each_run_once(store: PostgresqlStore, owner: Callable[[str], Owner]) -> None:
    names = {f"r{number:03}" for number in range(500)}
    await asyncio.gather(*(created(store, name, owner=None) for name in names))
    owners = [owner("a"), owner("b")]
    for each in owners:
        await each.started()
    for each in owners:
        each.tell("claim everything")
    by = [(await each.said()).split() for each in owners]
    assert all(by), "both had some"
    assert sorted(by[0] + by[1]) == sorted(names)
    assert {head.owner for head in await store.heads(limit=500)} == {"a", "b"}


async def test_a_process_that_comes_back_under_its_old_name_has_not_claimed_what_it_had(
    store: PostgresqlStore, owner: Callable[[str], Owner]
) -> None:
    old = owner("host-1")
    await old.started()
    await old.does("create r 100000")
    before = (await head_of(store)).epoch
    old.signal(signal.SIGKILL)
    async with asyncio.timeout(120):
        while not (found := await claimed(store, "host-1")):
            await store.wait(10)
    assert found == ["r"]
    assert (await head_of(store)).epoch > before


@pytest.mark.parametrize("how", ["restarted", "crashed"])
async def test_after_a_restart_of_the_database_nobody_is_dead_for_want_of_a_lock(
    how: str, store: PostgresqlStore, url: str, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await PostgresqlStore.open(url)
    await created(other, lease_s=100000)
    await other._close_sessions()
    glance = claiming._GLANCE
    if how == "restarted":
        await asyncio.to_thread(postgresql.restart)
    else:
        glance = glance.replace("pg_postmaster_start_time()", "timestamptz 'epoch'")
        os.kill(postgresql.backends()[0], signal.SIGKILL)
    monkeypatch.setattr(claiming, "_GLANCE", glance.replace(f"< {claiming.RESTART_S}", "< 1000000"))
    async with asyncio.timeout(60):
        while True:
            try:
                assert await claimed(store, "you") == []
                break
            except (psycopg.Error, OSError):
                await asyncio.sleep(0.05)
    monkeypatch.undo()
    assert await taken_over(store) == ["r"]


async def test_a_wait_does_not_return_for_what_its_own_process_has(store: PostgresqlStore) -> None:
    await created(store, lease_s=0)
    await store.wait(0.1)
    asleep = asyncio.ensure_future(store.wait(60))
    await asyncio.sleep(0.3)
    assert not asleep.done()
    asleep.cancel()
