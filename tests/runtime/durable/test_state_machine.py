"""Three processes with one store, whichever it is, against a model of the protocol.

They die, fall silent and write late, with claims that they have lost; and one takes a run over while another commits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from orchestrator.runtime.journal.stores.base import ALONE, DEATHS, Change, Claim, FencedError, NewRun, Store
from tests.postgresql import Server
from tests.runtime.durable.dying import Memory
from tests.runtime.journal.stores.postgresql.test_store import Schema
from tests.runtime.journal.stores.test_sqlite import File

T = TypeVar("T")
WAKEABLE = ("waiting", "suspended")
LONG_S, OVER_S = 1000.0, -1.0
PROCESSES = st.integers(0, 2)
NAMES = st.sampled_from("abc")
WRITES = ("claim", "claim it", "heartbeat", "silence", "send", "pause", "remove", "hand over")
ARTIFACTS = ("x", "y", "z")
STATUSES = (*WAKEABLE, "ready", "done", "failed")
CHANGES = st.sampled_from(
    [None, None, Change(has_progressed=True), *map(Change, STATUSES), Change("waiting", wake_at=1.0)]
)


@dataclass
class Run:
    made: int
    key: str | None
    status: str
    epoch: int
    owner: str | None
    rows: list[tuple[bool, bytes]]
    is_due: bool = False
    notices: list[tuple[bytes, bool]] = field(default_factory=list)
    deaths: int = 0
    artifacts: set[str] = field(default_factory=set)

    def become(self, status: str, is_due: bool = False) -> None:
        self.status, self.owner, self.is_due = status, None, is_due

    def lose_its_owner(self) -> None:
        self.deaths += 1
        self.become("ready" if self.deaths < DEATHS else "suspended")


class Machine(RuleBasedStateMachine):
    def __init__(self, place: Any) -> None:
        super().__init__()
        self._loop = asyncio.Runner()
        self._place = place
        self._has_deaths = not isinstance(place, Memory)
        self._is_serial = not isinstance(place, Schema)
        """Whether a claim never passes over what another locks at the moment, which PostgreSQL's does."""
        self._stores = [self._run(place.open()) for _ in range(3)]
        self._owners = [uuid4().hex for _ in range(3)]
        self._runs: dict[str, Run] = {}
        self._claims: list[dict[str, int]] = [{}, {}, {}]
        """What each process believes to have, lost or not, and of runs that were removed."""
        self._epoch = 0
        self._gone: set[str] = set()
        """Owners that are dead or silent, which nobody has seen yet."""
        self._dead: list[Store] = []
        """Stores of dead processes; closed in the end, as that would give back what they had."""
        self._lines = 0

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(work)

    def _line(self) -> bytes:
        self._lines += 1
        return b"%d;" % self._lines

    @rule(process=PROCESSES, name=NAMES, key=st.sampled_from([None, "k", "l"]), is_owned=st.booleans())
    def create(self, process: int, name: str, key: str | None, is_owned: bool) -> None:
        line, owner = self._line(), self._owners[process] if is_owned else None
        large = set(ARTIFACTS[: self._lines % 3])
        new = NewRun(name, "w", "v", "", key)
        made = self._stores[process].create(new, line, owner=owner, lease_s=LONG_S, artifacts=large)
        same = next((each for each, run in self._runs.items() if key is not None and run.key == key), None)
        if same is not None:
            assert self._run(made).run_id == same
        elif name in self._runs:
            with pytest.raises(KeyError):
                self._run(made)
        else:
            head = self._run(made)
            self._runs[name] = Run(self._lines, key, head.status, head.epoch, owner, [(False, line)], artifacts=large)
            assert head.status == ("running" if is_owned else "ready")
            if is_owned:
                self._claimed(process, name, head.epoch)
                self._gone.discard(self._owners[process])
            return
        if is_owned:
            self.renew(process, LONG_S)  # who asks is not silent, or may be: that is the store's affair

    @rule(process=PROCESSES, name=st.one_of(st.none(), NAMES))
    def claim(self, process: int, name: str | None) -> None:
        self._took(process, name, self._run(self._claim(process, name)))

    async def _claim(self, process: int, name: str | None) -> Any:
        return await self._stores[process].claim(self._owners[process], lease_s=LONG_S, run_id=name)

    def _took(self, process: int, name: str | None, found: Any) -> None:
        owner = self._owners[process]
        for run in self._runs.values():
            if run.owner in self._gone - {owner}:
                run.lose_its_owner()
            elif run.is_due:
                run.become("ready")
        self._gone &= {owner}
        has_one = any(run.owner == owner and run.deaths >= ALONE for run in self._runs.values())
        ready = sorted(
            (run.made, each)
            for each, run in self._runs.items()
            if run.status == "ready" and not (has_one and run.deaths >= ALONE)
        )
        expected = [each for _, each in ready[:1]]
        if name is not None:
            named = self._runs.get(name)
            is_free = named is not None and (named.status not in ("running", "cancelled") or named.owner == owner)
            expected = [name] if is_free else []
        assert [claim.run_id for claim, _ in found] == expected
        for claim, head in found:
            run = self._runs[claim.run_id]
            assert (head.status, head.epoch, head.rows) == (run.status, claim.epoch, len(run.rows))
            run.deaths = run.deaths if run.status in ("ready", "running") else 0
            run.status, run.epoch, run.owner, run.is_due = "running", claim.epoch, owner, False
            self._claimed(process, claim.run_id, claim.epoch)
            self._gone.discard(owner)

    def _claimed(self, process: int, name: str, epoch: int) -> None:
        assert epoch > self._epoch, "no claim to any run has had this number"
        self._epoch = self._claims[process][name] = epoch

    @rule(process=PROCESSES, name=NAMES, parts=st.lists(st.booleans(), max_size=3), change=CHANGES, takes=st.booleans())
    def append(self, process: int, name: str, parts: list[bool], change: Change | None, takes: bool) -> None:
        if name in self._claims[process] and name in self._runs:
            rows, taken, commit = self._appended(process, name, parts, change, takes)
            self._committed(process, name, rows, taken, change, self._run(commit))

    @rule(process=PROCESSES, other=PROCESSES, name=NAMES, parts=st.lists(st.booleans(), min_size=1, max_size=3),
          change=CHANGES, is_late=st.booleans())  # fmt: skip
    def append_while_another_takes_over(
        self, process: int, other: int, name: str, parts: list[bool], change: Change | None, is_late: bool
    ) -> None:
        """Whichever comes first: what was written before the claim is there for it, and nothing is behind it."""
        if name not in self._claims[process] or name not in self._runs or process == other:
            return
        self.renew(process, OVER_S)
        rows, taken, commit = self._appended(process, name, parts, change, False)

        async def both() -> Any:
            works: list[Any] = [commit, self._claim(other, name)]
            if is_late:
                works.reverse()
            done = await asyncio.gather(*works)
            return done[::-1] if is_late else done

        outcome, found = self._run(both())
        if outcome is None:
            self._committed(process, name, rows, taken, change, outcome)
            self._took(other, name, found)
        else:
            self._took(other, name, found)
            self._committed(process, name, rows, taken, change, outcome)

    @rule(one=st.data(), processes=st.permutations([0, 1, 2]), order=st.booleans())
    def two_write_at_once(self, one: st.DataObject, processes: list[int], order: bool) -> None:
        """Each as a whole, in one order or the other: claims, heartbeats, handovers, notices, a status, a removal."""
        if not self._is_serial:
            return
        writes = [one.draw(st.sampled_from(WRITES)) for _ in range(2)]
        pairs = [self._write(what, process, one.draw(NAMES)) for what, process in zip(writes, processes, strict=False)]

        async def both() -> list[Any]:
            works = [work for work, _ in (pairs if order else pairs[::-1])]
            found = await asyncio.gather(*works)
            return found if order else found[::-1]

        outcomes = self._run(both())
        before = deepcopy((self._runs, self._claims, self._gone, self._epoch))
        for first in (0, 1):
            self._runs, self._claims, self._gone, self._epoch = deepcopy(before)
            try:
                for each in (first, 1 - first):
                    pairs[each][1](outcomes[each])
                self._run(self._compared())
            except AssertionError:
                if first:
                    raise
            else:
                return

    def _write(self, what: str, process: int, name: str) -> tuple[Coroutine[Any, Any, Any], Callable[[Any], None]]:
        """A write, and what it makes of the model, or finds wrong with it."""
        store, line = self._stores[process], self._line()
        match what:
            case "claim":
                return self._claim(process, None), lambda found: self._took(process, None, found)
            case "claim it":
                return self._claim(process, name), lambda found: self._took(process, name, found)
            case "heartbeat" | "silence":
                lease_s = LONG_S if what == "heartbeat" else OVER_S
                return self._renewed(process, lease_s), lambda found: self._has_renewed(process, lease_s, found)
            case "send":
                return store.send(name, line, wakes=True), lambda was_sent: self._sent(name, line, True, was_sent)
            case "pause":
                return store.set_status(name, "paused"), lambda was_set: self._has_set(name, "paused", was_set)
            case "remove":
                return store.remove([name]), lambda count: self._removed(name, count)
        change = Change("ready")
        claim = Claim(name, self._claims[process].get(name, 0))

        async def handed_over() -> BaseException | None:
            try:
                store.append(claim, b"", change=change)
                if (waiting := store.barrier(name)) is not None:
                    await waiting
            except FencedError as error:
                return error
            return None

        def handing_over(outcome: BaseException | None) -> None:
            run = self._runs.get(name)
            if run is None or run.epoch != claim.epoch or run.status != "running":
                assert isinstance(outcome, FencedError)
            else:
                assert outcome is None
                run.become("ready")

        return handed_over(), handing_over

    def _appended(self, process: int, name: str, parts: list[bool], change: Change | None, takes: bool) -> Any:
        """What is to be committed now: rows, and notices that are taken."""
        store, claim = self._stores[process], Claim(name, self._claims[process][name])
        lines = [(is_snapshot, self._line()) for is_snapshot in parts]
        rows: list[tuple[bool, bytes]] = []
        for is_snapshot, line in lines:
            if rows and not is_snapshot and not rows[-1][0]:
                rows[-1] = (False, rows[-1][1] + line)
            else:
                rows.append((is_snapshot, line))
        taken = self._runs[name].notices[:1] if takes else []

        async def commit() -> BaseException | None:
            numbers = [each.number for each in await store.notices(claim.run_id)][:1] if takes else []
            try:
                for is_snapshot, line in lines:
                    (store.snapshot if is_snapshot else store.append)(claim, line)
                store.append(claim, b"", change=change, taken=numbers)
                waiting = store.barrier(name)
                if waiting is not None:
                    await waiting
            except FencedError as error:
                return error
            return None

        return rows, taken, commit()

    def _committed(
        self, process: int, name: str, rows: Any, taken: Any, change: Change | None, outcome: BaseException | None
    ) -> None:
        run = self._runs[name]
        is_nothing = not rows and not taken and change is None
        if run.epoch != self._claims[process][name] or run.status != "running":
            assert is_nothing or isinstance(outcome, FencedError)
            return
        assert outcome is None
        run.rows += rows
        run.notices = [each for each in run.notices if each not in taken]
        if change is not None and (change.has_progressed or change.status not in (None, "ready")):
            run.deaths = 0
        if change is not None and change.status is not None:
            wakes = change.status in WAKEABLE and any(wakes for _, wakes in run.notices)
            run.become("ready" if wakes else change.status, change.wake_at is not None and not wakes)

    @rule(process=PROCESSES, lease_s=st.sampled_from([LONG_S, OVER_S]))
    def renew(self, process: int, lease_s: float) -> None:
        self._has_renewed(process, lease_s, self._run(self._renewed(process, lease_s)))

    def _has_renewed(self, process: int, lease_s: float, found: Any) -> None:
        owner = self._owners[process]
        had = {each for each, run in self._runs.items() if run.owner == owner}
        assert set(found) == had
        if had:
            (self._gone.discard if lease_s > 0 else self._gone.add)(owner)

    async def _renewed(self, process: int, lease_s: float) -> Any:
        return await self._stores[process].renew(self._owners[process], lease_s)

    @rule(process=PROCESSES, name=NAMES, wakes=st.booleans())
    def send(self, process: int, name: str, wakes: bool) -> None:
        data = self._line()
        self._sent(name, data, wakes, self._run(self._stores[process].send(name, data, wakes=wakes)))

    def _sent(self, name: str, data: bytes, wakes: bool, was_sent: bool) -> None:
        run = self._runs.get(name)
        assert was_sent == (run is not None)
        if run is not None:
            run.notices.append((data, wakes))
            if wakes and run.status in WAKEABLE:
                run.become("ready")

    @rule(process=PROCESSES, name=NAMES, status=st.sampled_from(["ready", "paused", "cancelled"]))
    def set_status(self, process: int, name: str, status: Any) -> None:
        self._has_set(name, status, self._run(self._stores[process].set_status(name, status)))

    def _has_set(self, name: str, status: str, was_set: bool) -> None:
        run = self._runs.get(name)
        is_free = run is not None and run.status != "running"
        assert was_set == is_free
        if run is not None and is_free:
            run.deaths = run.deaths if run.status == status else 0
            run.become(status)

    @rule(process=PROCESSES, name=NAMES)
    def remove(self, process: int, name: str) -> None:
        is_free = name in self._runs and self._runs[name].status in ("done", "failed", "cancelled")
        if is_free:
            self._removed(name, self._run(self._stores[process].remove([name])))

    def _removed(self, name: str, count: int) -> None:
        """Whatever nobody executes can be removed; retention asks for what is over."""
        is_free = name in self._runs and self._runs[name].status != "running"
        assert count == is_free
        if is_free:
            del self._runs[name]

    @rule(process=PROCESSES, name=NAMES, artifact=st.sampled_from(ARTIFACTS))
    def refer(self, process: int, name: str, artifact: str) -> None:
        self._run(self._stores[process].refer(name, [artifact]))
        if name in self._runs:
            self._runs[name].artifacts.add(artifact)

    @rule(process=PROCESSES)
    def die(self, process: int) -> None:
        if self._has_deaths:
            self._run(self._place.kill(self._stores[process]))
            self._died(process)

    @rule(process=PROCESSES, name=NAMES, what=st.sampled_from(["pause", "remove", "send"]), turns=st.integers(0, 4))
    def die_amid_a_write(self, process: int, name: str, what: str, turns: int) -> None:
        """It is there as a whole or not at all, whatever was on its way when the process died."""
        if not self._has_deaths:
            return
        run = self._runs.get(name)
        is_done = run is not None if what == "send" else run is not None and run.status != "running"
        work, wrote = self._write(what, process, name)

        async def dying() -> None:
            task = asyncio.ensure_future(work)
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()  # so that nothing begins while the process is about to be dead
            await self._place.cut(self._stores[process])
            await asyncio.gather(task, return_exceptions=True)

        self._run(dying())
        self._died(process)
        before = deepcopy(self._runs)
        try:
            self._run(self._compared())
        except AssertionError:
            self._runs = before
            wrote(is_done)
            self._run(self._compared())

    def _died(self, process: int) -> None:
        self._dead.append(self._stores[process])
        self._gone.add(self._owners[process])
        self._stores[process] = self._run(self._place.open())
        self._owners[process] = uuid4().hex
        self._claims[process] = {}

    @invariant()
    def every_run_is_as_the_model_says(self) -> None:
        self._run(self._compared())

    async def _compared(self) -> None:
        store = self._stores[self._lines % 3]
        known = {each for run in self._runs.values() for each in run.artifacts}
        assert set(await store.referred(ARTIFACTS)) == known, "what no run refers to is garbage, and nothing else is"
        heads = {head.run_id: head for head in await store.heads()}
        assert sorted(heads) == sorted(self._runs)
        for name, run in self._runs.items():
            head = heads[name]
            assert (head.status, head.epoch, head.rows) == (run.status, run.epoch, len(run.rows))
            assert (head.owner, head.notices, head.deaths) == (run.owner, len(run.notices), run.deaths)
            assert [(row.is_snapshot, row.data) async for row in store.history(name)] == run.rows
            loaded = await store.load(name)
            assert loaded is not None
            last = max((place for place, (is_snapshot, _) in enumerate(run.rows) if is_snapshot), default=0)
            assert [(row.is_snapshot, row.data) for row in loaded.rows] == run.rows[last:]

    def teardown(self) -> None:
        for store in (*self._dead, *self._stores):
            with suppress(*self._place.errors):
                self._run(store.close())
        self._loop.close()


def check(place: Any, examples: int, steps: int) -> None:
    how = settings(max_examples=examples, stateful_step_count=steps, deadline=None)
    run_state_machine_as_test(lambda: Machine(place()), settings=how)  # type: ignore[no-untyped-call]


def test_memory_does_what_the_model_does() -> None:
    check(Memory, 60, 30)


@pytest.mark.slow
def test_a_file_does_what_the_model_does() -> None:
    with TemporaryDirectory() as folder:
        check(lambda: File(Path(folder) / uuid4().hex), 40, 30)


@pytest.mark.slow
def test_a_postgresql_does_what_the_model_does(postgresql: Server) -> None:
    time.sleep(5)  # so long after its start it does not know who is dead
    check(lambda: Schema(postgresql, f"{postgresql.url}?schema=m{uuid4().hex}"), 15, 30)
