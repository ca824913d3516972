"""Plays: all programs at once, in one store, with everything that executes them, each part a process of its own.

Two coordinators share the runs, an engine answers over HTTP, worker processes have the tools that want one, and a
person begins the runs and answers them (:mod:`.parts`). What is killed is started again at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.arms.effects import KILL, Effects
from benchmarks.durability import synced
from benchmarks.durability.kills import VictimError
from benchmarks.durability.nursery import Nursery
from benchmarks.durability.parts import EFFECTS, RESULTS, Part
from benchmarks.durability.programs import working
from benchmarks.durability.vllm import NAME_OF_MODEL, Vllm
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.journal.stores.sqlite.store import SqliteStore
from tests.ports import lasting_port
from tests.postgresql import Server

KINDS: Final = {"coordinator": 4, "coordinators": 2, "engine": 3, "worker": 2, "postmaster": 1, "backend": 2}
"""What is killed, and how often; ``coordinators`` is all of them at once."""
OF_DATABASE: Final = ("postmaster", "backend")


@dataclass(frozen=True)
class Store:
    """Where runs are kept, and the server of it where it is a process that can be killed."""

    server: Server | None = None

    def url(self, folder: Path) -> str:
        """The store of a play."""
        return f"sqlite:///{folder / 'runs.db'}" if self.server is None else self.server.url


class Play:
    """The processes of one play."""

    coordinators_at_once = 2
    kinds: Mapping[str, int] = KINDS
    life_s = 120.0
    """One that has not come to its end by then has failed."""

    def __init__(self, nursery: Nursery, store: Store, folder: Path, programs: Sequence[str], rng: random.Random):
        folder.mkdir(parents=True)
        self._nursery, self._store, self._folder, self._rng = nursery, store, folder, rng
        self._url, self._port = self._prepared(), self._free_port()
        self._noted = Effects(folder / EFFECTS)
        self.kills: Counter[str] = Counter()
        self._programs = tuple(programs)
        self._engine = self._start("engine")
        self._person = self._start("person")
        self.coordinators = [self._start("coordinator") for _ in range(self.coordinators_at_once)]

    def _prepared(self) -> str:
        """The URL of the store."""
        return self._store.url(self._folder)

    def _free_port(self) -> int:
        """Where the engine is to listen."""
        return lasting_port()

    def _start(self, part: str) -> int:
        return self._nursery.start(Part(part, str(self._folder), self._url, self._port, self._programs))

    @property
    def synced(self) -> Sequence[Path]:
        """The folders with lists of syncs."""
        return ()

    def results(self) -> dict[str, Any] | None:
        """What the runs have come to, when all are over. Raises VictimError where a process has ended by itself."""
        path = self._folder / RESULTS
        if path.exists():
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return found
        gone = [pid for pid in (self._engine, self._person, *self.coordinators) if not _is_alive(pid)]
        if gone and not path.exists():
            raise VictimError(f"process {gone[0]} of {self._folder} has ended by itself: {self._last_words()}")
        return None

    def unfinished(self) -> str:
        """The runs that are not over, and what they wait for."""
        return asyncio.run(_unfinished(self._url, self._folder.name)) or "nothing in its store"

    def _last_words(self) -> str:
        lines = (self._folder / "stderr").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "no message"

    def kill(self) -> None:
        """Kill something, and start it again."""
        there = dict(self.kinds)
        if working.name not in self._programs:
            there.pop("worker", None)
        for kind in OF_DATABASE if self._store.server is None else ():
            there.pop(kind, None)
        (kind,) = self._rng.choices(list(there), list(there.values()))
        match kind:
            case "coordinator":
                which = self._rng.randrange(len(self.coordinators))
                self._end(kind, [self.coordinators[which]])
                self.coordinators[which] = self._start(kind)
            case "coordinators":
                self._end(kind, self.coordinators)
                self.coordinators = [self._start("coordinator") for _ in self.coordinators]
            case "engine":
                self._end(kind, [self._engine])
                self._engine = self._start(kind)
            case "worker":
                workers = [child for pid in self.coordinators for child in children(pid)]
                if not workers:
                    return
                self._end(kind, [self._rng.choice(workers)])
            case _:
                self._kill_database(kind)
        self.kills[kind] += 1

    def _kill_database(self, kind: str) -> None:
        assert self._store.server is not None
        if kind == "postmaster":
            self._noted.record(kind, KILL)
            self._store.server.kill()
            self._noted.record(kind, KILL)
            self._store.server.start()
        elif backends := self._store.server.backends():
            self._end(kind, [self._rng.choice(backends)])

    def _end(self, kind: str, pids: Sequence[int]) -> None:
        """Kill processes; noted before, as others may act at once, and after, as they may act till then."""
        for pid in pids:
            self._noted.record(f"{kind} {pid}", KILL)
        for pid in pids:
            _kill_group(pid)
        for pid in pids:
            while _is_alive(pid):
                time.sleep(0.0002)
                _kill_group(pid)  # one that was only just forked had no group of its own yet
            self._noted.record(f"{kind} {pid} gone", KILL)

    def stop(self, pid: int) -> None:
        """Have a coordinator say nothing any more."""
        self._noted.record(f"silent {pid}", KILL)
        os.kill(pid, signal.SIGSTOP)

    def go_on(self, pid: int) -> None:
        """Let it go on where it was."""
        os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        """End everything."""
        for pid in self._ending:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._noted.close()

    @property
    def _ending(self) -> Sequence[int]:
        """What ends with the play."""
        return (self._engine, self._person, *self.coordinators)


class PowerCuts(Play):
    """One coordinator and a SQLite: what is killed, with everything else that has the file open, goes on with the file
    as it was at its last sync. The nursery has to have :func:`synced.library` in front of libc.
    """

    coordinators_at_once = 1

    def _prepared(self) -> str:
        self._cuts = 0
        empty = self._beside("empty")
        empty.mkdir()
        asyncio.run(_make(empty / synced.FILES[0]))
        return self._restored(empty)

    def _beside(self, name: str) -> Path:
        return self._folder.with_name(f"{self._folder.name}-{name}")

    def _restored(self, files: Path) -> str:
        """The URL of a copy of the store, which is what is on the disk for sure."""
        place = self._beside(f"disk{self._cuts}")
        synced.put(files, place)
        synced.put(files, place / "synced")
        return f"sqlite:///{place / synced.FILES[0]}"

    def _start(self, part: str) -> int:
        return self._nursery.start(
            Part(part, str(self._folder), self._url, self._port, self._programs, str(self.synced[-1]))
        )  # fmt: skip

    def kill(self) -> None:
        """Lose the power of all but the engine."""
        self._end("power", [*self.coordinators, self._person])
        if not (self._folder / RESULTS).exists():
            self._cuts += 1
            self._url = self._restored(self._beside(f"disk{self._cuts - 1}") / "synced")
            self._person, self.coordinators = self._start("person"), [self._start("coordinator")]
        self.kills["power"] += 1

    @property
    def synced(self) -> Sequence[Path]:
        """The folders with the lists of syncs."""
        return [self._beside(f"disk{cut}") / "synced" for cut in range(self._cuts + 1)]


class OnVllm(Play):
    """A play whose engine is a vLLM, which all plays share, and which takes a minute to start again."""

    kinds: Mapping[str, int] = {"engine": 3, "coordinator": 1, "coordinators": 1}
    life_s = 1800.0

    def __init__(self, vllm: Vllm, *of_play: Any) -> None:
        self._vllm = vllm
        super().__init__(*of_play)

    def _free_port(self) -> int:
        return self._vllm.port

    def _start(self, part: str) -> int:
        if part == "engine":
            return self._vllm.start()
        return self._nursery.start(
            Part(part, str(self._folder), self._url, self._port, self._programs, model=NAME_OF_MODEL)
        )  # fmt: skip

    @property
    def _ending(self) -> Sequence[int]:
        return (self._person, *self.coordinators)


async def _unfinished(url: str, play: str) -> str:
    store = await open_store(url)
    heads = [head for head in await store.heads(limit=200) if head.run_id.startswith(f"{play}-")]
    await store.close()
    return "; ".join(f"{head.run_id} is {head.status} ({head.why})" for head in heads if head.status != "done")


async def _make(path: Path) -> None:
    await (await SqliteStore.open(path)).close()


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    with suppress(OSError):
        return [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text(encoding="ascii").split()
        ]
    return []


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _is_alive(pid: int) -> bool:
    """Whether any thread of a process is: while one is, what it has open is open, a port say."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return any(map(_is_running, Path(f"/proc/{pid}/task").iterdir()))
    return False


def _is_running(thread: Path) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return (thread / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] not in ("Z", "X")
    return False
