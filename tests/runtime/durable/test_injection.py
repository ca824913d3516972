"""A run outlives its process, and failures of its store, at every single write, and nothing that is written happens
again.

The programs are those of the benchmark, smaller: loops, maps, races, branches, attempts, chats, questions, timers,
budgets, and payments with and without keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.durability import programs
from orchestrator import llm, loop, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import BudgetError
from orchestrator.runtime.journal import recorder
from tests.postgresql import Server
from tests.runtime.durable.dying import Fate, Memory
from tests.runtime.durable.life import Life, holds, undisturbed
from tests.runtime.journal.stores.postgresql.test_store import Schema
from tests.runtime.journal.stores.test_sqlite import File

FATES: tuple[Fate, ...] = ("dies before", "dies behind", "fails")
DEATHS = FATES[:2]
NAMES = tuple(name for name in programs.PROGRAMS if name not in {"working", "scraping"})
"""Without tools in processes of their own, which do not die with a store, and without a budget that deaths exhaust."""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(programs, "BUSY_S", 0)
    monkeypatch.setattr(programs, "TURNS", 4)
    monkeypatch.setattr(programs, "ITEMS", 3)
    yield
    programs.World.effects = None


@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("name", NAMES)
async def test_a_run_outlives_what_happens_at_any_write(name: str, fate: Fate, tmp_path: Path) -> None:
    compiled = compile_workflow(programs.PROGRAMS[name])
    value, wanted, writes = await undisturbed(compiled, tmp_path)
    unsettled = 0
    for at in range(writes):
        life = Life(compiled, Memory(), tmp_path / str(at))
        found, store = await life.lives(at, fate)
        if store.died.is_set():
            found, _ = await life.lives(-1, fate)
        assert found == value
        holds(life, name, wanted)
        unsettled += life.unsettled
    assert (unsettled > 0) == (name == "paying" and fate in DEATHS)


@pytest.mark.parametrize("fate", DEATHS)
@pytest.mark.parametrize("name", NAMES)
async def test_a_run_outlives_the_deaths_of_whoever_takes_it_over(
    name: str, fate: Fate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process does a few writes and dies; most of the programs come to snapshots."""
    monkeypatch.setattr(recorder, "SNAPSHOT_BYTES", 100)
    monkeypatch.setattr(programs, "TURNS", 8)
    compiled = compile_workflow(programs.PROGRAMS[name])
    value, wanted, writes = await undisturbed(compiled, tmp_path)
    for at in range(1, 5):
        life = Life(compiled, Memory(), tmp_path / str(at))
        for _ in range(4 * writes):
            found, store = await life.lives(at, fate)
            if not store.died.is_set():
                break
        else:
            found, _ = await life.lives(-1, fate)
        assert found == value
        holds(life, name, wanted)


async def test_no_death_makes_a_run_spend_more_than_its_budget(tmp_path: Path) -> None:
    """A call that was under way is paid for at its worst, so the run may end for want of a budget."""

    @workflow(budget="100 tokens")
    def spending(start: str) -> str:
        return loop(lambda s: programs.write("spent", llm(f"Spend on {s}", max_tokens=20)), start, max=3)

    compiled = compile_workflow(spending)
    value, _, writes = await undisturbed(compiled, tmp_path)
    ends: set[str] = set()
    for at in range(writes):
        for then in range(6):
            life = Life(compiled, Memory(), tmp_path / f"{at}.{then}")
            try:
                for after in (at, then, then, then, -1):
                    found, store = await life.lives(after, "dies before")
                    if not store.died.is_set():
                        break
                assert found == value
                ends.add("done")
            except BudgetError:
                ends.add("no budget")
            asked = life.engine.requests
            assert sum(life.engine.count_prompt(each.messages) + 20 for each in asked) <= 100 + 20 * 3
    assert ends == {"done", "no budget"}


@pytest.mark.parametrize("fate", DEATHS)
@pytest.mark.parametrize("name", NAMES)
async def test_a_run_in_a_file_outlives_the_death_of_its_process(name: str, fate: Fate, tmp_path: Path) -> None:
    compiled = compile_workflow(programs.PROGRAMS[name])
    value, wanted, writes = await undisturbed(compiled, tmp_path)
    for at in range(0, writes, 5):
        life = Life(compiled, File(tmp_path / f"{at}.db"), tmp_path / str(at))
        found, store = await life.lives(at, fate)
        if store.died.is_set():
            found, _ = await life.lives(-1, fate)
        assert found == value
        holds(life, name, wanted)


@pytest.mark.parametrize("name", NAMES)
async def test_a_run_in_a_postgresql_outlives_the_death_of_its_process(
    name: str, tmp_path: Path, postgresql: Server
) -> None:
    compiled = compile_workflow(programs.PROGRAMS[name])
    value, wanted, writes = await undisturbed(compiled, tmp_path)
    for fate in DEATHS:
        at = writes // 2
        place = Schema(postgresql, f"{postgresql.url}?schema=injected_{name}_{fate[-6:]}")
        life = Life(compiled, place, tmp_path / fate)
        found, store = await life.lives(at, fate)
        if store.died.is_set():
            found, _ = await life.lives(-1, fate)
        assert found == value
        holds(life, name, wanted)
