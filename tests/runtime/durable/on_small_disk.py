"""A run on a disk that becomes full amid it, in a process of its own: `python -m … FOLDER DID`.

`FOLDER` is a small disk where it is one (`SMALL_DISK`); else the process may not make its files larger, so that every
write fails that would.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
from pathlib import Path

from orchestrator.errors import JournalError
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.runner import Runner
from tests.runtime.durable.chain import begun_step, chaining, mark


class Said(logging.Handler):
    """What the runtime warns of."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())

    async def heard(self, text: str) -> None:
        async with asyncio.timeout(120):
            while not any(text in each for each in self.texts):
                await asyncio.sleep(0.01)


def fill(folder: Path) -> None:
    """Leave nothing of the disk."""
    if "SMALL_DISK" not in os.environ:
        resource.setrlimit(resource.RLIMIT_FSIZE, ((folder / "runs.db-wal").stat().st_size, resource.RLIM_INFINITY))
        return
    try:
        with (folder / "filled").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(512))
    except OSError:
        pass


def free(folder: Path) -> None:
    if "SMALL_DISK" in os.environ:
        (folder / "filled").unlink()
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


async def main(folder: Path, did: Path) -> None:
    said = Said()
    logging.getLogger("orchestrator").addHandler(said)
    os.environ |= {"CHAIN_DID": str(did), "CHAIN_WAITS": "2"}
    store = await open_store(str(folder / "runs.db"))
    async with Runner(store=store) as runner:
        work = asyncio.create_task(runner.run(chaining(), {"text": "r"}, run_id="r"))
        await begun_step(did, mark("r", 2).strip())
        fill(folder)
        did.with_name("go on").touch()
        await said.heard("run r waits for its store")
        try:
            await runner.run(chaining(), {"text": "s"}, run_id="s")
            refused = ""
        except JournalError as error:
            refused = str(error)
        before, shown = did.read_text(), [head.run_id for head in await store.heads()]
        free(folder)
        value = (await work).value
    await store.close()
    print(json.dumps({"refused": refused, "before": before, "shown": shown, "value": value, "said": said.texts}))


if __name__ == "__main__":
    asyncio.run(main(*map(Path, sys.argv[1:])))
