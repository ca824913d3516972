"""What no run refers to is removed after a while, and never anything that a run needs."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from orchestrator.runtime.journal.artifacts import folder, garbage, remote
from orchestrator.runtime.journal.artifacts.base import DAY_S, Artifacts, LostArtifactError, name_of
from orchestrator.runtime.journal.artifacts.folder import Folder
from orchestrator.runtime.journal.artifacts.garbage import collect_garbage
from orchestrator.runtime.journal.artifacts.opening import open_artifacts
from orchestrator.runtime.journal.stores.base import NewRun
from orchestrator.runtime.journal.stores.memory import MemoryStore
from tests.runtime.journal.artifacts.places import PLACES, opened

NOON = 1_796_040_000.0
HOUR_S = 3600.0


@pytest.fixture(params=PLACES)
def artifacts(request: pytest.FixtureRequest, tmp_path: Path) -> Artifacts:
    return opened(request.param, tmp_path)


class Clock:
    """The time of whoever puts and collects; it may be set back."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = NOON
        for module in (folder, remote, garbage):
            patch.setattr(module, "time", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def store_with(**runs: Collection[str]) -> MemoryStore:
    """A store of runs by their id, and what each refers to."""
    store = MemoryStore()
    for run_id, names in runs.items():
        await store.create(NewRun(run_id, "flow", "v1"), b"")
        await store.refer(run_id, names)
    return store


async def test_what_no_run_refers_to_is_removed_a_day_after_the_day_on_which_it_was_put(
    artifacts: Artifacts, clock: Clock
) -> None:
    store = await store_with(r1=[artifacts.put(b"kept")])
    artifacts.put(b"garbage")
    midnight = NOON // DAY_S * DAY_S + DAY_S
    for clock.now in (NOON, midnight, midnight + DAY_S - 1):
        assert await collect_garbage(store, artifacts) == 0
    clock.now = midnight + DAY_S
    assert await collect_garbage(store, artifacts) == 1
    assert [artifacts.get(each) for each in artifacts.names(clock.now)] == [b"kept"]


async def test_what_a_removed_run_referred_to_is_removed_unless_another_one_refers_to_it(
    artifacts: Artifacts, clock: Clock
) -> None:
    own, shared = artifacts.put(b"own"), artifacts.put(b"shared")
    store = await store_with(r1=[own, shared], r2=[shared])
    clock.now += 30 * DAY_S
    assert await collect_garbage(store, artifacts) == 0
    await store.remove(["r1"])
    assert await collect_garbage(store, artifacts) == 1
    assert artifacts.get(shared) == b"shared"
    await store.remove(["r2"])
    assert await collect_garbage(store, artifacts) == 1
    assert list(artifacts.names(clock.now)) == []


async def test_what_is_put_again_before_it_is_collected_is_not_taken_from_under_the_run(
    artifacts: Artifacts, clock: Clock
) -> None:
    """The content is old garbage; a run that puts it now and refers to it a moment later has it."""
    store = await store_with(r1=[])
    old = artifacts.put(b"the same document")
    clock.now += 30 * DAY_S
    name = artifacts.put(b"the same document")
    assert await collect_garbage(store, artifacts) == 1
    with pytest.raises(LostArtifactError):
        artifacts.get(old)
    await store.refer("r1", [name])
    clock.now += 30 * DAY_S
    assert await collect_garbage(store, artifacts) == 0
    assert artifacts.get(name) == b"the same document"


async def test_more_than_a_page_is_removed_and_the_store_is_asked_for_a_page_at_a_time(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "PAGE", 3)
    artifacts = Folder(tmp_path)
    names = [artifacts.put(b"%d" % n) for n in range(10)]
    store = await store_with(r1=names[::4])
    asked: list[int] = []
    referred = store.referred

    async def noted(names: Collection[str]) -> Collection[str]:
        asked.append(len(names))
        return await referred(names)

    monkeypatch.setattr(store, "referred", noted)
    clock.now += 30 * DAY_S
    assert await collect_garbage(store, artifacts) == 7
    assert asked == [3, 3, 3, 1]
    assert set(artifacts.names(clock.now)) == set(names[::4])


async def test_the_draft_of_a_killed_process_is_garbage(tmp_path: Path, clock: Clock) -> None:
    artifacts = Folder(tmp_path)
    name = artifacts.put(b"whole")
    draft = tmp_path / name[:8] / f"{name_of(b'cut', NOON)[9:]}.0123456789abcdef"
    draft.write_bytes(b"cu")
    store = await store_with(r1=[name])
    assert await collect_garbage(store, artifacts) == 0
    clock.now += 30 * DAY_S
    assert await collect_garbage(store, artifacts) == 1
    assert not draft.exists()
    assert artifacts.get(name) == b"whole"


async def test_a_store_that_fails_to_say_what_is_referred_to_keeps_everything(
    artifacts: Artifacts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(names: Collection[str]) -> Collection[str]:
        raise ConnectionError("the database is restarted")

    store = await store_with()
    name = artifacts.put(b"x")
    clock.now += 30 * DAY_S
    monkeypatch.setattr(store, "referred", fail)
    with pytest.raises(ConnectionError):
        await collect_garbage(store, artifacts)
    assert artifacts.get(name) == b"x"


class Interleaved(RuleBasedStateMachine):
    """Runs put, refer a while later, read and end, and collections run in between, in steps, with clocks that differ
    by up to ten hours. Whatever a run refers to is there."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.clock = Clock(self.patch)
        self.artifacts = open_artifacts(f"memory://{uuid4().hex}")
        self.store = MemoryStore()
        self.on_the_way: list[tuple[str, str, bytes, float]] = []
        """A run, what it has put and not yet referred to, and until when it will have."""
        self.needed: dict[str, dict[str, bytes]] = {}
        self.now = NOON
        self.collecting: list[tuple[set[str], set[str]]] = []
        """Pages of collections under way: what was listed, and what the store said is referred to."""

    def teardown(self) -> None:
        self.patch.undo()

    @rule(hours=st.sampled_from([1, 5, 30]))
    def time_passes(self, hours: float) -> None:
        self.now += hours * HOUR_S
        for run_id, name, data, until in list(self.on_the_way):
            if until <= self.now:
                self._refer(run_id, name, data)
        self.collecting = [] if hours > 5 else self.collecting  # nobody takes a day for a page

    @rule(run=st.integers(0, 3), content=st.integers(0, 2), skew=st.integers(-5, 5), delay=st.integers(0, 12))
    def put(self, run: int, content: int, skew: int, delay: int) -> None:
        run_id, data = f"r{run}", b"%d" % content
        if run_id not in self.needed:
            asyncio.run(self.store.create(NewRun(run_id, "flow", "v1"), b""))
            self.needed[run_id] = {}
        self.clock.now = self.now + skew * HOUR_S
        self.on_the_way.append((run_id, self.artifacts.put(data), data, self.now + delay * HOUR_S))

    @rule()
    def refer(self) -> None:
        if self.on_the_way:
            self._refer(*self.on_the_way[0][:3])

    def _refer(self, run_id: str, name: str, data: bytes) -> None:
        self.on_the_way = [each for each in self.on_the_way if each[:2] != (run_id, name)]
        if run_id in self.needed:
            asyncio.run(self.store.refer(run_id, [name]))
            self.needed[run_id][name] = data

    @rule(run=st.integers(0, 3))
    def remove(self, run: int) -> None:
        if self.needed.pop(f"r{run}", None) is not None:
            asyncio.run(self.store.remove([f"r{run}"]))
            self.on_the_way = [each for each in self.on_the_way if each[0] != f"r{run}"]

    @rule(skew=st.integers(-5, 5))
    def collect(self, skew: int) -> None:
        self.clock.now = self.now + skew * HOUR_S
        asyncio.run(collect_garbage(self.store, self.artifacts))

    @rule(skew=st.integers(-5, 5))
    def begin_to_collect(self, skew: int) -> None:
        listed = set(self.artifacts.names(self.now + skew * HOUR_S - DAY_S))
        self.collecting.append((listed, set(asyncio.run(self.store.referred(listed)))))

    @rule()
    def go_on_collecting(self) -> None:
        if self.collecting:
            listed, referred = self.collecting.pop()
            self.artifacts.remove(listed - referred)

    @invariant()
    def all_that_is_needed_is_there(self) -> None:
        for names in self.needed.values():
            for name, data in names.items():
                assert self.artifacts.get(name) == data


def test_no_order_of_puts_and_collections_loses_what_a_run_refers_to() -> None:
    run_state_machine_as_test(Interleaved, settings=settings(max_examples=60, stateful_step_count=30, deadline=None))
