"""Which runs there are, what belongs to them, and that it goes with them."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.runtime.journal.stores.base import Head, NewRun, Store
from tests.runtime.journal.stores.keeping import EVERY_BYTE, created, ended, head_of, log


class Listing:
    """Which runs there are, what belongs to them, and that it goes with them."""

    async def test_runs_are_listed_the_latest_first(self, store: Store, other: Store) -> None:
        for number in range(5):
            await created(store, f"r{number}", owner=None)
            await asyncio.sleep(0.002)
        assert [head.run_id for head in await other.heads()] == ["r4", "r3", "r2", "r1", "r0"]
        assert [head.run_id for head in await other.heads(limit=2)] == ["r4", "r3"]
        assert (await other.heads(limit=1))[0] == await head_of(store, "r4")

    async def test_pages_have_every_run_once(self, store: Store) -> None:
        names = [f"r{number:02}" for number in range(23)]
        await asyncio.gather(*(created(store, name, owner=None) for name in names))
        found: list[Head] = []
        before = None
        while page := await store.heads(before=before, limit=5):
            found += page
            before = (page[-1].created_at, page[-1].run_id)
        assert sorted(head.run_id for head in found) == names
        places = [(head.created_at, head.run_id) for head in found]
        assert places == sorted(places, reverse=True)

    async def test_runs_are_listed_by_status_workflow_and_tenant(self, store: Store) -> None:
        for name in ("av", "aw", "bv", "bw", "-v", "-w"):
            claim = await created(store, name, tenant=name[0].replace("-", ""), workflow=name[1])
            if name in ("av", "bw", "-v"):
                await ended(store, claim, "done")
            if name == "aw":
                await ended(store, claim, "failed")

        async def listed(**by: object) -> list[str]:
            found = [head.run_id for head in await store.heads(**by)]  # type: ignore[arg-type]
            assert found == [head.run_id for head in await store.heads(limit=6) if head.run_id in found], "in order"
            return sorted(found)

        assert await listed(status=["done"]) == ["-v", "av", "bw"]
        assert await listed(status=["done", "failed"]) == ["-v", "av", "aw", "bw"]
        assert await listed(status=["paused"]) == []
        assert await listed(workflow="v") == ["-v", "av", "bv"]
        assert await listed(tenant="a") == ["av", "aw"]
        assert await listed(tenant="") == ["-v", "-w"]
        assert await listed(tenant="a", workflow="w") == ["aw"]
        assert await listed(tenant="", workflow="v") == ["-v"]
        assert await listed(status=["running"], tenant="b") == ["bv"]
        assert await listed(status=["running"], workflow="w") == ["-w"]
        assert await listed(status=["done"], tenant="b", workflow="w") == ["bw"]
        assert await listed(status=["done"], tenant="b", workflow="v") == []
        assert await listed(workflow="none") == await listed(tenant="none") == []

    async def test_runs_that_nobody_executes_are_removed_whole(self, store: Store, other: Store) -> None:
        await ended(store, await created(store, "over", key="k"))
        await created(store, "mine")
        await other.send("over", b"a")
        await other.refer("over", ["x", "both"])
        await other.refer("mine", ["both"])
        assert await other.remove(["over", "over", "mine", "none"]) == 1
        assert await other.remove([]) == 0
        assert await store.load("over") is None
        assert await log(store, "over") == []
        assert sorted(await other.referred(["x", "both", "y"])) == ["both"]
        assert [head.run_id for head in await store.heads()] == ["mine"]
        again = await store.create(NewRun("over", "w", "v1", key="k"), b"anew", owner="me")
        assert (again.rows, again.notices) == (1, 0)
        assert await log(store, "over") == [b"anew"]
        assert await store.notices("over") == []
        assert await store.referred(["x"]) in ([], set(), ())

    async def test_a_run_refers_to_artifacts_as_soon_as_it_is_there(self, store: Store, other: Store) -> None:
        new = NewRun("r", "w", "v1", key="k")
        await store.create(new, b"first", owner="me", artifacts=["a", "a", "b"])
        assert sorted(await other.referred(["a", "b", "c"])) == ["a", "b"]
        assert (await other.create(new, b"first", artifacts=["c"])).run_id == "r"
        with pytest.raises(KeyError):
            await other.create(NewRun("r", "w", "v1"), b"first", artifacts=["c"])
        assert not list(await store.referred(["c"])), "nothing was added"
        await other.create(NewRun("s", "w", "v1"), b"first", artifacts=["d"])
        assert list(await store.referred(["d"])) == ["d"]

    async def test_a_version_is_described_once(self, store: Store, other: Store) -> None:
        assert await store.program("v1") is None
        await store.put_program("v1", EVERY_BYTE)
        await other.put_program("v1", b"other")
        assert await store.program("v1") == await other.program("v1") == EVERY_BYTE

    async def test_artifacts_are_referred_to(self, store: Store, other: Store) -> None:
        await created(store)
        await store.refer("r", ["a", "b"])
        await store.refer("r", {"b", "c"})
        await store.refer("r", [])
        assert sorted(await other.referred([*"abcd"])) == [*"abc"]
        assert sorted(await other.referred([])) == []
