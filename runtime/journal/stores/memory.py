"""A store that lives as long as the process: for tests, and for runs that nobody resumes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final

from orchestrator.runtime.journal.stores.appended import Appended
from orchestrator.runtime.journal.stores.base import (
    ALONE,
    DEATHS,
    IDLE,
    LEASE_S,
    LETHAL,
    OVER,
    Change,
    Claim,
    FencedError,
    Head,
    Loaded,
    NewRun,
    Notice,
    Row,
    Status,
)
from orchestrator.runtime.journal.stores.bell import Bell

OVER_KEPT: Final = 64
_WAKEABLE: Final = ("waiting", "suspended")


@dataclass(slots=True)
class _Run:
    head: Head
    """What changes with each row is left out: that is counted when somebody asks."""
    rows: list[Row] = field(default_factory=list)
    log_bytes: int = 0
    snapshot: int = 0
    """The index in ``rows`` of the last one; 0 where there is none, as everything has to be read then."""
    notices: dict[int, tuple[bytes, bool]] = field(default_factory=dict)
    """What was left, and whether it wakes, by number."""
    told: int = 0
    """How many notices were left so far."""
    artifacts: set[str] = field(default_factory=set)

    def full_head(self) -> Head:
        return replace(
            self.head,
            updated_at=max(self.head.updated_at, self.rows[-1].at),
            rows=len(self.rows),
            log_bytes=self.log_bytes,
            notices=len(self.notices),
        )

    def left(self) -> list[Notice]:
        return [Notice(number, data) for number, (data, _) in self.notices.items()]

    def add(self, is_snapshot: bool, data: bytes, at: float) -> None:
        self.rows.append(Row(len(self.rows) + 1, is_snapshot, at, data))
        self.log_bytes += len(data)
        if is_snapshot:
            self.snapshot = len(self.rows) - 1


class MemoryStore:
    """Keeps the runs that are not over, and the last ``kept`` that are.

    All that share it are in this process, so no owner is dead before its lease is over. Nothing is written anywhere: a
    barrier returns at once.
    """

    url = "memory:"

    def __init__(self, kept: int = OVER_KEPT) -> None:
        self._kept = kept
        self._runs: dict[str, _Run] = {}
        self._keys: dict[tuple[str, str, str], str] = {}
        self._over: dict[str, None] = {}
        """In the order in which they ended."""
        self._appended: dict[str, Appended] = {}
        self._leases: dict[str, float] = {}
        """Until when, by the monotonic clock, an owner has what it has claimed."""
        self._programs: dict[str, bytes] = {}
        self._epoch = 0
        """Of the last claim."""
        self._bell = Bell()
        self._told_until = time.time(), time.monotonic()
        """Until then, by both clocks, :meth:`wait` has told of waiting runs and of leases that are over."""

    async def create(
        self,
        run: NewRun,
        data: bytes,
        *,
        owner: str | None = None,
        lease_s: float = LEASE_S,
        artifacts: Collection[str] = (),
    ) -> Head:
        """Add a run with the first row of its log."""
        key = None if run.key is None else (run.tenant, run.workflow, run.key)
        if key is not None and key in self._keys:
            return self._runs[self._keys[key]].full_head()
        if run.run_id in self._runs:
            raise KeyError(run.run_id)
        now = time.time()
        made = _Run(
            Head(
                run.run_id,
                run.workflow,
                run.version,
                run.tenant,
                run.key,
                status="ready" if owner is None else "running",
                why=None,
                wake_at=None,
                owner=owner,
                epoch=0 if owner is None else self._next_epoch(),
                created_at=now,
                updated_at=now,
                rows=0,
                log_bytes=0,
                notices=0,
            )
        )
        made.add(False, data, now)
        made.artifacts.update(artifacts)
        self._runs[run.run_id] = made
        if key is not None:
            self._keys[key] = run.run_id
        if owner is not None:
            self._lease(owner, lease_s)
        self._bell.ring()
        return made.full_head()

    async def claim(
        self,
        owner: str,
        *,
        lease_s: float = LEASE_S,
        run_id: str | None = None,
        holds: Mapping[str, Collection[str] | None] | None = None,
        limit: int = 1,
    ) -> Sequence[tuple[Claim, Head]]:
        """Claim runs that are ready, or the one that is named."""
        self._make_ready(but=owner)
        if run_id is not None:
            named = self._runs.get(run_id)
            found = [named] if named is not None and _is_free(named.head, owner) else []
        else:
            ready = (run for run in self._runs.values() if run.head.status == "ready" and _is_held(run.head, holds))
            has_one = any(run.head.owner == owner and run.head.deaths >= ALONE for run in self._runs.values())
            found = list(islice(_one_alone(sorted(ready, key=_place), has_one), limit))
        if found:
            self._lease(owner, lease_s)
        return [self._claimed(run, owner) for run in found]

    async def renew(self, owner: str, lease_s: float = LEASE_S) -> Collection[str]:
        """Renew the lease of everything that ``owner`` has claimed."""
        claimed = [run.head.run_id for run in self._runs.values() if run.head.owner == owner]
        if claimed:
            self._lease(owner, lease_s)
        return claimed

    def append(self, claim: Claim, data: bytes, *, change: Change | None = None, taken: Collection[int] = ()) -> None:
        """Add to a run's log."""
        self._of(claim).add(data, change, taken)

    def snapshot(self, claim: Claim, data: bytes) -> None:
        """Add a row that stands for everything appended before it."""
        self._of(claim).add_snapshot(data)

    def barrier(self, run_id: str) -> None:
        """Memory is as durable as it gets. Raises ``FencedError``."""
        appended = self._appended.pop(run_id, None)
        if appended is None:
            return
        run = self._runs.get(run_id)
        if run is None or run.head.epoch != appended.epoch or run.head.status != "running":
            raise FencedError(run_id)
        now = time.time()
        for is_snapshot, data in appended.rows():
            run.add(is_snapshot, data, now)
        for number in appended.taken:
            run.notices.pop(number, None)
        if appended.change is not None:
            self._change(run, appended.change, now)

    async def head(self, run_id: str) -> Head | None:
        """What is known of a run."""
        run = self._runs.get(run_id)
        return None if run is None else run.full_head()

    async def load(self, run_id: str) -> Loaded | None:
        """A run from its last snapshot on."""
        run = self._runs.get(run_id)
        return None if run is None else Loaded(run.full_head(), run.rows[run.snapshot :])

    async def history(self, run_id: str, *, after: int = 0) -> AsyncIterator[Row]:
        """Every row, in order."""
        run = self._runs.get(run_id)
        for row in () if run is None else run.rows[after:]:
            yield row

    async def heads(
        self,
        *,
        status: Collection[Status] = (),
        workflow: str | None = None,
        tenant: str | None = None,
        before: tuple[float, str] | None = None,
        limit: int = 50,
    ) -> Sequence[Head]:
        """Runs, the latest first."""
        found = [
            run
            for run in self._runs.values()
            if (not status or run.head.status in status)
            and workflow in (None, run.head.workflow)
            and tenant in (None, run.head.tenant)
            and (before is None or _place(run) < before)
        ]
        return [run.full_head() for run in sorted(found, key=_place, reverse=True)[:limit]]

    async def send(self, run_id: str, data: bytes, *, wakes: bool = True) -> bool:
        """Leave a notice."""
        run = self._runs.get(run_id)
        if run is None:
            return False
        run.told += 1
        run.notices[run.told] = (data, wakes)
        if wakes and run.head.status in _WAKEABLE:
            self._set(run, "ready", None)
        self._bell.ring()
        return True

    async def notices(self, run_id: str) -> Sequence[Notice]:
        """What was left for a run, in order."""
        run = self._runs.get(run_id)
        return [] if run is None else run.left()

    async def notices_of(self, owner: str) -> Mapping[str, Sequence[Notice]]:
        """What was left for each run that ``owner`` has claimed."""
        return {name: run.left() for name, run in self._runs.items() if run.notices and run.head.owner == owner}

    async def set_status(
        self, run_id: str, status: Status, why: str | None = None, *, of: Collection[Status] = IDLE
    ) -> bool:
        """Change the status of a run that nobody executes."""
        if "running" in (status, *of):
            raise ValueError("only a claim makes a run running")
        run = self._runs.get(run_id)
        if run is None or run.head.status not in of:
            return False
        run.head = replace(run.head, deaths=run.head.deaths if run.head.status == status else 0)
        self._set(run, status, why)
        return True

    async def wait(self, timeout_s: float) -> None:
        """Return when there may be something to do, or after ``timeout_s``."""
        now, clock = time.time(), time.monotonic()
        told = min(self._told_until[0], now), self._told_until[1]  # a clock that was set back hides nothing
        due = [run.head.wake_at for run in self._runs.values() if run.head.wake_at is not None]
        left = [at - now for at in due if at > told[0]] + [at - clock for at in self._leases.values() if at > told[1]]
        await self._bell.heard(min([timeout_s, *left]))
        self._told_until = time.time(), time.monotonic()

    async def put_program(self, version: str, data: bytes) -> None:
        """Keep what describes a version of a workflow, once."""
        self._programs.setdefault(version, data)

    async def program(self, version: str) -> bytes | None:
        """What was kept of a version."""
        return self._programs.get(version)

    async def refer(self, run_id: str, artifacts: Collection[str]) -> None:
        """Note that a run's log refers to artifacts."""
        run = self._runs.get(run_id)
        if run is not None:
            run.artifacts.update(artifacts)

    async def referred(self, artifacts: Collection[str]) -> Collection[str]:
        """Those of the artifacts that some run refers to."""
        return {artifact for artifact in artifacts if any(artifact in run.artifacts for run in self._runs.values())}

    async def remove(self, run_ids: Collection[str]) -> int:
        """Remove runs that nobody executes."""
        idle = [each for each in set(run_ids) if each in self._runs and self._runs[each].head.status != "running"]
        for run_id in idle:
            self._forget(run_id)
        return len(idle)

    async def close(self) -> None:
        """Commit what was appended, and give every claim back."""
        for run_id in list(self._appended):
            self.barrier(run_id)
        for run in self._runs.values():
            if run.head.status == "running":
                self._set(run, "ready", None)

    def _of(self, claim: Claim) -> Appended:
        appended = self._appended.get(claim.run_id)
        if appended is None or appended.epoch < claim.epoch:
            appended = self._appended[claim.run_id] = Appended(claim.epoch)
        if appended.epoch > claim.epoch:
            raise FencedError(claim.run_id)
        return appended

    def _next_epoch(self) -> int:
        self._epoch += 1
        return self._epoch

    def _lease(self, owner: str, lease_s: float) -> None:
        self._leases[owner] = time.monotonic() + lease_s

    def _claimed(self, run: _Run, owner: str) -> tuple[Claim, Head]:
        before = run.full_head()
        epoch = self._next_epoch()
        deaths = before.deaths if before.status in ("ready", "running") else 0
        run.head = replace(run.head, status="running", why=None, wake_at=None, owner=owner, epoch=epoch, deaths=deaths)
        self._over.pop(before.run_id, None)
        return Claim(before.run_id, epoch), replace(before, owner=owner, epoch=epoch)

    def _make_ready(self, but: str) -> None:
        now, clock = time.time(), time.monotonic()
        silent = {owner for owner, until in self._leases.items() if until < clock and owner != but}
        for run in self._runs.values():
            head = run.head
            if head.status == "waiting" and head.wake_at is not None and head.wake_at <= now:
                self._set(run, "ready", None)
            elif head.status == "running" and head.owner in silent:
                run.head = replace(head, deaths=head.deaths + 1)
                is_lethal = run.head.deaths >= DEATHS
                self._set(run, "suspended" if is_lethal else "ready", LETHAL if is_lethal else None)
        for owner in silent:
            del self._leases[owner]

    def _change(self, run: _Run, change: Change, now: float) -> None:
        status = change.status or run.head.status
        if status in _WAKEABLE and any(wakes for _, wakes in run.notices.values()):
            status = "ready"
        run.head = replace(
            run.head,
            why=run.head.why if change.why is None else change.why,
            wake_at=run.head.wake_at if change.wake_at is None else change.wake_at,
            version=change.version or run.head.version,
            updated_at=now,
            deaths=0 if change.has_progressed or change.status not in (None, "running", "ready") else run.head.deaths,
        )
        if status != "running":
            self._set(run, status, run.head.why, run.head.wake_at)
        elif change.has_progressed:
            self._bell.ring()

    def _set(self, run: _Run, status: Status, why: str | None, wake_at: float | None = None) -> None:
        """Give a run that nobody executes, or executes any more, a status."""
        run.head = replace(run.head, status=status, why=why, wake_at=wake_at, owner=None, updated_at=time.time())
        self._over.pop(run.head.run_id, None)
        if status in OVER:
            self._over[run.head.run_id] = None
            if len(self._over) > self._kept:
                self._forget(next(iter(self._over)))
        self._bell.ring()

    def _forget(self, run_id: str) -> None:
        head = self._runs.pop(run_id).head
        self._over.pop(run_id, None)
        self._appended.pop(run_id, None)
        if head.key is not None:
            del self._keys[head.tenant, head.workflow, head.key]


def _place(run: _Run) -> tuple[float, str]:
    return run.head.created_at, run.head.run_id


def _is_free(head: Head, owner: str) -> bool:
    return head.owner == owner or head.status not in ("running", "cancelled")


def _one_alone(runs: Iterable[_Run], has_one: bool) -> Iterator[_Run]:
    """The runs, of those with many deaths one at most, and none where its owner ``has_one``."""
    for run in runs:
        is_alone = run.head.deaths >= ALONE
        if not (is_alone and has_one):
            has_one |= is_alone
            yield run


def _is_held(head: Head, holds: Mapping[str, Collection[str] | None] | None) -> bool:
    if holds is None:
        return True
    versions = holds.get(head.workflow, ())
    return versions is None or head.version in versions
