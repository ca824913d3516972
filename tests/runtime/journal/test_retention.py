"""Runs that are over are removed after so many days, by tenant; no other run is."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from orchestrator.runtime.journal import retention
from orchestrator.runtime.journal.artifacts import folder, garbage
from orchestrator.runtime.journal.artifacts.base import DAY_S
from orchestrator.runtime.journal.artifacts.folder import Folder
from orchestrator.runtime.journal.retention import Retention, enforce, remove_expired
from orchestrator.runtime.journal.stores.base import OVER, Status, Store
from orchestrator.runtime.journal.stores.memory import MemoryStore
from orchestrator.runtime.journal.stores.opened import open_store
from tests.runtime.journal.stores.keeping import created, ended

NOW = 1_796_040_000.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [NOW]
    monkeypatch.setattr(time, "time", lambda: now[0])
    for module in (retention, folder, garbage):
        monkeypatch.setattr(module, "time", lambda: now[0])
    return now


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    found = MemoryStore(kept=10_000) if request.param == "memory" else await open_store(f"sqlite:///{tmp_path}/runs.db")
    yield found
    await found.close()


async def run(store: Store, clock: list[float], run_id: str, *, began: float, over: float | None, **of: str) -> None:
    """A run that began and ended so many days before ``NOW``."""
    status = of.pop("status", "done")
    clock[0] = NOW - began * DAY_S
    claim = await created(store, run_id, **of)
    if over is not None:
        clock[0] = NOW - over * DAY_S
        await ended(store, claim, status)
    clock[0] = NOW


async def ids(store: Store) -> set[str]:
    return {each.run_id for each in await store.heads(limit=10_000)}


async def test_a_run_is_kept_for_so_many_days_after_its_end(store: Store, clock: list[float]) -> None:
    await run(store, clock, "old", began=40, over=31)
    await run(store, clock, "long", began=400, over=29)
    await run(store, clock, "exact", began=40, over=30)
    assert await remove_expired(store, Retention(days=30)) == 1
    assert await ids(store) == {"long", "exact"}
    assert await remove_expired(store, Retention(days=0)) == 2


@pytest.mark.parametrize("status", ["waiting", "suspended", "paused", "ready"])
async def test_a_run_that_is_not_over_is_kept_however_old_it_is(
    store: Store, clock: list[float], status: Status
) -> None:
    await run(store, clock, "parked", began=900, over=800, status=status)
    await run(store, clock, "running", began=900, over=None)
    assert await remove_expired(store, Retention(days=1)) == 0
    assert await ids(store) == {"parked", "running"}


@pytest.mark.parametrize("status", OVER)
async def test_every_kind_of_end_is_one(store: Store, clock: list[float], status: Status) -> None:
    await run(store, clock, "old", began=3, over=2, status=status)
    assert await remove_expired(store, Retention(days=1)) == 1


async def test_a_tenant_may_have_days_of_its_own_or_none(store: Store, clock: list[float]) -> None:
    for tenant in ("", "acme", "short", "ever"):
        for days in (5, 50, 500):
            await run(store, clock, f"{tenant}{days}", began=days, over=days, tenant=tenant)
    rules = Retention(days=100, by_tenant={"short": 10, "ever": None, "nobody": 1})
    assert await remove_expired(store, rules) == 4
    assert await ids(store) == {"5", "50", "acme5", "acme50", "short5", "ever5", "ever50", "ever500"}
    assert await remove_expired(store, Retention(by_tenant={"acme": 1})) == 2
    assert await remove_expired(store, Retention()) == 0


async def test_what_is_in_memory_at_once_is_a_page(
    store: Store, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "PAGE", 4)
    for n in range(30):
        tenant = "ever" if n % 3 else ""
        await run(store, clock, f"r{n}", began=50 + n // 5, over=40, tenant=tenant)  # five began at the same moment
    pages: list[int] = []
    heads = store.heads

    async def noted(**which: object) -> object:
        found = await heads(**which)  # type: ignore[arg-type]
        pages.append(len(found))
        return found

    monkeypatch.setattr(store, "heads", noted)
    assert await remove_expired(store, Retention(days=30, by_tenant={"ever": None})) == 10
    assert max(pages) == 4
    assert len(pages) < 10


@pytest.mark.parametrize("days", [-1, float("nan")])
def test_days_are_none_or_a_number_that_is_not_negative(days: float) -> None:
    with pytest.raises(ValueError, match="cannot be kept for"):
        Retention(days=days)
    with pytest.raises(ValueError, match="cannot be kept for"):
        Retention(by_tenant={"acme": days})


async def test_what_only_removed_runs_referred_to_goes_with_them(
    store: Store, clock: list[float], tmp_path: Path
) -> None:
    artifacts = Folder(tmp_path)
    clock[0] = NOW - 50 * DAY_S
    own, shared = artifacts.put(b"own"), artifacts.put(b"shared")
    await run(store, clock, "old", began=50, over=40)
    await run(store, clock, "live", began=50, over=None)
    await store.refer("old", [own, shared])
    await store.refer("live", [shared])
    assert await enforce(store, artifacts, Retention(days=30)) == (1, 1)
    assert list(artifacts.names(NOW)) == [shared]
