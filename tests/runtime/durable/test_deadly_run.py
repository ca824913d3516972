"""A run that kills whoever executes it is put aside after three workers, and takes no other run with it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from orchestrator.cli.target import load_targets
from orchestrator.compiler import compile as compile_workflow
from orchestrator.runtime.coordinator.submitting import submit
from orchestrator.runtime.journal.stores.base import DEATHS, LETHAL
from orchestrator.runtime.journal.stores.opened import open_store

FLOW = """
import asyncio, os
from orchestrator import tool, workflow

@tool(effects="reads")
async def kill(n: int) -> int:
    await asyncio.sleep(1.2)  # so long that its start is written
    os._exit(99)

@workflow
def deadly(n: int) -> int:
    return kill(n)

@tool(effects="reads")
async def take_long(n: int) -> int:
    await asyncio.sleep(4)
    return n

@workflow
def harmless(n: int) -> int:
    return take_long(n)
"""


async def test_a_deadly_run_is_put_aside_and_the_others_are_done(tmp_path: Path) -> None:
    flow, url = tmp_path / "flow.py", f"sqlite:///{tmp_path / 'runs.db'}"
    flow.write_text(FLOW)
    compiled = {each.workflow.name: compile_workflow(each.workflow) for each in load_targets(str(flow))}
    store = await open_store(url)
    await submit(store, compiled["harmless"], {"n": 1}, run_id="older")
    await submit(store, compiled["deadly"], {"n": 1}, run_id="deadly")
    await submit(store, compiled["harmless"], {"n": 1}, run_id="younger")

    def worker() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator.cli.main", "worker", str(flow), "--store", url],
            env={**os.environ, "ORCH_LEARNED": "off", "ORCH_CALIBRATION": "off"},
            stdin=subprocess.DEVNULL,
        )

    try:
        for _ in range(DEATHS):
            dying = worker()
            assert dying.wait(120) == 99
        living = worker()
        end = time.monotonic() + 120
        while time.monotonic() < end:
            heads = {head.run_id: head for head in await store.heads()}
            if all(head.status in ("done", "suspended") for head in heads.values()):
                break
            time.sleep(0.1)
        assert living.poll() is None
    finally:
        living.terminate()
        assert living.wait(120) == 0
    assert {name: head.status for name, head in heads.items()} == {
        "older": "done",
        "deadly": "suspended",
        "younger": "done",
    }
    assert heads["deadly"].why == LETHAL
    await store.close()
