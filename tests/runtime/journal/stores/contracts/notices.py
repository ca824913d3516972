"""What others tell a run, and that nobody waits in vain."""

from __future__ import annotations

import asyncio
import time

import pytest

from orchestrator.runtime.journal.stores.base import Change, Notice, Store
from tests.runtime.journal.stores.keeping import EVERY_BYTE, claimed, created, drained, durable, ended, head_of


class Notices:
    """What others tell a run, and that nobody waits in vain."""

    async def test_notices_are_taken_in_order(self, store: Store, other: Store) -> None:
        claim = await created(store)
        for data in (b"a", EVERY_BYTE, b"c"):
            assert await other.send("r", data)
        assert not await other.send("none", b"a")
        notices = await store.notices(claim.run_id)
        assert [notice.data for notice in notices] == [b"a", EVERY_BYTE, b"c"]
        numbers = [notice.number for notice in notices]
        assert numbers == sorted(set(numbers))
        store.append(claim, b"took", taken=[notices[0].number, notices[1].number])
        assert (await head_of(other)).notices == 3
        await durable(store, "r")
        assert (await head_of(other)).notices == 1
        assert await store.notices(claim.run_id) == [Notice(notices[2].number, b"c")]
        await other.send("r", b"d")
        assert (await store.notices(claim.run_id))[-1].number > notices[2].number

    async def test_an_owner_is_told_what_was_left_for_all_its_runs(self, store: Store, other: Store) -> None:
        for name in ("a", "b", "nothing"):
            await created(store, name)
        await created(other, "yours", owner="you")
        await created(store, "ready", owner=None)
        for name, data in (("a", b"1"), ("b", b"2"), ("a", EVERY_BYTE), ("yours", b"3"), ("ready", b"4")):
            await other.send(name, data)
        left = await store.notices_of("me")
        assert {name: [each.data for each in notices] for name, notices in left.items()} == {
            "a": [b"1", EVERY_BYTE],
            "b": [b"2"],
        }
        assert left["a"] == await store.notices("a")
        assert not await store.notices_of("nobody")

    @pytest.mark.parametrize("status", ["waiting", "suspended"])
    async def test_a_notice_wakes_a_run(self, store: Store, other: Store, status: str) -> None:
        await ended(store, await created(store), status)
        await other.send("r", b"a", wakes=False)
        assert (await head_of(store)).status == status
        await other.send("r", b"b")
        assert (await head_of(store)).status == "ready"
        assert await claimed(store, "you") == ["r"]
        assert [notice.data for notice in await store.notices("r")] == [b"a", b"b"]

    @pytest.mark.parametrize("status", ["paused", "done", "failed", "cancelled"])
    async def test_a_notice_wakes_no_run_that_is_paused_or_over(self, store: Store, other: Store, status: str) -> None:
        await ended(store, await created(store), status)
        assert await other.send("r", b"a")
        assert (await head_of(store)).status == status

    @pytest.mark.parametrize("status", ["waiting", "suspended"])
    async def test_no_notice_is_slept_through(self, store: Store, other: Store, status: str) -> None:
        claim = await created(store)
        await other.send("r", b"answer")
        await ended(store, claim, status, why="no answer yet", wake_at=time.time() + 1000)
        assert (await head_of(store)).status == "ready"
        assert await claimed(other, "you") == ["r"]

    async def test_a_run_is_paused_whatever_was_left_for_it(self, store: Store, other: Store) -> None:
        claim = await created(store)
        await other.send("r", b"answer")
        await ended(store, claim, "paused")
        assert (await head_of(store)).status == "paused"
        assert await claimed(other, "you") == []

    async def test_a_run_waits_where_the_notices_are_taken_or_wake_nobody(self, store: Store, other: Store) -> None:
        claim = await created(store)
        await other.send("r", b"answer")
        await other.send("r", b"hint", wakes=False)
        first, _ = await store.notices(claim.run_id)
        store.append(claim, b"took", change=Change(status="waiting"), taken=[first.number])
        await durable(store, "r")
        head = await head_of(store)
        assert (head.status, head.notices) == ("waiting", 1)

    async def test_a_run_that_is_over_stays_so_for_all_notices(self, store: Store, other: Store) -> None:
        claim = await created(store)
        await other.send("r", b"too late")
        await ended(store, claim, "done")
        assert (await head_of(store)).status == "done"

    async def test_the_status_of_what_nobody_executes_can_be_set(self, store: Store, other: Store) -> None:
        claim = await created(store)
        assert not await other.set_status("r", "cancelled")
        assert not await other.set_status("none", "cancelled")
        await ended(store, claim, "waiting", why="a timer", wake_at=time.time() - 1)
        assert await other.set_status("r", "paused", "by hand")
        head = await head_of(store)
        assert (head.status, head.why, head.wake_at) == ("paused", "by hand", None)
        assert await claimed(store, "you") == []
        assert await other.set_status("r", "ready")
        assert (await head_of(store)).why is None
        assert await claimed(store, "you") == ["r"]
        with pytest.raises(ValueError, match="claim"):
            await other.set_status("r", "running")

    async def test_a_status_is_set_where_the_run_has_the_one_that_was_seen(self, store: Store, other: Store) -> None:
        await ended(store, await created(store))
        assert not await other.set_status("r", "paused", "too late", of=("ready", "waiting"))
        assert ((await head_of(store)).status, (await head_of(store)).why) == ("done", None)
        assert await other.set_status("r", "paused", of=("ready", "done"))
        assert (await head_of(store)).status == "paused"
        with pytest.raises(ValueError, match="claim"):
            await other.set_status("r", "paused", of=("running",))

    @pytest.mark.parametrize("what", ["create", "send", "set_status", "give back"])
    async def test_a_waiting_process_hears_of_it(self, store: Store, other: Store, what: str) -> None:
        await ended(other, await created(other, "paused", workflow="x"), "paused")
        claim = await created(other, "r")
        await drained(store)
        waiting = asyncio.ensure_future(store.wait(60))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        match what:
            case "create":
                await created(other, "s", owner=None)
            case "send":
                await other.send("r", b"a")
            case "set_status":
                await other.set_status("paused", "ready")
            case "give back":
                await ended(other, claim, "ready")
        await asyncio.wait_for(waiting, 20)

    async def test_what_happens_before_the_wait_is_not_missed(self, store: Store, other: Store) -> None:
        await drained(store)
        await created(other, owner=None)
        await asyncio.wait_for(store.wait(60), 20)
        await drained(store)
        await store.send("r", b"from the same process")
        await asyncio.wait_for(store.wait(60), 20)

    async def test_a_wait_ends(self, store: Store) -> None:
        await drained(store)
        await asyncio.wait_for(store.wait(0.05), 20)
        await asyncio.wait_for(store.wait(0), 20)

    async def test_a_timer_ends_a_wait(self, store: Store, other: Store) -> None:
        await ended(other, await created(other), "waiting", wake_at=time.time() + 1)
        await drained(store)
        await asyncio.wait_for(store.wait(60), 20)
        assert await claimed(store, "you") == ["r"]

    async def test_a_timer_that_ends_between_two_waits_is_not_missed(self, store: Store, other: Store) -> None:
        wake_at = time.time() + 1
        await ended(other, await created(other), "waiting", wake_at=wake_at)
        await drained(store)
        await asyncio.sleep(max(wake_at - time.time(), 0) + 0.1)
        await asyncio.wait_for(store.wait(60), 20)
        assert await claimed(store, "you") == ["r"]

    async def test_what_nobody_claims_wakes_nobody_again_and_again(self, store: Store, other: Store) -> None:
        await ended(other, await created(other), "waiting", wake_at=time.time() - 1)
        await created(other, "silent", owner="silent", lease_s=0)
        await drained(store)
        waiting = asyncio.ensure_future(store.wait(60))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        waiting.cancel()
