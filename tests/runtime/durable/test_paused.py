"""A worker that is stopped (SIGSTOP) for longer than its lease has lost its runs when it wakes up, and says so."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from orchestrator.runtime.coordinator.submitting import submit
from orchestrator.runtime.journal.stores.opened import open_store
from tests.postgresql import Server
from tests.runtime.durable.chain import begun_step, chaining, did
from tests.runtime.durable.test_away import results, working
from tests.runtime.durable.worker_process import worker


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_worker_that_slept_over_its_lease_writes_nothing_and_says_so(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    steps, url = tmp_path / "did", f"sqlite:///{tmp_path / 'runs.db'}"
    if kind == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        url = f"{server.url}?schema=paused"
    monkeypatch.setenv("CHAIN_DID", str(steps))
    monkeypatch.setenv("CHAIN_WAITS", "2")
    store = await open_store(url)
    await submit(store, chaining(), {"text": "r"}, run_id="r")
    with worker(tmp_path, url, 2) as (process, said):
        await begun_step(steps, "r 2")
        process.send_signal(signal.SIGSTOP)
        steps.with_name("go on").touch()
        async with working(store):
            await begun_step(steps, "r 4")
            async with asyncio.timeout(120):
                while (head := await store.head("r")) is None or head.status != "done":
                    await asyncio.sleep(0.01)
        rows = head.rows
        process.send_signal(signal.SIGCONT)
        async with asyncio.timeout(120):
            while "run r is executed elsewhere now" not in said.read_text():
                await asyncio.sleep(0.05)
    assert did(steps) == ["r 1", "r 2", "r 2", "r 3", "r 4"]
    assert await results(store) == 4, "its tool's result is counted once"
    after = await store.head("r")
    assert after is not None
    assert (after.status, after.rows) == ("done", rows)
    await store.close()
