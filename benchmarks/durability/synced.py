"""Losing the power: what is killed goes on with the files of its SQLite as they were at their last sync.

`kill -9` leaves what the system has cached. A library that is loaded in front of libc
(``tests/runtime/journal/stores/sqlite/synced.c``) copies each file when it was synced, and writes into a list when
syncs of the write-ahead log begin and end; the coordinator writes between them what it appends, and what it has been
told to be durable.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from benchmarks.harness.process import ROOT
from orchestrator.runtime.journal.stores.base import Claim

SOURCE: Final = ROOT / "tests/runtime/journal/stores/sqlite/synced.c"
FILES: Final = ("runs.db", "runs.db-wal")
LIST: Final = "syncs"


def library(folder: Path) -> Path:
    """The library. Raises ``OSError`` and ``CalledProcessError`` where there is no compiler of C, or it fails."""
    made = folder / "synced.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", made, SOURCE, "-ldl"], check=True, capture_output=True)
    return made


class Noting:
    """A store that notes what is appended, and what of it is said to be durable."""

    def __init__(self, store: Any, folder: Path) -> None:
        self._store, self._list = store, (folder / LIST).open("ab", buffering=0)
        self._numbers = count(1)
        self._latest: dict[str, int] = {}
        """What was appended to a run last."""

    def __getattr__(self, name: str) -> Any:
        """Everything else is the store's own."""
        return getattr(self._store, name)

    def append(self, claim: Claim, data: bytes, **more: Any) -> None:
        """The store's, noted."""
        number = self._latest[claim.run_id] = next(self._numbers)
        self._list.write(f"asked {number}\n".encode())
        self._store.append(claim, data, **more)

    def barrier(self, run_id: str) -> Awaitable[None] | None:
        """The store's, noted."""
        waiting = self._store.barrier(run_id)
        return None if waiting is None else self._durable(waiting, self._latest[run_id])

    async def _durable(self, waiting: Awaitable[None], number: int) -> None:
        await waiting
        self._list.write(f"durable {number}\n".encode())


@dataclass
class Syncs:
    """Syncs of write-ahead logs that have ended, and what was acknowledged behind them."""

    syncs: int = 0
    acknowledged: int = 0
    unsynced: int = 0
    """What was acknowledged, and no sync had begun and ended since it was appended."""

    def count(self, lines: Iterable[str]) -> None:
        """Add what the list of one coordinator says."""
        asked: dict[str, int] = {}
        began = synced = -1  # the beginning of the latest sync that has ended
        for place, line in enumerate(lines):
            what, _, number = line.partition(" ")
            match what:
                case "asked":
                    asked[number] = place
                case "b":
                    began = place
                case "e":
                    self.syncs += 1
                    synced = began
                case "durable":
                    self.acknowledged += 1
                    self.unsynced += synced < asked[number]

    def read(self, folder: Path) -> None:
        """Add what was noted in a folder; the last line may be half written."""
        with suppress(FileNotFoundError):
            self.count((folder / LIST).read_text(encoding="ascii").rpartition("\n")[0].splitlines())


def put(files: Path, into: Path) -> None:
    """Copy a database with its log, as far as they are there."""
    into.mkdir()
    for name in FILES:
        with suppress(FileNotFoundError):
            shutil.copyfile(files / name, into / name)
