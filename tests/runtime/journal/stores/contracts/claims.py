"""Who may execute a run, and that nobody else can write to it."""

from __future__ import annotations

import asyncio
import time
from itertools import cycle

import pytest

from orchestrator.runtime.journal.stores.base import ALONE, DEATHS, LETHAL, Change, Claim, FencedError, Store
from tests.runtime.journal.stores.keeping import Place, claimed, created, drained, durable, ended, head_of, log


class Claims:
    """Who may execute a run, and that nobody else can write to it."""

    async def test_who_has_lost_the_claim_cannot_append(self, store: Store, other: Store) -> None:
        old = await created(store, lease_s=0)
        store.append(old, b"on its way")
        ((new, _),) = await other.claim("you")
        assert new.epoch > old.epoch
        with pytest.raises(FencedError):
            await durable(store, "r")
        assert store.barrier("r") is None, "what was appended is dropped"
        with pytest.raises(FencedError):
            store.append(old, b"again")
            await durable(store, "r")
        other.append(new, b"new")
        await durable(other, "r")
        assert await log(store) == [b"first", b"new"]

    async def test_a_lost_claim_fails_no_other_run(self, store: Store, other: Store) -> None:
        claims = [await created(store, f"r{number}") for number in range(3)]
        await ended(store, claims[1])
        for claim in claims:
            store.append(claim, b"a")
        found = await asyncio.gather(*(durable(store, claim.run_id) for claim in claims), return_exceptions=True)
        assert [type(each) for each in found] == [type(None), FencedError, type(None)]
        assert [await log(other, claim.run_id) for claim in claims] == [
            [b"first", b"a"],
            [b"first", b"last"],
            [b"first", b"a"],
        ]

    async def test_a_claim_that_was_never_given_is_none(self, store: Store) -> None:
        await created(store, owner=None)
        for claim in (Claim("r", 0), Claim("r", 1), Claim("none", 1)):
            store.append(claim, b"a")
            with pytest.raises(FencedError):
                await durable(store, claim.run_id)
        assert await log(store) == [b"first"]

    async def test_a_removed_run_cannot_be_appended_to(self, store: Store, other: Store) -> None:
        claim = await created(store)
        await ended(other, claim)
        assert await other.remove(["r"]) == 1
        store.append(claim, b"a")
        with pytest.raises(FencedError):
            await durable(store, "r")
        assert await store.load("r") is None

    async def test_who_had_claimed_a_removed_run_cannot_append_to_another_of_its_id(
        self, place: Place, store: Store, other: Store
    ) -> None:
        slept = [await created(store, lease_s=0)]
        for process, owner in ((other, "you"), (store, "me")):
            ((claim, _),) = await process.claim(owner, lease_s=0)
            slept.append(claim)
        await ended(store, slept.pop())
        assert await other.remove(["r"]) == 1
        again = await created(other, owner="you")
        ((newer, _),) = await other.claim("you", run_id="r")
        for claim in (*slept, again):
            late = await place.open()
            with pytest.raises(FencedError):
                late.append(claim, b"late")
                await durable(late, "r")
        other.append(newer, b"more")
        await durable(other, "r")
        assert await log(store) == [b"first", b"more"]

    async def test_nobody_claims_what_another_executes(self, store: Store, other: Store) -> None:
        await created(store)
        assert await claimed(other, "you") == []
        assert await claimed(other, "you", run_id="r") == []
        assert await claimed(store, "me") == []

    async def test_who_has_a_run_claims_it_anew_by_its_id(self, store: Store) -> None:
        old = await created(store)
        ((new, head),) = await store.claim("me", run_id="r")
        assert new.epoch > old.epoch
        assert (head.epoch, head.owner, head.status) == (new.epoch, "me", "running")
        store.append(new, b"new")
        await durable(store, "r")
        with pytest.raises(FencedError):
            store.append(old, b"old")
            await durable(store, "r")
        assert await log(store) == [b"first", b"new"]

    async def test_the_oldest_ready_runs_are_claimed_first(self, store: Store, other: Store) -> None:
        for number in range(5):
            await created(store, f"r{number}", owner=None)
            await asyncio.sleep(0.002)
        assert await claimed(other, limit=2) == ["r0", "r1"]
        ((claim, head),) = await store.claim("you")
        assert (claim.run_id, head.status, head.owner, head.epoch, head.rows) == ("r2", "ready", "you", claim.epoch, 1)
        now = await head_of(other, "r2")
        assert (now.status, now.owner, now.epoch) == ("running", "you", claim.epoch)
        assert await claimed(store, limit=100) == ["r3", "r4"]
        assert await claimed(store, limit=100) == []

    async def test_only_what_is_held_is_claimed(self, store: Store) -> None:
        for workflow, version in (("a", "1"), ("a", "2"), ("b", "1"), ("c", "1")):
            await created(store, workflow + version, owner=None, workflow=workflow, version=version)
        assert await claimed(store, holds={}) == []
        assert await claimed(store, holds={"a": [], "d": None}) == []
        assert await claimed(store, holds={"a": ["2", "3"]}) == ["a2"]
        assert sorted(await claimed(store, holds={"a": None, "b": ["1"]})) == ["a1", "b1"]
        assert await claimed(store) == ["c1"]

    async def test_a_cancelled_run_is_claimed_by_nobody(self, store: Store, other: Store) -> None:
        await ended(store, await created(store), "cancelled", why="by Ada")
        before = await head_of(store)
        assert await claimed(store, run_id="r") == await claimed(other, "you", run_id="r") == []
        assert await head_of(other) == before

    @pytest.mark.parametrize("status", ["ready", "waiting", "suspended", "paused", "done", "failed"])
    async def test_whatever_nobody_executes_is_claimed_by_its_id(self, store: Store, status: str) -> None:
        first = await created(store)
        await ended(store, first, status, why="so", wake_at=time.time() + 1000)
        assert await claimed(store, run_id="none") == []
        ((claim, head),) = await store.claim("you", run_id="r")
        assert claim.epoch > first.epoch
        assert (head.epoch, head.status, head.why, head.owner) == (claim.epoch, status, "so", "you")
        now = await head_of(store)
        assert (now.status, now.why, now.wake_at, now.owner) == ("running", None, None, "you")

    @pytest.mark.parametrize("status", ["waiting", "suspended", "paused", "done", "failed", "cancelled"])
    async def test_a_claim_is_given_back_with_the_last_row(self, store: Store, other: Store, status: str) -> None:
        claim = await created(store)
        store.append(claim, b"a", change=Change(status=status, why="so"))  # type: ignore[arg-type]
        store.append(claim, b"b", change=Change(version="v2"))
        assert (await head_of(other)).status == "running"
        await durable(store, "r")
        head = await head_of(other)
        assert (head.status, head.why, head.version, head.owner, head.epoch) == (status, "so", "v2", None, claim.epoch)
        assert await claimed(other, "you") == []
        assert await log(other) == [b"first", b"ab"]
        with pytest.raises(FencedError):
            store.append(claim, b"c")
            await durable(store, "r")

    async def test_a_change_alone_adds_no_row(self, store: Store, other: Store) -> None:
        claim = await created(store)
        store.append(claim, b"", change=Change(why="a", version="v2"))
        await durable(store, "r")
        head = await head_of(other)
        assert (head.status, head.why, head.version, head.owner, head.rows) == ("running", "a", "v2", "me", 1)

    async def test_a_run_is_ready_when_its_time_has_come(self, store: Store, other: Store) -> None:
        now = time.time()
        for name, wake_at in (("past", now - 1), ("future", now + 1000), ("never", None)):
            await ended(store, await created(store, name), "waiting", wake_at=wake_at)
        assert (await head_of(other, "future")).wake_at == now + 1000
        assert await claimed(other, "you") == ["past"]
        await ended(store, await created(store, "soon"), "waiting", wake_at=time.time() + 0.3)
        await asyncio.sleep(0.35)
        assert await claimed(other, "you", holds={"x": None}) == []
        assert (await head_of(other, "soon")).status == "ready"
        assert await claimed(other, "you") == ["soon"]

    async def test_a_silent_owner_loses_what_it_has_claimed(self, store: Store, other: Store) -> None:
        await created(store, "long", owner="long", lease_s=60)
        await created(store, "renewed", owner="renewed", lease_s=0.2)
        assert list(await store.renew("renewed", 60)) == ["renewed"]
        assert await claimed(other, "you") == []
        claim = await created(store, "short", owner="short", lease_s=0.2)
        await asyncio.sleep(0.25)
        assert await claimed(other, "you", holds={"x": None}) == []
        head = await head_of(store, "short")
        assert (head.status, head.owner, head.epoch) == ("ready", None, claim.epoch), "whoever may claim it"
        assert await claimed(other, "you") == ["short"]
        assert list(await store.renew("short", 60)) == []
        assert list(await store.renew("nobody", 60)) == []

    async def test_an_owner_has_what_it_has_claimed_until_somebody_else_looks(self, store: Store, other: Store) -> None:
        claim = await created(store, lease_s=0)
        store.append(claim, b"late")
        await durable(store, "r")
        assert list(await store.renew("me", 60)) == ["r"]
        assert await claimed(other, "you") == []

    async def test_a_renewal_is_of_everything_that_its_owner_has(self, store: Store) -> None:
        await created(store, "a", lease_s=0.2)
        await created(store, "b", owner="you")
        await created(store, "c", owner=None)
        await ended(store, await created(store, "d", lease_s=0.2))
        assert await claimed(store, "me", lease_s=0.2) == ["c"]
        assert sorted(await store.renew("me", 60)) == ["a", "c"]

    async def test_what_a_dead_process_had_is_ready_at_once(self, place: Place, store: Store) -> None:
        dying = await place.open()
        await created(dying, owner="dying", lease_s=1000)
        await created(store, "mine", owner="me", lease_s=1000)
        assert await claimed(store, "you") == []
        await place.kill(dying)
        assert await claimed(store, "you") == ["r"]

    async def test_each_run_is_claimed_once(self, store: Store, other: Store) -> None:
        for number in range(60):
            await created(store, f"r{number}", owner=None)

        async def worker(store: Store, owner: str) -> list[str]:
            found: list[str] = []
            while got := await claimed(store, owner, limit=3):
                found += got
            return found

        by = await asyncio.gather(worker(store, "a"), worker(other, "b"), worker(store, "c"), worker(other, "d"))
        assert sorted(name for names in by for name in names) == sorted(f"r{number}" for number in range(60))

    async def test_a_run_that_takes_one_owner_after_the_other_is_put_aside(self, store: Store, other: Store) -> None:
        await created(store, owner="0", lease_s=0)
        for deaths, process in zip(range(1, DEATHS), cycle((other, store))):
            ((_, head),) = await process.claim(str(deaths), lease_s=0)
            assert head.deaths == deaths
        for process in (store, other):
            assert await claimed(process, "last") == []
        head = await head_of(other)
        assert (head.status, head.owner, head.why, head.deaths) == ("suspended", None, LETHAL, DEATHS)
        assert await store.set_status("r", "ready")
        assert await claimed(other, "again", lease_s=0) == ["r"]
        ((_, head),) = await store.claim("and again")
        assert head.deaths == 1, "somebody has said that it may go on"

    async def test_whoever_says_what_a_ready_run_waits_for_forgets_none_of_its_deaths(
        self, store: Store, other: Store
    ) -> None:
        await dying(store, other, ["r"], ALONE)
        assert await other.set_status("r", "ready", "waits for a worker that has it", of=("ready",))
        assert (await head_of(store)).deaths == ALONE

    async def test_a_run_that_was_put_aside_goes_on_for_who_asks_for_it(self, store: Store, other: Store) -> None:
        await dying(store, other, ["r"], DEATHS)
        ((_, head),) = await store.claim("me", run_id="r")
        assert (head.status, head.deaths) == ("suspended", DEATHS)
        head = await head_of(other)
        assert (head.status, head.why, head.deaths) == ("running", None, 0)

    async def test_a_run_that_comes_further_between_two_deaths_is_not_put_aside(
        self, store: Store, other: Store
    ) -> None:
        await created(store, owner="0", lease_s=0)
        for number, process in zip(range(1, 2 * DEATHS), cycle((other, store))):
            ((claim, head),) = await process.claim(str(number), lease_s=0)
            assert head.deaths == 1
            process.append(claim, b"a")
            process.append(claim, b"b", change=Change(has_progressed=True))
            await durable(process, "r")
            assert (await head_of(store)).deaths == 0

    async def test_a_run_that_was_given_back_has_lost_no_owner(self, store: Store, other: Store) -> None:
        claim = await created(store, owner="0")
        for number in range(2 * DEATHS):
            await ended(store, claim, "ready")
            ((claim, head),) = await store.claim(str(number))
            assert head.deaths == 0

    async def test_of_runs_whose_owners_died_again_and_again_one_at_a_time_is_claimed(
        self, store: Store, other: Store
    ) -> None:
        """So the next death says which of them it was, and none is put aside for another."""
        await dying(store, other, ["a", "b", "c"], ALONE)
        await created(store, "fresh", owner=None)
        assert await claimed(store, "me") == ["a", "fresh"]
        assert await claimed(store, "me", holds={"w": None}) == []
        assert await claimed(other, "you", holds={"w": ["v1"], "x": None}) == ["b"]
        assert await claimed(other, "third", holds={"x": None}) == []
        store.append(Claim("a", (await head_of(store, "a")).epoch), b"a", change=Change(has_progressed=True))
        await durable(store, "a")
        assert await claimed(store, "me", holds={"w": None}) == ["c"]

    async def test_who_waits_is_told_when_it_may_claim_the_next_one(self, store: Store, other: Store) -> None:
        await dying(store, other, ["a", "b"], ALONE)
        ((claim, _),) = await store.claim("me", limit=100)
        await drained(store)
        waiting = asyncio.ensure_future(store.wait(60))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        store.append(claim, b"a", change=Change(has_progressed=True))
        await durable(store, claim.run_id)
        await asyncio.wait_for(waiting, 20)


async def dying(store: Store, other: Store, names: list[str], deaths: int) -> None:
    """Runs that have lost so many owners; nobody has them any more."""
    for name in names:
        await created(store, name, owner="0", lease_s=0)
    for number, process in zip(range(1, deaths), cycle((other, store))):
        await process.claim(str(number), lease_s=0, limit=100)
        for name in names[1:] if number >= ALONE else ():
            await process.claim(str(number), lease_s=0, run_id=name)
    for process in (store, other):
        await process.claim("nobody", holds={})
