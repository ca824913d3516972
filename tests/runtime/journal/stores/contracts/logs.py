"""What a run's log is: its first row, those after it, and what is read of them."""

from __future__ import annotations

import asyncio
import time

import pytest

from orchestrator.runtime.journal.stores.base import Change, Claim, NewRun, Store
from tests.runtime.journal.stores.keeping import EVERY_BYTE, HOSTILE, claimed, created, durable, head_of, log


class Logs:
    """What a run's log is: its first row, those after it, and what is read of them."""

    async def test_a_created_run_has_a_head_and_its_first_row(self, store: Store, other: Store) -> None:
        before = time.time()
        head = await store.create(NewRun("r", "w", "v1", "t", "k"), EVERY_BYTE, owner="me")
        assert head == await head_of(store) == await head_of(other)
        assert (head.run_id, head.workflow, head.version, head.tenant, head.key) == ("r", "w", "v1", "t", "k")
        assert (head.status, head.owner, head.why, head.wake_at) == ("running", "me", None, None)
        assert head.epoch > 0
        assert (head.rows, head.log_bytes, head.notices) == (1, 256, 0)
        assert before - 1 <= head.created_at == head.updated_at <= time.time() + 1
        loaded = await other.load("r")
        assert loaded is not None
        assert [(row.number, row.is_snapshot, row.data) for row in loaded.rows] == [(1, False, EVERY_BYTE)]

    async def test_a_run_that_nobody_owns_is_ready(self, store: Store) -> None:
        await created(store, owner=None)
        head = await head_of(store)
        assert (head.status, head.owner, head.epoch) == ("ready", None, 0)

    async def test_there_is_nothing_of_an_unknown_run(self, store: Store) -> None:
        assert await store.load("none") is None
        assert await log(store, "none") == []
        assert store.barrier("none") is None

    async def test_a_run_with_the_key_of_another_is_that_one(self, store: Store, other: Store) -> None:
        first = await store.create(NewRun("a", "w", "v1", key="k"), b"first", owner="me")
        again = await other.create(NewRun("b", "w", "v2", key="k"), b"again", owner="you")
        assert again == first == await other.create(NewRun("a", "w", "v1", key="k"), b"again", owner="me")
        assert await store.load("b") is None
        assert await log(store, "a") == [b"first"]

    async def test_a_key_is_of_a_tenant_and_a_workflow(self, store: Store) -> None:
        runs = [NewRun("a", "w", "v", "t", "k"), NewRun("b", "w", "v", "u", "k"), NewRun("c", "x", "v", "t", "k")]
        runs += [NewRun("d", "w", "v", "t", ""), NewRun("e", "w", "v", "t"), NewRun("f", "w", "v", "t")]
        assert [(await store.create(run, b"")).run_id for run in runs] == ["a", "b", "c", "d", "e", "f"]

    @pytest.mark.parametrize("key", [None, "other"])
    async def test_an_id_is_of_one_run(self, store: Store, other: Store, key: str | None) -> None:
        await store.create(NewRun("r", "w", "v1", key="k"), b"first")
        with pytest.raises(KeyError):
            await other.create(NewRun("r", "w", "v1", key=key), b"second")
        await store.create(NewRun("s", "w", "v1"), b"first")
        with pytest.raises(KeyError):
            await other.create(NewRun("s", "w", "v1"), b"second")
        assert await log(store) == await log(store, "s") == [b"first"]

    async def test_many_that_create_with_one_key_get_one_run(self, store: Store, other: Store) -> None:
        runs = [NewRun(f"r{number}", "w", "v1", key="k") for number in range(20)]
        heads = await asyncio.gather(*(each.create(run, b"") for run in runs for each in (store, other)))
        assert len({head.run_id for head in heads}) == 1
        assert len(await store.heads()) == 1

    @pytest.mark.parametrize("text", HOSTILE)
    async def test_names_are_kept_as_they_are(self, store: Store, text: str) -> None:
        await store.create(NewRun(text, text, text, text, text), EVERY_BYTE, owner=text)
        head = await head_of(store, text)
        assert (head.run_id, head.workflow, head.version, head.tenant, head.key, head.owner) == (text,) * 6
        store.append(Claim(text, head.epoch), b"", change=Change(status="suspended", why=text))
        await durable(store, text)
        assert (await head_of(store, text)).why == text
        assert await claimed(store, holds={text: [text]}, run_id=text) == [text]
        assert [each.run_id for each in await store.heads(workflow=text, tenant=text)] == [text]

    async def test_what_is_appended_between_two_commits_is_one_row(self, store: Store, other: Store) -> None:
        claim = await created(store)
        for part in (b"a", b"", b"b", EVERY_BYTE):
            store.append(claim, part)
        assert await log(other) == [b"first"]
        await durable(store, "r")
        store.append(claim, b"c")
        await durable(store, "r")
        assert await log(other) == [b"first", b"ab" + EVERY_BYTE, b"c"]
        head = await head_of(other)
        assert (head.rows, head.log_bytes) == (3, 5 + 2 + 256 + 1)
        assert head.updated_at >= head.created_at

    async def test_nothing_appended_is_durable(self, store: Store) -> None:
        claim = await created(store)
        assert store.barrier("r") is None
        store.append(claim, b"a")
        await durable(store, "r")
        assert store.barrier("r") is None

    async def test_a_run_is_loaded_from_its_last_snapshot(self, store: Store, other: Store) -> None:
        claim = await created(store)
        store.append(claim, b"a")
        store.snapshot(claim, b"S1")
        store.append(claim, b"b")
        store.append(claim, b"c")
        store.snapshot(claim, b"S2")
        store.append(claim, b"d")
        await durable(store, "r")
        store.append(claim, b"e")
        await durable(store, "r")
        loaded = await other.load("r")
        assert loaded is not None
        assert [(row.number, row.is_snapshot, row.data) for row in loaded.rows] == [
            (5, True, b"S2"),
            (6, False, b"d"),
            (7, False, b"e"),
        ]
        assert loaded.head.rows == 7

    async def test_the_history_has_every_row(self, store: Store) -> None:
        claim = await created(store)
        for number in range(300):
            store.append(claim, b"%d" % number)
            if number % 100 == 50:
                store.snapshot(claim, b"S")
            if number % 2:
                await durable(store, "r")
        await durable(store, "r")
        rows = [row async for row in store.history("r")]
        assert [row.number for row in rows] == list(range(1, len(rows) + 1))
        assert sum(row.is_snapshot for row in rows) == 3
        assert b"".join(row.data for row in rows if not row.is_snapshot) == b"first" + b"".join(
            b"%d" % number for number in range(300)
        )
        assert [row async for row in store.history("r", after=len(rows) - 7)] == rows[-7:]

    async def test_a_large_row_is_kept(self, store: Store) -> None:
        claim = await created(store)
        store.append(claim, EVERY_BYTE * 8192)
        await durable(store, "r")
        assert await log(store) == [b"first", EVERY_BYTE * 8192]

    async def test_many_runs_append_at_once(self, store: Store, other: Store) -> None:
        claims = [await created(store, f"r{number}") for number in range(200)]
        for turn in range(3):
            for claim in claims:
                store.append(claim, b"%s %d" % (claim.run_id.encode(), turn))
            await asyncio.gather(*(durable(store, claim.run_id) for claim in claims))
        for claim in claims:
            turns = [b"%s %d" % (claim.run_id.encode(), turn) for turn in range(3)]
            assert await log(other, claim.run_id) == [b"first", *turns]

    async def test_a_barrier_covers_what_was_appended_before_it(self, store: Store, other: Store) -> None:
        claim = await created(store)
        store.append(claim, b"a")
        first = asyncio.ensure_future(durable(store, "r"))
        await asyncio.sleep(0)
        store.append(claim, b"b")
        second = asyncio.ensure_future(durable(store, "r"))
        await first
        assert b"".join(await log(other)).startswith(b"firsta")
        await second
        assert b"".join(await log(other)) == b"firstab"

    async def test_who_stops_waiting_disturbs_nobody(self, store: Store, other: Store) -> None:
        claim = await created(store)
        store.append(claim, b"a")
        waiting = [asyncio.ensure_future(durable(store, "r")) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        await waiting[0]
        await waiting[2]
        store.append(claim, b"b")
        await durable(store, "r")
        assert b"".join(await log(other)) == b"firstab"
