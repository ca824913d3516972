"""A process that owns runs, told what to do on its standard input: each line is answered by one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from orchestrator.runtime.journal.stores.base import Claim, FencedError
from orchestrator.runtime.journal.stores.postgresql.store import PostgresqlStore
from tests.runtime.journal.stores.keeping import created, durable

ROOT: Final = Path(__file__).parents[5]


async def answer(store: PostgresqlStore, name: str, claims: dict[str, Claim], line: str) -> str:
    """Do what a line says."""
    match line.split():
        case ["create", run_id, lease_s]:
            claims[run_id] = await created(store, run_id, owner=name, lease_s=float(lease_s))
            return "created"
        case ["append", run_id, text]:
            store.append(claims[run_id], text.encode())
            try:
                await durable(store, run_id)
            except FencedError:
                return "fenced"
            return "durable"
        case ["claim", "everything"]:
            found: list[str] = []
            while got := await store.claim(name, limit=7):
                found += [claim.run_id for claim, _ in got]
            return " ".join(found)
    raise ValueError(line)


async def main(url: str, name: str) -> None:
    store = await PostgresqlStore.open(url)
    print("open", flush=True)
    claims: dict[str, Claim] = {}
    while line := await asyncio.to_thread(sys.stdin.readline):
        print(await answer(store, name, claims, line), flush=True)
    await store.close()


class Owner:
    """Such a process, seen from the test."""

    def __init__(self, url: str, name: str) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.runtime.journal.stores.postgresql.owner", url, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )

    async def started(self) -> None:
        assert await self.said() == "open"

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    async def said(self) -> str:
        assert self._process.stdout is not None
        line = await asyncio.to_thread(self._process.stdout.readline)
        return line.removesuffix("\n")

    async def does(self, line: str) -> str:
        self.tell(line)
        return await self.said()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
