"""A process with five runs in one file, to be killed: it begins them, or goes on with them, until it is left alone."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.arms.effects import Effects
from benchmarks.durability import programs
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import UnsettledError
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.runner import Runner
from tests.runtime.durable.bank import settle

NAMES = ("mapping", "catching", "chatting", "paying", "charging")


async def main(folder: Path) -> None:
    compiled = {name: compile_workflow(programs.PROGRAMS[name]) for name in NAMES}
    programs.World.effects = Effects(folder / "effects")
    print(json.dumps({"ready": time.monotonic()}), flush=True)
    store = await open_store(f"sqlite:///{folder / 'runs.db'}")
    async with Runner({"main": ScriptedEngine(programs.reply)}, store=store, human=programs.Answering()) as runtime:
        values = await asyncio.gather(*(play(runtime, *each, folder) for each in compiled.items()))
    await store.close()
    print(json.dumps({"value": values}), flush=True)


async def play(runtime: Runner, name: str, compiled: Compiled, folder: Path) -> Any:
    start = f"start-{NAMES.index(name):08x}"
    while True:
        try:
            return (await runtime.run(compiled, {"start": start}, run_id=name, key=name)).value
        except UnsettledError as error:
            await settle(runtime, compiled, name, error, folder / "effects")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
