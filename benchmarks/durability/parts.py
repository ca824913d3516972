"""What a run that is killed is made of: coordinators, an engine, and a person who answers and is never killed.

Each is a process of its own, forked from one that has imported and compiled everything (:mod:`.nursery`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import time
from types import MappingProxyType
from typing import Any, Final, cast

from benchmarks.arms.effects import Effects
from benchmarks.durability import endpoint, synced
from benchmarks.durability.programs import PLACE, PROGRAMS, World, answered, done_at, start_of
from benchmarks.durability.vllm import Told
from orchestrator import llm, workflow
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import OrchError, RunError
from orchestrator.event_loop import run
from orchestrator.runtime.coordinator import notices
from orchestrator.runtime.coordinator.coordinator import Coordinator
from orchestrator.runtime.engines.base import Engine
from orchestrator.runtime.engines.openai import OpenAIEngine, OpenAIOptions
from orchestrator.runtime.journal.events import RunStarted
from orchestrator.runtime.journal.recorder import Recorder
from orchestrator.runtime.journal.stores.base import LEASE_S, LETHAL, Head, NewRun, Store
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.journal.stores.sqlite import store as sqlite
from orchestrator.runtime.runner import Runner

SHORT_SLEEP_S: Final = 0.015
"""Longer sleeps of a run are waited for in the store."""
OFTEN_BYTES: Final = 200_000
"""So much is written between two checkpoints of SQLite where syncs are kept: then some are amid one."""
LOOK_S: Final = 0.02
"""How often the person looks."""
EFFECTS, RESULTS = "effects", "results"
"""In the folder of a play: what was done, and what the runs have come to."""


def compiled() -> dict[str, Compiled]:
    """All programs, ready to be executed; whatever is imported late was imported."""
    run(_refused())
    return {name: compile_workflow(flow) for name, flow in PROGRAMS.items()}


async def _refused() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        async with Runner({"main": _engine(free.getsockname()[1])}) as runtime:
            with suppress(OrchError):
                await runtime.run(compile_workflow(_asks), {})


@workflow
def _asks() -> str:
    return llm("Is anybody there?")


@dataclass(frozen=True)
class Part:
    """What a process is to be in a play."""

    name: str
    """``coordinator``, ``engine`` or ``person``."""
    folder: str
    """The folder of the play."""
    url: str
    """The store."""
    port: int
    """Where the engine listens."""
    programs: tuple[str, ...] = ()
    """What the person begins."""
    synced: str = ""
    """The folder for what is on the disk for sure, where that is kept."""
    model: str = ""
    """What the engine calls its model, where it is a real one."""


def play(part: Part, programs: Mapping[str, Compiled]) -> None:
    """Be that part, until the process is killed, or all runs are over."""
    logging.basicConfig(level=logging.WARNING, format=f"%(asctime)s {part.name} {os.getpid()} %(message)s")
    folder = Path(part.folder)
    effects = Effects(folder / EFFECTS)
    if part.synced:
        os.environ |= {"SYNCED": part.synced, "SYNCS": synced.LIST if part.name == "coordinator" else part.name}
    match part.name:
        case "engine":
            run(endpoint.serve(effects, part.port))
        case "coordinator":
            World.effects = effects
            os.environ[PLACE] = str(folder / EFFECTS)
            if part.synced:
                vars(sqlite)["CHECKPOINT_BYTES"] = OFTEN_BYTES
            run(_coordinate(programs, effects, part))
        case _:
            run(_Person(programs, folder, part.programs).attend(part.url))


async def _coordinate(programs: Mapping[str, Compiled], effects: Effects, part: Part) -> None:
    effects.record("coordinator", "ready")
    store = await _opened(part.url)
    if part.synced:
        store = cast("Store", synced.Noting(store, Path(part.synced)))
    engine: Engine = _engine(part.port, body={"user": str(os.getpid())})
    if part.model:
        engine = cast(
            "Engine", Told(_engine(part.port, part.model, {"temperature": 0, "max_tokens": 16}), effects, part.port)
        )
    async with Runner({"main": engine}, store=store, longest_sleep_s=SHORT_SLEEP_S) as runtime:
        await Coordinator(runtime, programs.values()).run()


def _engine(port: int, model: str = "scripted", body: Mapping[str, Any] = MappingProxyType({})) -> OpenAIEngine:
    options = OpenAIOptions(f"http://127.0.0.1:{port}/v1", extra_body=dict(body), kv_hints=False)
    return OpenAIEngine("main", model, options)


async def _opened(url: str) -> Store:
    """The store, as whoever supervises processes would have it that starts them again: in the end."""
    while True:
        try:
            return await open_store(url)
        except OrchError as error:
            logging.warning("%s", error.message)
            await asyncio.sleep(LOOK_S)


class _Person:
    """Begins runs, answers what they ask, says what has become of payments, and looks at what they give."""

    def __init__(self, programs: Mapping[str, Compiled], folder: Path, names: Sequence[str]) -> None:
        self._programs, self._folder, self._names = programs, folder, names
        self._play = folder.name
        self._found: dict[str, dict[str, Any]] = {}

    async def attend(self, url: str) -> None:
        """Do so until all runs are over."""
        store = await _opened(url)
        for name in self._names:
            await self._insist(partial(self._begin, store, name))
        async with Runner({}, store=store) as runtime:
            while len(self._found) < len(self._names):
                for name in self._names:
                    if name not in self._found:
                        await self._insist(partial(self._look, runtime, store, name))
                await asyncio.sleep(LOOK_S)
        part = self._folder / f".{RESULTS}"
        part.write_text(json.dumps(self._found), encoding="utf-8")
        part.rename(self._folder / RESULTS)

    async def _insist(self, what: Callable[[], Awaitable[None]]) -> None:
        """Do it, as often as the store fails."""
        while True:
            try:
                await what()
                return
            except Exception as error:  # noqa: BLE001 - the database is killed, too
                logging.warning("%s: %s", type(error).__name__, error)
                await asyncio.sleep(LOOK_S)

    async def _begin(self, store: Store, name: str) -> None:
        program = self._programs[name].program
        started = RunStarted(self._id(name), name, program.fingerprint, (start_of(name),), time())
        data, _ = await Recorder(store, program, patience_s=LEASE_S).first(started)  # no value of theirs is large
        with suppress(KeyError):  # it is there, and the answer was lost
            await store.create(NewRun(self._id(name), name, program.fingerprint), data)

    def _id(self, name: str) -> str:
        return f"{self._play}-{name}"

    async def _look(self, runtime: Runner, store: Store, name: str) -> None:
        loaded = await store.load(self._id(name))
        assert loaded is not None
        head = loaded.head
        match head.status:
            case "done":
                result = await runtime.resume(self._programs[name], head.run_id)
                used = result.usage.input_tokens + result.usage.output_tokens
                self._found[name] = {"value": result.value, "tokens": used}
            case "failed" | "cancelled":
                self._found[name] = {"failed": head.why}
            case "waiting":
                await self._answer(store, head)
            case "suspended":
                await self._settle(store, head)

    async def _answer(self, store: Store, head: Head) -> None:
        for question in await notices.questions(store, head.run_id):
            with suppress(RunError):  # it was answered meanwhile
                await notices.answer(store, head.run_id, question.path, answered(question.text))

    async def _settle(self, store: Store, head: Head) -> None:
        if head.why == LETHAL:  # it was killed that often before anything came of it
            await notices.resume(store, head.run_id)
            return
        match = re.match(r"ORCH-R020: .*?`([^`]+)`", head.why or "")
        if match is None:
            raise RuntimeError(f"{head.run_id} is suspended: {head.why}")
        given = done_at(match[1], self._folder / EFFECTS)
        await notices.settle(store, head.run_id, match[1], result=given, did_not_happen=given is None)
