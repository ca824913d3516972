"""A process is killed amid a run with large values: the run goes on, and whatever its log names is there."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from random import Random
from time import sleep

import pytest

from orchestrator import tool, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import RunError
from orchestrator.runtime.journal.artifacts.opening import artifacts_of
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.run import Runtime

STEPS = 40
NAME = re.compile(rb'"~artifact":"([^"]+)"')


@tool(effects="reads")
async def page(n: int) -> str:
    return f"{n} " * 40_000


@tool(effects="idempotent")
async def size(text: str) -> int:
    return len(text)


@workflow(max_items=STEPS)
def reading(n: int) -> int:
    total = 0
    for each in range(n):
        total += size(page(each))
    return total


RUNS = """
import asyncio, sys
from orchestrator.compiler import compile
from orchestrator.runtime.journal.artifacts.opening import artifacts_of
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.run import Runtime
from tests.runtime.journal.artifacts.test_killed_runs import STEPS, reading

async def main():
    store = await open_store(sys.argv[1])
    async with Runtime(store=store, artifacts=artifacts_of(store.url)) as runtime:
        print("begins", flush=True)
        await runtime.run(compile(reading), {"n": STEPS}, run_id="r")
    print("ends", flush=True)

asyncio.run(main())
"""


async def goes_on(url: str) -> int | None:
    """What the run gives, and a look at all that its log names; None where it had not begun."""
    store = await open_store(url)
    artifacts = artifacts_of(store.url)
    assert artifacts is not None
    log = b"".join([row.data async for row in store.history("r")])
    names = {each.decode() for each in NAME.findall(log)}
    for name in names:
        artifacts.get(name)
    assert set(await store.referred(names)) == names
    try:
        async with Runtime(store=store, artifacts=artifacts) as runtime:
            return int((await runtime.resume(compile_workflow(reading), "r")).value)  # type: ignore[call-overload]
    except RunError as error:
        if error.code != "ORCH-R023":
            raise
        return None
    finally:
        await store.close()


@pytest.mark.slow
def test_a_killed_run_goes_on_and_has_every_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCH_ARTIFACTS", raising=False)
    expected = sum(len(f"{n} ") * 40_000 for n in range(STEPS))
    chance, killed = Random(3), 0
    for number in range(5):
        url = f"sqlite:///{tmp_path / f'{number}.db'}"
        process = subprocess.Popen([sys.executable, "-c", RUNS, url], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        sleep(chance.random() * 0.6)
        process.kill()
        killed += "ends" not in process.communicate()[0]
        assert asyncio.run(goes_on(url)) in (expected, None)
    assert killed
