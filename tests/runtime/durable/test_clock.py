"""A clock that is an hour off, ahead or behind: who executes a run does not go by it, and when a sleep is over does.

The clock is that of another process than the one that has begun the runs, as after somebody has set it.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import SuspendedError
from orchestrator.runtime.coordinator.submitting import submit
from orchestrator.runtime.journal.stores.base import Head, Store
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.runner import Runner
from tests.postgresql import Server
from tests.runtime.durable.chain import begun_step, chaining, did, nap
from tests.runtime.durable.worker_process import worker

HOUR_S = 3600


@pytest.fixture(scope="session")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that shifts the wall clock."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("the clock is set by a library in C, and there is no `cc`")
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


async def done(store: Store, run_id: str) -> Head:
    async with asyncio.timeout(120):
        while (head := await store.head(run_id)) is None or head.status != "done":
            await asyncio.sleep(0.02)
    return head


@pytest.mark.parametrize("shift_s", [HOUR_S, -HOUR_S])
async def test_a_worker_whose_clock_is_an_hour_off_takes_nothing_from_the_living(
    shift_s: int, clock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    asleep = await _beside_a_worker(url, shift_s, clock, tmp_path, monkeypatch, wakes=shift_s > 0)
    if shift_s < 0:
        assert "sleeps until" in str(asleep.why)


@pytest.mark.parametrize("shift_s", [HOUR_S, -HOUR_S])
async def test_a_database_goes_by_its_own_clock_whatever_a_workers_says(
    shift_s: int, clock: Path, tmp_path: Path, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leases, and when a sleep is over: that is half an hour away by the database's clock."""
    url = f"{postgresql.url}?schema=clock{uuid4().hex}"
    await _beside_a_worker(url, shift_s, clock, tmp_path, monkeypatch, wakes=False)


async def _beside_a_worker(
    url: str, shift_s: int, clock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, wakes: bool
) -> Head:
    """A run that goes on here and one that sleeps for half an hour, which ``wakes`` for a worker with another clock;
    what becomes of that."""
    steps = tmp_path / "did"
    monkeypatch.setenv("CHAIN_DID", str(steps))
    monkeypatch.setenv("CHAIN_WAITS", "2")
    store = await open_store(url)
    async with Runner(store=store, lease_s=60, longest_sleep_s=1) as runner:
        with pytest.raises(SuspendedError):
            await runner.run(compile_workflow(nap), {"text": "sleeps"}, run_id="sleeps")
        work = asyncio.create_task(runner.run(chaining(), {"text": "r"}, run_id="r"))
        await begun_step(steps, "r 2")
        await submit(store, chaining(), {"text": "other"}, run_id="other")
        off = {"LD_PRELOAD": str(clock), "CLOCK_SHIFT": str(shift_s), "CHAIN_WAITS": ""}
        with worker(tmp_path, url, 60, **off):
            await done(store, "other")
            head = await store.head("r")
            assert head is not None
            assert (head.status, runner.owner is not None and head.owner == runner.owner.name) == ("running", True)
            steps.with_name("go on").touch()
            assert (await work).value.startswith("r 4 ")
            if wakes:
                await done(store, "sleeps")
        asleep = await store.head("sleeps")
    assert asleep is not None
    assert asleep.status == ("done" if wakes else "waiting")
    assert [line for line in did(steps) if line.startswith("r ")] == ["r 1", "r 2", "r 3", "r 4"]
    assert did(steps).count("sleeps 1") == wakes
    await store.close()
    return asleep
