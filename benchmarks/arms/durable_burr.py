"""Burr with its SQLite persister: a commit after every action.

The persister opens the database with SQLite's own defaults: a rollback journal, synced at each commit. It runs here on
a database that is in WAL mode, which is faster and as durable. The chain is a cycle of one action, the fan-out
`MapStates` over asynchronous sub-applications that share the persister. It has no DAG, so no W3.
"""

# mypy: disable-error-code="import-not-found,import-untyped,misc,untyped-decorator,no-any-unimported"

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from importlib.metadata import version
from itertools import count
from typing import Any

from burr.core import ApplicationBuilder, State, action, default, expr
from burr.core.parallelism import MapStates
from burr.core.persistence import SQLitePersister
from burr.integrations.persisters.b_aiosqlite import AsyncSQLitePersister

from benchmarks.arms import history
from benchmarks.arms.databases import in_wal_mode, scratch
from benchmarks.arms.victim import Victim, serve_or_die
from benchmarks.arms.workloads import LLM_S, TOOL_S, TURNS, Factory, Run, join_sum, payload, step

KEYS = ["i", "role", "pad"]
LOOP = asyncio.new_event_loop()


@action(reads=KEYS, writes=KEYS)
async def node(state: State) -> State:
    """One step of the chain and of the fan-out."""
    return state.update(**step(state))


@action(reads=KEYS, writes=KEYS)
async def llm(state: State) -> State:
    """The 50 ms half of a turn."""
    await asyncio.sleep(LLM_S)
    return state.update(**step(state))


@action(reads=KEYS, writes=KEYS)
async def tool(state: State) -> State:
    """The 20 ms half of a turn."""
    await asyncio.sleep(TOOL_S)
    return state.update(**step(state))


@action(reads=[], writes=KEYS)
async def end(state: State) -> State:
    """Where an application halts."""
    return state


class Fan(MapStates):
    """Source, n asynchronous sub-applications, join."""

    n = 0

    def is_async(self) -> bool:
        """Sub-applications are tasks of the event loop."""
        return True

    def action(self, state: Any, inputs: Any) -> Any:
        """What every branch runs."""
        return node

    def states(self, state: Any, context: Any, inputs: Any) -> Iterable[Any]:
        """One state a branch."""
        for i in range(Fan.n):
            yield state.update(**payload(i))

    async def reduce(self, state: Any, states: Any) -> Any:
        """The join."""
        return state.update(**join_sum([each async for each in states]))

    @property
    def reads(self) -> list[str]:
        """Nothing."""
        return []

    @property
    def writes(self) -> list[str]:
        """The whole state."""
        return KEYS


async def _application(builder: Any, entrypoint: str, persister: Any, app_id: str) -> int:
    builder = builder.with_entrypoint(entrypoint).with_state(**payload(0))
    builder = builder.with_identifiers(app_id=app_id, partition_key="bench").with_state_persister(persister)
    app = await builder.abuild()
    return int((await app.arun(halt_after=["end"]))[2]["i"])


async def chain(persister: Any, run_id: str, n: int) -> int:
    """W1."""
    builder = ApplicationBuilder().with_actions(node=node, end=end)
    builder = builder.with_transitions(("node", "node", expr(f"i < {n}")), ("node", "end", default))
    return await _application(builder, "node", persister, run_id)


async def fan(persister: Any, run_id: str, n: int) -> int:
    """W2."""
    Fan.n = n
    builder = ApplicationBuilder().with_actions(fan=Fan(), end=end).with_transitions(("fan", "end"))
    return await _application(builder, "fan", persister, run_id)


async def loops(persister: Any, run_id: str, n: int) -> int:
    """W4."""

    async def agent(number: int) -> int:
        builder = ApplicationBuilder().with_actions(llm=llm, tool=tool, end=end)
        builder = builder.with_transitions(
            ("llm", "tool"), ("tool", "llm", expr(f"i < {2 * TURNS}")), ("tool", "end", default)
        )
        return await _application(builder, "llm", persister, f"{run_id}-{number}")

    return sum(await asyncio.gather(*(agent(number) for number in range(n))))


def _factory(body: Callable[[Any, str, int], Awaitable[int]]) -> Factory:
    def build(n: int) -> Run:
        ids = count()

        async def opened() -> Any:
            persister = await AsyncSQLitePersister.from_values(in_wal_mode(scratch() / "burr.db"))
            await persister.initialize()
            cursor = await persister.connection.execute("PRAGMA synchronous")
            if (await cursor.fetchone())[0] != 2:
                raise RuntimeError("commits are not synced")
            return persister

        persister = LOOP.run_until_complete(opened())
        return lambda: LOOP.run_until_complete(body(persister, f"run{next(ids)}", n))

    return build


def crash_chain(victim: Victim, n: int) -> int:
    """The chain with a record of its effects."""

    @action(reads=KEYS, writes=KEYS)
    def recorded(state: State) -> State:
        victim.step(state["i"])
        return state.update(**step(state))

    @action(reads=[], writes=KEYS)
    def halt(state: State) -> State:
        return state

    persister = SQLitePersister(in_wal_mode(victim.folder / "burr.db"))
    persister.initialize()
    builder = ApplicationBuilder().with_actions(node=recorded, end=halt)
    builder = builder.with_transitions(("node", "node", expr(f"i < {n}")), ("node", "end", default))
    builder = builder.with_identifiers(app_id="run", partition_key="bench").initialize_from(
        persister, resume_at_next_action=True, default_state=payload(0), default_entrypoint="node"
    )
    return int(builder.with_state_persister(persister).build().run(halt_after=["end"])[2]["i"])


def long_history(victim: Victim, n: int) -> int:
    """The conversation in the state: the persister keeps the state after each action."""

    @action(reads=["texts"], writes=["texts"])
    def call(state: State) -> State:
        number = len(state["texts"]) // 2
        return state.update(texts=[*state["texts"], history.asked(number), history.said(number)])

    @action(reads=[], writes=[])
    def halt(state: State) -> State:
        return state

    persister = SQLitePersister(in_wal_mode(victim.folder / "burr.db"))
    persister.initialize()
    builder = ApplicationBuilder().with_actions(call=call, end=halt)
    builder = builder.with_transitions(("call", "call", expr(f"len(texts) < {2 * n}")), ("call", "end", default))
    builder = builder.with_entrypoint("call").with_state(texts=[]).with_state_persister(persister)
    app = builder.with_identifiers(app_id="run", partition_key="bench").build()
    texts = app.run(halt_after=["end"])[2]["texts"]
    persister.cleanup()
    return history.digest(texts)


CASES: dict[str, Factory] = {"W1": _factory(chain), "W2": _factory(fan), "W4": _factory(loops)}

if __name__ == "__main__":
    serve_or_die(
        "burr-sqlite",
        {"apache-burr": version("apache-burr"), "sqlite": sqlite3.sqlite_version},
        CASES,
        {"chain": lambda *given: partial(crash_chain, *given), "history": lambda *given: partial(long_history, *given)},
    )
