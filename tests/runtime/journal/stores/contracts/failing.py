"""What a store that cannot commit does, and one that is closed."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.runtime.journal.stores.base import Change, Store
from tests.runtime.journal.stores.keeping import Place, claimed, created, durable, head_of, log


class Failing:
    """What a store that cannot commit does, and one that is closed."""

    async def test_nothing_is_lost_by_a_commit_that_fails(self, place: Place, store: Store, other: Store) -> None:
        claims = [await created(store, name) for name in "ab"]
        async with place.failing():
            for number in range(3):
                for claim in claims:
                    store.append(claim, b"%d" % number)
                    if number == 1:
                        store.snapshot(claim, b"S")
                for claim in claims:
                    with pytest.raises(place.errors):
                        await durable(store, claim.run_id)
        for claim in claims:
            store.append(claim, b"3")
        await asyncio.gather(*(durable(store, claim.run_id) for claim in claims))
        for claim in claims:
            assert b"".join(await log(other, claim.run_id)) == b"first01S23"
            assert store.barrier(claim.run_id) is None
            loaded = await other.load(claim.run_id)
            assert loaded is not None
            assert b"".join(row.data for row in loaded.rows) == b"S23"

    async def test_a_barrier_tries_again_by_itself(self, place: Place, store: Store, other: Store) -> None:
        claim = await created(store)
        await other.send("r", b"a")
        (notice,) = await store.notices(claim.run_id)
        async with place.failing():
            store.append(claim, b"a", change=Change(status="done"), taken=[notice.number])
            with pytest.raises(place.errors):
                await durable(store, "r")
        await durable(store, "r")
        head = await head_of(other)
        assert (head.status, head.notices, head.rows) == ("done", 0, 2)

    async def test_a_store_that_fails_creates_nothing(self, place: Place, store: Store, other: Store) -> None:
        await created(store)
        async with place.failing():
            with pytest.raises(place.errors):
                await created(store, "s")
            with pytest.raises(place.errors):
                await store.send("r", b"a")
        await created(store, "s")
        assert (await head_of(other)).notices == 0
        assert await log(other, "s") == [b"first"]

    async def test_closing_commits_and_gives_back(self, place: Place, store: Store) -> None:
        closing = await place.open()
        claim = await created(closing, owner="closing")
        closing.append(claim, b"a")
        await closing.close()
        if closing is not store:
            head = await head_of(store)
            assert (head.status, head.owner) == ("ready", None)
            assert await log(store) == [b"first", b"a"]
            assert await claimed(store, "you") == ["r"]
