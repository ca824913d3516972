"""Where the stores of the tests keep runs, and what the tests do with them."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from orchestrator.runtime.journal.stores.base import Change, Claim, Head, NewRun, Store

HOSTILE = ("a'b\"c;--", "über/日本\n🙂", " ", "%_*?[", "x" * 300)
EVERY_BYTE = bytes(range(256))


class Place(Protocol):
    """Where stores keep runs, and what may happen to it."""

    errors: tuple[type[Exception], ...]
    """What a store raises that cannot commit."""

    async def open(self) -> Store:
        """Another store on the same runs."""

    async def kill(self, store: Store) -> None:
        """Let the process of a store be dead, as after ``kill -9``; skips the test where a store has no process."""

    def failing(self) -> AbstractAsyncContextManager[None]:
        """Inside of it no store can commit; skips the test where none can fail."""


async def durable(store: Store, run_id: str) -> None:
    """Return when everything appended to the run is durable."""
    waiting = store.barrier(run_id)
    if waiting is not None:
        await waiting


async def created(
    store: Store, run_id: str = "r", *, owner: str | None = "me", lease_s: float = 60, **of: str
) -> Claim:
    """A new run of the workflow `w` at version `v1`, and the claim to it."""
    new = NewRun(run_id, of.get("workflow", "w"), of.get("version", "v1"), of.get("tenant", ""), of.get("key"))
    head = await store.create(new, b"first", owner=owner, lease_s=lease_s)
    return Claim(head.run_id, head.epoch)


async def ended(store: Store, claim: Claim, status: str = "done", **change: object) -> None:
    """Give a claim back."""
    store.append(claim, b"last", change=Change(status=status, **change))  # type: ignore[arg-type]
    await durable(store, claim.run_id)


async def log(store: Store, run_id: str = "r") -> list[bytes]:
    """What the rows of a run hold."""
    return [row.data async for row in store.history(run_id)]


async def head_of(store: Store, run_id: str = "r") -> Head:
    loaded = await store.load(run_id)
    assert loaded is not None
    return loaded.head


async def claimed(store: Store, owner: str = "me", **how: object) -> list[str]:
    """The ids of the runs that ``owner`` can claim."""
    return [claim.run_id for claim, _ in await store.claim(owner, **{"limit": 100, **how})]  # type: ignore[arg-type]


async def drained(store: Store) -> None:
    """Hear of what has happened until now."""
    for _ in range(2):
        await store.wait(0.2)
