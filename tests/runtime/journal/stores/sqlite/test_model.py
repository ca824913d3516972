"""Two processes with one file, against a model of it: whatever they do, and whenever one of them dies or a write fails.

What a process appends is a line; the model says which lines are in the file, in which rows, and who may add to them.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Coroutine
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from orchestrator.runtime.journal.stores.base import ALONE, DEATHS, Change, Claim, FencedError, NewRun
from orchestrator.runtime.journal.stores.sqlite.store import SqliteStore

T = TypeVar("T")
WAKEABLE = ("waiting", "suspended")
PROCESSES = st.integers(0, 1)
NAMES = st.sampled_from("ab")


@dataclass
class Batch:
    """What is to be committed in one go."""

    rows: list[tuple[bool, bytes]] = field(default_factory=list)
    status: str | None = None
    has_progressed: bool = False
    taken: list[int] = field(default_factory=list)

    def add(self, data: bytes) -> None:
        if self.rows and not self.rows[-1][0]:
            self.rows[-1] = (False, self.rows[-1][1] + data)
        else:
            self.rows.append((False, data))


@dataclass
class Pending:
    """What one process has appended to one run, with which claim; what has failed to commit comes first, alone."""

    epoch: int
    failed: Batch | None = None
    new: Batch | None = None


@dataclass
class Run:
    made: int
    status: str
    epoch: int
    owner: tuple[int, int] | None
    """A process, and how often it had died."""
    rows: list[tuple[bool, bytes]]
    notices: list[tuple[bytes, bool]] = field(default_factory=list)
    deaths: int = 0
    """So many of its owners have died since something has come of it."""

    def lose_its_owner(self) -> None:
        self.deaths += 1
        self.status, self.owner = "ready" if self.deaths < DEATHS else "suspended", None

    def is_claimed_by(self, owner: tuple[int, int]) -> None:
        self.deaths = self.deaths if self.status in ("ready", "running") else 0
        self.status, self.owner = "running", owner


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.Runner()
        self._folder = TemporaryDirectory()
        self._file = Path(self._folder.name) / "runs.db"
        self._stores = [self._run(SqliteStore.open(self._file)) for _ in range(2)]
        self._deaths = [0, 0]
        self._runs: dict[str, Run] = {}
        self._claims: list[dict[str, int]] = [{}, {}]
        self._epoch = 0
        self._pending: list[dict[str, Pending]] = [{}, {}]
        self._lines = 0

    @initialize()
    def begin(self) -> None:
        for process, name in enumerate("ab"):
            self.create(process, name, True)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(work)

    def _line(self) -> bytes:
        self._lines += 1
        return b"%d;" % self._lines

    def _of(self, process: int, name: str) -> Batch:
        epoch = self._claims[process][name]
        pending = self._pending[process].get(name)
        if pending is None or pending.epoch < epoch:
            pending = self._pending[process][name] = Pending(epoch)
        pending.new = pending.new or Batch()
        return pending.new

    @rule(process=PROCESSES, name=NAMES, is_owned=st.booleans())
    def create(self, process: int, name: str, is_owned: bool) -> None:
        line = self._line()
        owner = f"p{process}" if is_owned else None
        made = self._stores[process].create(NewRun(name, "w", "v"), line, owner=owner, lease_s=1000)
        if name in self._runs:
            with pytest.raises(KeyError):
                self._run(made)
            return
        head = self._run(made)
        assert head.status == ("running" if is_owned else "ready")
        by = (process, self._deaths[process]) if is_owned else None
        self._runs[name] = Run(self._lines, head.status, head.epoch, by, [(False, line)])
        if is_owned:
            self._claimed(process, name, head.epoch)

    @rule(
        process=PROCESSES,
        name=NAMES,
        are_snapshots=st.lists(st.booleans(), max_size=4),
        status=st.one_of(st.none(), st.sampled_from([*WAKEABLE, "ready", "done"])),
        has_progressed=st.booleans(),
        then=st.sampled_from(["commits", "fails", "fails and commits", "goes on"]),
    )
    def append(
        self, process: int, name: str, are_snapshots: list[bool], status: Any, has_progressed: bool, then: str
    ) -> None:
        if name not in self._claims[process]:
            self.claim(process, name)
        if name not in self._claims[process]:
            return
        claim = Claim(name, self._claims[process][name])
        for is_snapshot in are_snapshots:
            line, batch = self._line(), self._of(process, name)
            if is_snapshot:
                self._stores[process].snapshot(claim, line)
                batch.rows.append((True, line))
            else:
                self._stores[process].append(claim, line)
                batch.add(line)
        if status is not None or has_progressed:
            self._stores[process].append(claim, b"", change=Change(status=status, has_progressed=has_progressed))
            batch = self._of(process, name)
            batch.status, batch.has_progressed = status or batch.status, batch.has_progressed or has_progressed
        if then.startswith("fails"):
            self.barrier(process, name, True)
        if then.endswith("commits"):
            self.barrier(process, name, False)

    @rule(process=PROCESSES, name=NAMES)
    def take(self, process: int, name: str) -> None:
        if name not in self._claims[process] or name not in self._runs:
            return
        claim = Claim(name, self._claims[process][name])
        notices = self._run(self._listed(process, claim))
        assert [notice.data for notice in notices] == [data for data, _ in self._runs[name].notices]
        if notices:
            self._stores[process].append(claim, b"", taken=[notices[0].number])
            self._of(process, name).taken.append(int(notices[0].data))

    async def _listed(self, process: int, claim: Claim) -> Any:
        return await self._stores[process].notices(claim.run_id)

    @rule(process=PROCESSES, name=NAMES, fails=st.booleans())
    def barrier(self, process: int, name: str, fails: bool) -> None:
        pending = self._pending[process].get(name)
        if pending is None:
            assert self._run(self._durable(process, name)) is None
            return
        batches = [batch for batch in (pending.failed, pending.new) if batch is not None]
        if fails:
            self._refuse(True)
        outcome = self._run(self._durable(process, name))
        if fails:
            self._refuse(False)
        run = self._runs.get(name)
        for batch in batches:
            if run is None or run.epoch != pending.epoch or run.status != "running":
                assert isinstance(outcome, FencedError)
                del self._pending[process][name]
                self._claims[process].pop(name, None)
                return
            if fails and batch.rows:
                assert isinstance(outcome, sqlite3.IntegrityError)
                pending.failed, pending.new = batch, (None if batch is pending.new else pending.new)
                return
            self._committed(run, batch)
        assert outcome is None
        del self._pending[process][name]

    def _committed(self, run: Run, batch: Batch) -> None:
        run.rows += batch.rows
        run.notices = [notice for notice in run.notices if int(notice[0]) not in batch.taken]
        if batch.status not in (None, "ready") or batch.has_progressed:
            run.deaths = 0
        if batch.status is not None:
            wakes = batch.status in WAKEABLE and any(wakes for _, wakes in run.notices)
            run.status, run.owner = "ready" if wakes else batch.status, None

    async def _durable(self, process: int, name: str) -> BaseException | None:
        waiting: Awaitable[None] | None = self._stores[process].barrier(name)
        try:
            if waiting is not None:
                await waiting
        except (FencedError, sqlite3.IntegrityError) as error:
            return error
        return None

    def _refuse(self, refuses: bool) -> None:
        with closing(sqlite3.connect(self._file, isolation_level=None)) as db:
            no = "CREATE TRIGGER no BEFORE INSERT ON log BEGIN SELECT RAISE(ABORT, 'no'); END"
            db.execute(no if refuses else "DROP TRIGGER no")

    @rule(process=PROCESSES, name=st.one_of(st.none(), NAMES))
    def claim(self, process: int, name: str | None) -> None:
        own = (process, self._deaths[process])
        for run in self._runs.values():
            if run.owner is not None and run.owner[1] < self._deaths[run.owner[0]]:
                run.lose_its_owner()
        if name is None:
            has_one = any(run.owner == own and run.deaths >= ALONE for run in self._runs.values())
            ready = sorted(
                (run.made, each)
                for each, run in self._runs.items()
                if run.status == "ready" and not (has_one and run.deaths >= ALONE)
            )
            expected = [each for _, each in ready[:1]]
        else:
            named = self._runs.get(name)
            is_free = named is not None and (named.status not in ("running", "cancelled") or named.owner == own)
            expected = [name] if is_free else []
        found = self._run(self._found(process, name))
        assert [claim.run_id for claim, _ in found] == expected
        for claim, head in found:
            run = self._runs[claim.run_id]
            assert (head.status, head.epoch) == (run.status, claim.epoch)
            assert head.deaths == run.deaths
            run.epoch = claim.epoch
            run.is_claimed_by(own)
            self._claimed(process, claim.run_id, claim.epoch)

    def _claimed(self, process: int, name: str, epoch: int) -> None:
        assert epoch > self._epoch, "no claim to any run has had this number"
        self._epoch = self._claims[process][name] = epoch

    async def _found(self, process: int, name: str | None) -> Any:
        return await self._stores[process].claim(f"p{process}", lease_s=1000, run_id=name)

    @rule(process=PROCESSES, name=NAMES, wakes=st.booleans())
    def send(self, process: int, name: str, wakes: bool) -> None:
        self._lines += 1
        data = b"%d" % self._lines
        assert self._run(self._stores[process].send(name, data, wakes=wakes)) == (name in self._runs)
        run = self._runs.get(name)
        if run is not None:
            run.notices.append((data, wakes))
            if wakes and run.status in WAKEABLE:
                run.status = "ready"

    @rule(process=PROCESSES, name=NAMES, status=st.sampled_from(["ready", "paused", "cancelled"]))
    def set_status(self, process: int, name: str, status: Any) -> None:
        run = self._runs.get(name)
        is_free = run is not None and run.status != "running"
        assert self._run(self._stores[process].set_status(name, status)) == is_free
        if run is not None and is_free:
            run.status, run.deaths = status, run.deaths if run.status == status else 0

    @rule(process=PROCESSES, name=NAMES)
    def remove(self, process: int, name: str) -> None:
        if name in self._runs and self._runs[name].status != "done":
            return
        is_free = name in self._runs and self._runs[name].status != "running"
        assert self._run(self._stores[process].remove([name])) == is_free
        if is_free:
            del self._runs[name]

    @rule(process=PROCESSES)
    def die(self, process: int) -> None:
        self._run(self._dead(process))
        self._stores[process] = self._run(SqliteStore.open(self._file))
        self._deaths[process] += 1
        self._claims[process], self._pending[process] = {}, {}

    async def _dead(self, process: int) -> None:
        store = self._stores[process]
        for thread in (store._writer, store._reader, store._mover):
            await thread.close()
        store.process.let_go()

    @invariant()
    def each_run_is_as_the_model_says(self) -> None:
        self._run(self._compared())

    async def _compared(self) -> None:
        for store in self._stores:
            heads = {head.run_id: head for head in await store.heads()}
            assert sorted(heads) == sorted(self._runs)
            for name, run in self._runs.items():
                rows = [(row.is_snapshot, row.data) async for row in store.history(name)]
                assert rows == run.rows
                head = heads[name]
                assert (head.status, head.epoch, head.rows) == (run.status, run.epoch, len(run.rows))
                assert head.deaths == run.deaths
                assert (head.notices, head.log_bytes) == (len(run.notices), sum(len(data) for _, data in rows))
                assert (head.owner is None) == (run.owner is None)
                loaded = await store.load(name)
                assert loaded is not None
                last = max((place for place, (is_snapshot, _) in enumerate(run.rows) if is_snapshot), default=0)
                assert [(row.is_snapshot, row.data) for row in loaded.rows] == run.rows[last:]

    def teardown(self) -> None:
        for process in range(2):
            self._run(self._dead(process))
        self._loop.close()
        self._folder.cleanup()


@pytest.mark.slow
def test_two_processes_do_what_the_model_does() -> None:
    run_state_machine_as_test(Machine, settings=settings(max_examples=25, stateful_step_count=30))  # type: ignore[no-untyped-call]
