"""Burr: state machines; the fan-out is `MapStates`. It has no DAG, so no W3. It builds inside the timed run."""

# mypy: disable-error-code="import-not-found,import-untyped,misc,untyped-decorator,no-any-unimported"

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from burr.core import ApplicationBuilder, State, action, default, expr
from burr.core.parallelism import MapStates

from benchmarks.arms.serve import serve
from benchmarks.arms.workloads import LLM_S, TOOL_S, TURNS, Factory, Run, join_sum, payload, step

KEYS = ["i", "role", "pad"]


@action(reads=KEYS, writes=KEYS)
def node(state: State) -> State:
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
def end(state: State) -> State:
    """Where an application halts."""
    return state


class Fan(MapStates):
    """Source, n sub-applications on its thread pool, join."""

    n = 0

    def action(self, state: Any, inputs: Any) -> Any:
        """What every branch runs."""
        return node

    def states(self, state: Any, context: Any, inputs: Any) -> Iterable[Any]:
        """One state a branch."""
        for i in range(Fan.n):
            yield state.update(**payload(i))

    def reduce(self, state: Any, states: Any) -> Any:
        """The join."""
        return state.update(**join_sum(list(states)))

    @property
    def reads(self) -> list[str]:
        """Nothing."""
        return []

    @property
    def writes(self) -> list[str]:
        """The whole state."""
        return KEYS


def chain(n: int) -> Run:
    """W1."""

    def run() -> int:
        actions = {f"n{k}": node for k in range(n)}
        transitions = [(f"n{k}", f"n{k + 1}") for k in range(n - 1)]
        builder = ApplicationBuilder().with_actions(**actions).with_transitions(*transitions)
        app = builder.with_entrypoint("n0").with_state(**payload(0)).build()
        return int(app.run(halt_after=[f"n{n - 1}"])[2]["i"])

    return run


def fan(n: int) -> Run:
    """W2."""

    def run() -> int:
        Fan.n = n
        builder = ApplicationBuilder().with_actions(fan=Fan(), end=end).with_transitions(("fan", "end"))
        app = builder.with_entrypoint("fan").with_state(**payload(0)).build()
        return int(app.run(halt_after=["end"])[2]["i"])

    return run


def loops(n: int) -> Run:
    """W4."""

    async def agent() -> int:
        builder = ApplicationBuilder().with_actions(llm=llm, tool=tool, end=end)
        builder = builder.with_transitions(
            ("llm", "tool"), ("tool", "llm", expr(f"i < {2 * TURNS}")), ("tool", "end", default)
        )
        app = builder.with_entrypoint("llm").with_state(**payload(0)).build()
        return int((await app.arun(halt_after=["end"]))[2]["i"])

    async def main() -> int:
        return sum(await asyncio.gather(*(agent() for _ in range(n))))

    return lambda: asyncio.run(main())


CASES: dict[str, Factory] = {"W1": chain, "W2": fan, "W4": loops}

if __name__ == "__main__":
    serve("burr", {"apache-burr": version("apache-burr")}, CASES)
