"""The store in memory."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest

from orchestrator.runtime.journal.stores.base import Change, NewRun, Store
from orchestrator.runtime.journal.stores.memory import MemoryStore
from tests.runtime.journal.stores.contract import Contract
from tests.runtime.journal.stores.keeping import created, ended, log


class Process:
    """One process, whose memory never fails."""

    errors = ()

    def __init__(self) -> None:
        self._store = MemoryStore()

    async def open(self) -> Store:
        return self._store

    async def kill(self, store: Store) -> None:
        pytest.skip("nothing is left of this process when it is dead")

    def failing(self) -> AbstractAsyncContextManager[None]:
        pytest.skip("memory does not fail")


class TestMemoryStore(Contract):
    @pytest.fixture
    def place(self) -> Process:
        return Process()


async def test_the_last_runs_that_are_over_are_kept() -> None:
    store = MemoryStore(kept=2)
    claims = {name: await created(store, name, key=name) for name in "abcd"}
    for name in "bca":
        await ended(store, claims[name], "failed")
    assert sorted(head.run_id for head in await store.heads()) == ["a", "c", "d"]
    again = await store.create(NewRun("e", "w", "v", key="b"), b"first")
    assert again.run_id == "e", "the key of a run that was let go is free"


async def test_a_run_that_goes_on_is_not_over() -> None:
    store = MemoryStore(kept=1)
    await ended(store, await created(store, "a"), "failed")
    ((claim, _),) = await store.claim("me", run_id="a")
    await ended(store, await created(store, "b"))
    await ended(store, await created(store, "c"))
    assert sorted(head.run_id for head in await store.heads()) == ["a", "c"]
    store.append(claim, b"more", change=Change(status="done"))
    store.barrier("a")
    assert await log(store, "a") == [b"first", b"last", b"more"]
    assert sorted(head.run_id for head in await store.heads()) == ["a"]
