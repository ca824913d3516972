"""One run of a program of the benchmark, through as many processes as it takes, and what has to hold of it.

What its ops did is held against what the log had when a process died: the name of an op stands in the log as soon as
its outcome does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.arms.effects import KILL, NOTES, Effects, read
from benchmarks.durability import programs
from benchmarks.durability.kills import judge
from orchestrator.compiler import Compiled
from orchestrator.errors import RunError, UnsettledError
from orchestrator.runtime.engines.scripted import ScriptedEngine
from orchestrator.runtime.journal.recorder import Recorder
from orchestrator.runtime.journal.replay import replay
from orchestrator.runtime.journal.stores.base import Store
from orchestrator.runtime.runner import Runner
from tests.runtime.durable.bank import settle
from tests.runtime.durable.dying import DyingStore, Fate, Memory, outlived

START = "start-00000000"
SIDE_BY_SIDE = Counter({"mapping": 5, "charging": 3, "racing": 2, "sleeping": 2})
"""So many ops of a program may be under way at once, where that is not one."""


async def at_once(seconds: float) -> None:
    await asyncio.sleep(0)


class Life:
    """One run, from one process to the next."""

    def __init__(self, compiled: Compiled, place: Any, effects: Path) -> None:
        self.compiled = compiled
        self.place = place
        self.effects = effects
        self.engine = ScriptedEngine(programs.reply)
        self.deaths = 0
        self.unsettled = 0
        """So often nobody knew whether a payment had happened."""
        self.written: set[str] = set()
        """Names of what the log had at the last death."""
        programs.World.effects = Effects(effects)

    def begun(self) -> list[str]:
        return [effect.op for effect in read(self.effects) if not effect.ended and effect.kind not in NOTES]

    async def lives(self, at: int, fate: Fate) -> tuple[Any, DyingStore]:
        """What the run gives in this process; None if that dies."""
        inner = await self.place.open()
        store = DyingStore(inner, at, fate)
        engine = ScriptedEngine(programs.reply)
        runtime = Runner({"main": engine}, store=store, human=programs.Answering(), sleep=at_once)  # type: ignore[arg-type]
        before = len(self.begun())
        try:
            value, _ = await asyncio.wait_for(outlived(store, self.place, self._goes_on(runtime)), 20)
        finally:
            self.engine.requests += engine.requests
            await runtime.close()
            self.deaths += store.died.is_set()
            if store.died.is_set() and programs.World.effects is not None:
                programs.World.effects.record("the process", KILL)
            assert self.written.isdisjoint(self.begun()[before:]), "what was written happens again"
            after = await self.place.open()
            self.written = await names(after)
            await self.spends_no_more(after)
            await after.close()
            with suppress(*self.place.errors):  # of one that is dead
                await inner.close()
        return value, store

    async def _goes_on(self, runtime: Runner) -> Any:
        """Begin the run, or go on with it, as somebody does who cannot know whether there is one."""
        while True:
            try:
                return (await runtime.run(self.compiled, {"start": START}, run_id="run", key="key")).value
            except OSError:
                continue
            except RunError as error:
                if error.code == "ORCH-R022":  # the store has not yet seen that its owner is dead
                    await asyncio.sleep(0.1)
                    continue
                if not isinstance(error, UnsettledError):
                    raise
                self.unsettled += 1
                await settle(runtime, self.compiled, "run", error, self.effects)

    async def spends_no_more(self, store: Store) -> None:
        """What is spent, and what calls without outcome may have, is within the budget."""
        program = self.compiled.program
        loaded = await store.load("run")
        if loaded is None or program.budget is None:
            return
        state = replay(program, Recorder(store, program, patience_s=1).read(loaded.rows))
        usages = [state.spending.usage, *(reserved.most for reserved in state.reserved.values())]
        assert sum(each.input_tokens + each.output_tokens for each in usages) <= program.budget.tokens


async def names(store: Store) -> set[str]:
    """Whatever is named in the log of the run, snapshots and all."""
    rows = [row.data.decode() async for row in store.history("run")]
    return set(programs.NAME.findall("".join(rows))) - {START}


async def undisturbed(compiled: Compiled, folder: Path) -> tuple[Any, set[str], int]:
    """What the run gives and does where nothing happens, and how often it writes."""
    life = Life(compiled, Memory(), folder / "undisturbed")
    value, store = await life.lives(-1, "fails")
    return value, {name for name in life.begun() if not name.startswith("race")}, store.writes


def holds(life: Life, name: str, wanted: set[str]) -> None:
    """What happened is what should have, and nothing more."""
    effects = list(read(life.effects))
    verdict = judge(effects, wanted)
    assert not verdict.lost
    assert not verdict.repeated
    assert verdict.in_flight <= life.deaths * (SIDE_BY_SIDE[name] or 1)
    assert max(Counter(life.begun()).values()) <= 1 + life.deaths
