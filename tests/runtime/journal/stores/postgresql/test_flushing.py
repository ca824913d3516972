"""What was appended is written once, and in order, whatever becomes of the connection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from unittest.mock import AsyncMock

import psycopg
import pytest

from orchestrator.runtime.coordinator import owner
from orchestrator.runtime.journal.stores.base import Change, Claim, FencedError, Store
from orchestrator.runtime.journal.stores.postgresql.store import _SEND, PostgresqlStore
from tests.postgresql import Server
from tests.runtime.journal.stores.keeping import EVERY_BYTE, created, durable, ended, head_of, log
from tests.runtime.journal.stores.postgresql.wire import Wire

FAILURES = (psycopg.Error, OSError)


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    store = await PostgresqlStore.open(url)
    yield store
    await store.close()


@pytest.fixture
async def wire(postgresql: Server) -> AsyncIterator[Wire]:
    async with Wire(postgresql.port).laid() as wire:
        yield wire


@pytest.fixture
async def far(url: str, postgresql: Server, wire: Wire) -> AsyncIterator[Store]:
    """A store at the other end of a wire."""
    store = await PostgresqlStore.open(url.replace(f":{postgresql.port}/", f":{wire.port}/"))
    yield store
    await store.close()


async def insisted(store: Store, run_id: str) -> None:
    """Try until everything is durable."""
    async with asyncio.timeout(120):
        while True:
            try:
                return await durable(store, run_id)
            except FAILURES:
                await asyncio.sleep(0.02)


async def test_a_row_whose_answer_was_lost_is_written_once(wire: Wire, far: Store, store: Store) -> None:
    claim = await created(far)
    far.append(claim, b"a")
    async with wire.losing_answers():
        with pytest.raises(FAILURES):
            await durable(far, "r")
    assert await log(store) == [b"first", b"a"], "it was committed"
    far.append(claim, b"b")
    await durable(far, "r")
    assert far.barrier("r") is None
    assert await log(store) == [b"first", b"a", b"b"]
    head = await head_of(store)
    assert (head.rows, head.log_bytes) == (3, 7)


async def test_what_a_snapshot_changes_is_written_with_it(
    store: PostgresqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, run, failures = await created(store), store._writes.run, iter([None])
    store.snapshot(claim, b"S")
    store.append(claim, b"", change=Change(version="v2"))
    store.append(claim, b"a")

    async def once(statement: str, values: object) -> object:
        next(failures)
        return await run(statement, values)  # type: ignore[arg-type]

    monkeypatch.setattr(store._writes, "run", once)
    with pytest.raises(RuntimeError):
        await durable(store, "r")
    monkeypatch.undo()
    head = await head_of(store)
    assert (head.rows, head.version) == (2, "v2")
    await durable(store, "r")
    assert await log(store) == [b"first", b"S", b"a"]


async def test_what_was_sent_is_sent_again_as_it_was(wire: Wire, far: Store, store: Store) -> None:
    claim = await created(far)
    async with wire.losing_answers():
        for number in range(5):
            far.append(claim, b"%d" % number)
            if number == 2:
                far.snapshot(claim, b"S")
            with pytest.raises(FAILURES):
                await durable(far, "r")
    await durable(far, "r")
    assert b"".join(await log(store)) == b"first012S34"
    loaded = await store.load("r")
    assert loaded is not None
    assert b"".join(row.data for row in loaded.rows) == b"S34"


@pytest.mark.parametrize("data", [b"last", b""])
@pytest.mark.parametrize("status", ["done", "waiting", "ready", "running"])
async def test_a_change_whose_answer_was_lost_is_made_once(
    wire: Wire, far: Store, store: Store, status: str, data: bytes
) -> None:
    claim = await created(far)
    await store.send("r", b"taken")
    (notice,) = await far.notices(claim.run_id)
    far.append(claim, data, change=Change(status=status, why="so"), taken=[notice.number])  # type: ignore[arg-type]
    async with wire.losing_answers():
        with pytest.raises(FAILURES):
            await durable(far, "r")
    await durable(far, "r")
    head = await head_of(store)
    assert (head.status, head.notices, head.rows, head.epoch) == (status, 0, 2 if data else 1, claim.epoch)


async def test_a_row_is_known_to_be_written_though_the_run_was_claimed_since(
    wire: Wire, far: Store, store: Store
) -> None:
    claim = await created(far, lease_s=0)
    far.append(claim, b"a")
    async with wire.losing_answers():
        with pytest.raises(FAILURES):
            await durable(far, "r")
    ((theirs, head),) = await store.claim("you")
    assert head.rows == 2
    store.append(theirs, b"theirs")
    await durable(store, "r")
    await durable(far, "r")
    far.append(claim, b"late")
    with pytest.raises(FencedError):
        await durable(far, "r")
    assert await log(store) == [b"first", b"a", b"theirs"]


async def test_a_claim_whose_answer_was_lost_is_given_back(
    wire: Wire, far: PostgresqlStore, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "BEATS", 6000)
    claims = owner.Owner(far, lease_s=600)
    await created(store, "r", owner=None)
    monkeypatch.setattr(far._claims, "make_ready", AsyncMock())  # whose own answer would be lost first
    async with wire.losing_answers():
        with pytest.raises(FAILURES):
            await claims.claim({"w": ["v1"]}, limit=1)
    assert (await head_of(store)).owner == claims.name, "it was committed"
    async with asyncio.timeout(60):
        while not (claimed := await store.claim("you", limit=9)):
            await asyncio.sleep(0.02)
    assert [claim.run_id for claim, _ in claimed] == ["r"]
    await claims.close()


async def test_a_notice_that_comes_while_a_run_falls_asleep_wakes_it(
    store: Store, schema: str, postgresql: Server
) -> None:
    claim = await created(store)
    async with await psycopg.AsyncConnection.connect(postgresql.url) as sending:
        await sending.execute(f"SET search_path = {schema}")
        await sending.execute(_SEND, {"run": "r", "data": b"answer", "wakes": True, "channel": "nobody"})
        store.append(claim, b"asleep", change=Change(status="waiting"))
        asleep = asyncio.ensure_future(durable(store, "r"))
        async with await psycopg.AsyncConnection.connect(postgresql.url, autocommit=True) as looking:
            while not (await looking.execute("SELECT FROM pg_locks WHERE NOT granted")).rowcount:
                await asyncio.sleep(0.01)
        await sending.commit()
    await asleep
    head = await head_of(store)
    assert (head.status, head.notices, head.owner) == ("ready", 1, None)


async def test_a_run_whose_claim_was_made_elsewhere_is_appended_to(store: Store, far: Store) -> None:
    claim = await created(store)
    far.append(claim, b"a")
    await durable(far, "r")
    far.append(claim, b"b")
    await durable(far, "r")
    assert await log(store) == [b"first", b"a", b"b"]


async def test_what_cannot_be_stored_fails_its_run_alone(url: str) -> None:
    store = await PostgresqlStore.open(url)
    good, bad = await created(store, "good"), await created(store, "bad")
    store.append(good, b"a")
    store.append(bad, b"a", change=Change(version="\0"))
    found = await asyncio.gather(durable(store, "good"), durable(store, "bad"), return_exceptions=True)
    assert [type(each) for each in found] == [type(None), psycopg.DataError]
    assert await log(store, "good") == [b"first", b"a"]
    with pytest.raises(psycopg.DataError):
        await store.close()
    again = await PostgresqlStore.open(url)
    assert sorted(head.status for head in await again.heads()) == ["ready", "ready"]
    await again.close()


async def test_why_may_hold_whatever_a_failure_says(store: Store) -> None:
    await ended(store, await created(store), "failed", why="\0 \ud800 \N{GRINNING FACE}")
    assert (await head_of(store)).why == "\N{REPLACEMENT CHARACTER} ? \N{GRINNING FACE}"


async def test_more_than_one_statement_takes_is_written_in_several(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.runtime.journal.stores.postgresql.flushing.FLUSH_RUNS", 3)
    monkeypatch.setattr("orchestrator.runtime.journal.stores.postgresql.flushing.FLUSH_BYTES", 1000)
    claims = [await created(store, f"r{number}") for number in range(10)]
    for number, claim in enumerate(claims):
        store.append(claim, EVERY_BYTE * number)
    await asyncio.gather(*(durable(store, claim.run_id) for claim in claims))
    for number, claim in enumerate(claims):
        assert b"".join(await log(store, claim.run_id)) == b"first" + EVERY_BYTE * number


@pytest.mark.parametrize("what", ["terminated", "restarted"])
async def test_a_connection_that_breaks_at_any_time_loses_and_repeats_nothing(
    store: Store, postgresql: Server, what: str
) -> None:
    claims = [await created(store, f"r{number}") for number in range(8)]
    draw = random.Random(12)
    is_over = False

    async def append(claim: Claim) -> None:
        for number in range(40):
            store.append(claim, b"%d " % number)
            if number % 13 == 5:
                store.snapshot(claim, b"S ")
            await insisted(store, claim.run_id)

    async def break_it() -> None:
        for _ in range(2 if what == "restarted" else 1000):
            await asyncio.sleep(draw.uniform(0, 0.05))
            if what == "restarted":
                await asyncio.to_thread(postgresql.restart)
            else:
                await asyncio.to_thread(terminated, postgresql.url)
            if is_over:
                return

    breaking = asyncio.create_task(break_it())
    await asyncio.gather(*map(append, claims))
    is_over = True
    await breaking
    expected = b"first" + b"".join(b"%d " % n + (b"S " if n % 13 == 5 else b"") for n in range(40))
    for claim in claims:
        rows = [row async for row in store.history(claim.run_id)]
        assert [row.number for row in rows] == list(range(1, len(rows) + 1))
        assert b"".join(row.data for row in rows) == expected


def terminated(url: str) -> None:
    """End every session of a store."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'orchestrator'"
        )
