"""What processes do that the tests kill, stop, and take the disk from. Each line that one says is an answer."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from orchestrator.runtime.journal.stores.base import Change, Claim, FencedError, NewRun
from orchestrator.runtime.journal.stores.sqlite import store as sqlite_store
from orchestrator.runtime.journal.stores.sqlite.store import SqliteStore


def say(text: str) -> None:
    print(text, flush=True)


async def heard() -> str:
    return (await asyncio.to_thread(sys.stdin.readline)).strip()


def note(text: str) -> None:
    """Write a line between those that the disk writes."""
    synced = os.environ.get("SYNCED")
    if synced:
        with Path(synced, "syncs").open("a") as lines:
            lines.write(text + "\n")
    else:
        say(text)


async def appends(store: SqliteStore) -> None:
    """Append numbers to three runs, for ever, and note each that is durable."""

    async def run(name: str) -> None:
        head = await store.create(NewRun(name, "w", "v"), b"0;", owner=name)
        claim = Claim(name, head.epoch)
        note(f"durable {name} 0")
        number = 0
        while True:
            number += 1
            note(f"asked {name} {number}")
            store.append(claim, b"%d;" % number * (number % 7 + 1))
            if number % 20 == 0:
                store.snapshot(claim, b"S%d;" % number)
            waiting = store.barrier(name)
            if waiting is not None:
                await waiting
            note(f"durable {name} {number}")
            if number == 5:
                say("writes")

    await asyncio.gather(*(run(name) for name in "abc"))


async def is_paused(store: SqliteStore) -> None:
    """Append when it is told to, with a claim that may be lost by then."""
    head = await store.create(NewRun("r", "w", "v"), b"first;", owner="paused", lease_s=0.2)
    claim = Claim("r", head.epoch)
    store.append(claim, b"on its way;")
    say("has claimed")
    while await heard():
        store.append(claim, b"late;", change=Change(status="done"))
        try:
            waiting = store.barrier("r")
            if waiting is not None:
                await waiting
            say("durable")
        except FencedError:
            say("fenced")


async def claims_all(store: SqliteStore) -> None:
    """Claim what there is, and say what it was."""
    say("waits")
    await heard()
    while found := await store.claim(f"{os.getpid()}", limit=7):
        for claim, _ in found:
            say(claim.run_id)
            store.append(claim, b"claimed;", change=Change(status="done"))
        for claim, _ in found:
            waiting = store.barrier(claim.run_id)
            if waiting is not None:
                await waiting


async def obeys(store: SqliteStore) -> None:
    """Append each line that it is told to a run that it makes for the first, and say what came of it."""
    claim: Claim | None = None
    say("listens")
    while line := await heard():
        try:
            if claim is None:
                head = await store.create(NewRun("r", "w", "v"), line.encode() + b";", owner="obeys")
                claim = Claim("r", head.epoch)
            else:
                store.append(claim, line.encode() + b";")
                waiting = store.barrier("r")
                if waiting is not None:
                    await waiting
            say("durable")
        except Exception as error:  # noqa: BLE001 - said
            say(f"{type(error).__name__}: {error}")


async def main(what: str, file: str) -> None:
    sqlite_store.CHECKPOINT_BYTES = 200_000  # often enough to be amid one
    store = await SqliteStore.open(Path(file))
    await globals()[what](store)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
