"""How long runs are kept that are over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from time import time
from typing import Final

from orchestrator.runtime.journal.artifacts.base import DAY_S, Artifacts
from orchestrator.runtime.journal.artifacts.garbage import collect_garbage
from orchestrator.runtime.journal.stores.base import OVER, Store

PAGE: Final = 200
"""Heads that are in memory at once."""


@dataclass(frozen=True, slots=True)
class Retention:
    """For how many days after its end a run is kept; None is for ever."""

    days: float | None = None
    by_tenant: Mapping[str, float | None] = field(default_factory=dict)
    """Those of the tenants for which ``days`` does not hold."""

    def __post_init__(self) -> None:
        for days in (self.days, *self.by_tenant.values()):
            if days is not None and not days >= 0:  # NaN too
                raise ValueError(f"a run cannot be kept for {days} days")


async def remove_expired(store: Store, retention: Retention, *, at: float | None = None) -> int:
    """Remove the runs that ended too long before ``at`` (a Unix time in seconds, now by default); how many there were.

    A run that is not over stays, however old it is.
    """
    at = time() if at is None else at
    removed = 0
    for tenant, days in _rules(retention):
        before = (at - days * DAY_S, "")  # a run that ended before was created before
        while heads := await store.heads(status=OVER, tenant=tenant, before=before, limit=PAGE):
            removed += await store.remove(
                [
                    each.run_id
                    for each in heads
                    if each.updated_at < at - days * DAY_S
                    and (tenant is not None or each.tenant not in retention.by_tenant)
                ]
            )
            before = heads[-1].created_at, heads[-1].run_id
    return removed


async def enforce(
    store: Store, artifacts: Artifacts, retention: Retention, *, older_than_s: float = DAY_S
) -> tuple[int, int]:
    """Remove the runs that ended too long ago, and then the artifacts that nobody refers to any more; how many there
    were of both.
    """
    runs = await remove_expired(store, retention)
    return runs, await collect_garbage(store, artifacts, older_than_s)


def _rules(retention: Retention) -> Iterator[tuple[str | None, float]]:
    """The tenants, None for those that have no rule of their own, and the days of each that has a limit."""
    for tenant, days in ((None, retention.days), *retention.by_tenant.items()):
        if days is not None:
            yield tenant, days
