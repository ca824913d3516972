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
from orchestrator.runtime.runner import Runner

STEPS = 40
NAME = re.compile(rb"\d{8}-[0-9a-f]{64}")


@tool(effects="reads")
async def page(n: int) -> str:
    return f"{n} " * 40_000


@tool(effects="idempotent")
async def size(text: str) -> int:
    return len(text)


@workflow(max_iterations=STEPS)
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
from orchestrator.runtime.runner import Runner
from tests.runtime.journal.artifacts.test_killed_runs import STEPS, reading

async def main():
    store = await open_store(sys.argv[1])
    compiled = compile(reading)
    async with Runner(store=store, artifacts=artifacts_of(store.url)) as runtime:
        print("begins", flush=True)
        await runtime.run(compiled, {"n": STEPS}, run_id="r")
    print("ends", flush=True)

asyncio.run(main())
"""


async def goes_on(url: str) -> tuple[int | None, int]:
    """What the run gives, and how many artifacts its log named, each of which is there; None where it had not begun."""
    store = await open_store(url)
    artifacts = artifacts_of(store.url)
    assert artifacts is not None
    log = b"".join([row.data async for row in store.history("r")])
    names = {each.decode() for each in NAME.findall(log)}
    for name in names:
        artifacts.get(name)
    assert set(await store.referred(names)) == names
    try:
        async with Runner(store=store, artifacts=artifacts) as runtime:
            return (await runtime.resume(compile_workflow(reading), "r")).value, len(names)  # type: ignore[return-value]
    except RunError as error:
        if error.code != "ORCH-R023":
            raise
        return None, len(names)
    finally:
        await store.close()


@pytest.mark.slow
def test_a_killed_run_goes_on_and_has_every_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCH_ARTIFACTS", raising=False)
    expected = sum(len(f"{n} ") * 40_000 for n in range(STEPS))
    chance, amid = Random(3), 0
    for number in range(5):
        url = f"sqlite:///{tmp_path / f'{number}.db'}"
        process = subprocess.Popen([sys.executable, "-c", RUNS, url], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        sleep(chance.random())
        process.kill()
        is_killed = "ends" not in process.communicate()[0]
        value, kept = asyncio.run(goes_on(url))
        assert value in (expected, None)
        amid += is_killed and 0 < kept < STEPS
    assert amid, "no process was killed amid its run"
