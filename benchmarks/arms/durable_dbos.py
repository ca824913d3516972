"""DBOS: a committed row after every step, in SQLite; ``durable_dbos_postgresql.py`` is the same in PostgreSQL.

On SQLite it leaves SQLite's own defaults, a rollback journal synced at each commit; it runs here on a database in WAL
mode, which is faster and as durable. On PostgreSQL a commit is synced by the server's defaults. It has no DAG of its
own: W3 gathers layer by layer.
"""

# mypy: disable-error-code="import-not-found,import-untyped,misc,untyped-decorator"

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import sqlalchemy
from dbos import DBOS, SetWorkflowID

from benchmarks.arms import history
from benchmarks.arms.databases import in_wal_mode, scratch
from benchmarks.arms.victim import Program, Victim, serve_or_die
from benchmarks.arms.workloads import (
    LAYERS,
    LLM_S,
    TOOL_S,
    TURNS,
    Factory,
    Run,
    State,
    combine,
    join_sum,
    layered_dag,
    payload,
    sinks,
    step,
)

LOOP = asyncio.new_event_loop()


@DBOS.step()
async def node(state: State) -> State:
    """One step of the chain and of the fan-out."""
    return step(state)


@DBOS.step()
async def combined(*states: State) -> State:
    """A DAG node."""
    return combine(*states)


@DBOS.step()
async def joined(states: list[State]) -> State:
    """The join."""
    return join_sum(states)


@DBOS.step()
async def llm(state: State) -> State:
    """The 50 ms half of a turn."""
    await asyncio.sleep(LLM_S)
    return step(state)


@DBOS.step()
async def tool(state: State) -> State:
    """The 20 ms half of a turn."""
    await asyncio.sleep(TOOL_S)
    return step(state)


@DBOS.workflow()
async def chain(n: int) -> int:
    """W1."""
    state = payload(0)
    for _ in range(n):
        state = await node(state)
    return int(state["i"])


@DBOS.workflow()
async def fan(n: int) -> int:
    """W2."""
    return int((await joined(await asyncio.gather(*(node(payload(i)) for i in range(n)))))["i"])


@DBOS.workflow()
async def dag(n: int) -> int:
    """W3."""
    deps, values, width = layered_dag(n), dict[int, State](), max(1, n // LAYERS)
    for first in range(0, n, width):
        layer = range(first, min(first + width, n))
        results = await asyncio.gather(*(combined(*(values[p] for p in deps[k])) for k in layer))
        values.update(zip(layer, results, strict=True))
    return int(join_sum(values[k] for k in sinks(deps))["i"])


@DBOS.workflow()
async def agent() -> int:
    """W4's agent."""
    state = payload(0)
    for _ in range(TURNS):
        state = await tool(await llm(state))
    return int(state["i"])


def sqlite(folder: Path) -> str:
    """The URL of a database in that folder."""
    return f"sqlite:///{in_wal_mode(folder / 'dbos.db')}"


def _launch(url: str) -> None:
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR", "run_admin_server": False})
    DBOS.launch()


@cache
def _launch_once(url: Callable[[Path], str]) -> None:
    """Launch, and look at a connection of its own pool."""
    from dbos._dbos import _get_dbos_instance

    _launch(url(scratch()))
    with _get_dbos_instance()._sys_db.engine.connect() as connection:
        wanted: dict[str, object] = {"SHOW synchronous_commit": "on", "SHOW fsync": "on"}
        if connection.dialect.name == "sqlite":
            wanted = {"PRAGMA synchronous": 2, "PRAGMA journal_mode": "wal"}
        found = {query: connection.execute(sqlalchemy.text(query)).scalar() for query in wanted}
        if found != wanted:
            raise RuntimeError(f"commits are not synced: {found}")


async def _agents(n: int) -> int:
    handles = await asyncio.gather(*(DBOS.start_workflow_async(agent) for _ in range(n)))
    return sum(await asyncio.gather(*(handle.get_result() for handle in handles)))


def _crash_chain(url: str, victim: Victim, n: int) -> int:
    """The chain with a record of its effects; `DBOS.launch` goes on with what it finds."""

    @DBOS.step()
    def recorded(state: State) -> State:
        victim.step(state["i"])
        return step(state)

    @DBOS.workflow()
    def crashing(steps: int) -> int:
        state = payload(0)
        for _ in range(steps):
            state = recorded(state)
        return int(state["i"])

    _launch(url)
    with SetWorkflowID("run"):
        handle = DBOS.start_workflow(crashing, n)
    value = int(handle.get_result())
    DBOS.destroy()
    return value


def _history(url: str, n: int) -> int:
    """The conversation in the workflow's variables: a step's result is its new text."""

    @DBOS.step()
    def call(number: int) -> list[str]:
        return [history.asked(number), history.said(number)]

    @DBOS.workflow()
    def conversation(calls: int) -> int:
        return history.digest(text for number in range(calls) for text in call(number))

    _launch(url)
    value = int(conversation(n))
    DBOS.destroy()
    return value


WORKFLOWS: dict[str, Callable[[int], Any]] = {"W1": chain, "W2": fan, "W3": dag, "W4": _agents}


def main(arm: str, url: Callable[[Path], str]) -> None:
    """Serve, or die, on the database at ``url(FOLDER)``."""

    def factory(workflow: Callable[[int], Any]) -> Factory:
        def build(n: int) -> Run:
            _launch_once(url)
            return lambda: int(LOOP.run_until_complete(workflow(n)))

        return build

    cases = {case: factory(workflow) for case, workflow in WORKFLOWS.items()}
    found = {"dbos": version("dbos"), "sqlite": sqlite3.sqlite_version}
    programs: dict[str, Program] = {
        "chain": lambda victim, n: lambda: _crash_chain(url(victim.folder), victim, n),
        "history": lambda victim, n: lambda: _history(url(victim.folder), n),
    }
    serve_or_die(arm, found, cases, programs)
    os._exit(0)


if __name__ == "__main__":
    main("dbos-sqlite", sqlite)
