"""Our runtime on a store: workflows whose steps have effects, so that each result is on disk before it is used.

W1 and W4 have ``idempotent`` steps, W2 maps one over a list, W3's nodes are ``reads``: writes would be a chain.
"""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.arms import history, workloads
from benchmarks.arms import orchestrator_arm as ours
from benchmarks.arms.databases import scratch
from benchmarks.arms.effects import read
from benchmarks.arms.victim import Program, Victim, serve_or_die
from benchmarks.arms.workloads import Factory, Run, State, payload, steps
from benchmarks.durability import programs
from benchmarks.harness.machine import versions
from orchestrator import Workflow, chat, loop, tool, workflow
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.runtime.engines.base import GenerateRequest
from orchestrator.runtime.engines.scripted import Lines, ScriptedEngine
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.runner import Runner


@tool(effects="idempotent")
async def step(state: State) -> State:
    """The no-op step."""
    return workloads.step(state)


@tool(effects="reads")
async def first(node: int) -> State:
    """A DAG node of the first layer."""
    return workloads.combine()


@tool(effects="reads")
async def combine(a: State, b: State, c: State) -> State:
    """A DAG node."""
    return workloads.combine(a, b, c)


FLOWS: dict[str, tuple[Callable[[int], Workflow[..., Any]], Callable[[int], tuple[object, ...]]]] = {
    "W1": (lambda n: ours.chain(n, step), lambda n: (payload(0),)),
    "W2": (lambda n: ours.fan(n, step), lambda n: (n,)),
    "W3": (lambda n: ours.dag(n, first, combine), lambda n: ()),
    "W4": (ours.loops_with_effects, lambda n: (n,)),
}


LOOP = uvloop.new_event_loop()


def factory(case: str, url: Callable[[Path], str]) -> Factory:
    """A workload on a store of its own, which is open when it begins as every arm's is; each step is looked up in what
    a first run has recorded."""
    make, inputs = FLOWS[case]

    def build(n: int) -> Run:
        program, given, ids = ours.compiled(make(n)), inputs(n), count()

        async def opened() -> Runner:
            return Runner(store=await open_store(url(scratch())))

        runtime = LOOP.run_until_complete(opened())

        async def main(*, check: bool = False) -> int:
            result = await runtime.run_program(program, given, run_id=f"run{next(ids)}")
            if check and (recorded := ours.results_in(result.events)) < steps(case, n):
                raise RuntimeError(f"the journal holds {recorded} results of {steps(case, n)} steps")
            return ours.total(result.value)

        LOOP.run_until_complete(main(check=True))
        return lambda: LOOP.run_until_complete(main())

    return build


async def _play(victim: Victim, url: str, compiled: Compiled, engine: Lines, **inputs: object) -> Any:
    """Begin the run of the folder, or go on with it."""
    programs.World.effects = victim.effects
    store = await open_store(url)
    begun = await store.load("run") is not None
    async with Runner({"main": ScriptedEngine(engine)}, store=store) as runtime:
        going = runtime.resume(compiled, "run") if begun else runtime.run(compiled, inputs, run_id="run")
        result = await going
    await store.close()
    return result.value


@tool(effects="idempotent")
async def recorded_step(state: State) -> State:
    """A step of the chain that is killed."""
    assert programs.World.effects is not None
    Victim(Path(), programs.World.effects).step(state["i"])
    return workloads.step(state)


def crash_chain(n: int) -> Workflow[..., Any]:
    """The chain as a loop."""

    @workflow(max_iterations=n)
    def crashing(start: State) -> State:
        return loop(recorded_step, start, max=n)

    return crashing


@tool(effects="pure", cheap=True)
def question(number: int) -> str:
    """What is asked next."""
    return history.asked(number)


def conversation(n: int) -> Workflow[..., Any]:
    """A long chat, which gives the digest of all that was said."""

    @workflow(max_items=2 * n, max_iterations=n)
    def talking() -> int:
        talk = chat()
        for number in range(n):
            _, talk = talk.say(question(number))
        return digest([message.content for message in talk.messages])

    return talking


@tool(effects="pure", cheap=True)
def digest(texts: list[str]) -> int:
    """The figure to check."""
    return history.digest(texts)


def answer(request: GenerateRequest) -> str:
    """What the model says to the last question."""
    return history.said(len(request.messages) // 2)


def main(arm: str, url: Callable[[Path], str]) -> None:
    """Serve, or die, on the store at ``url(FOLDER)``."""

    def play(
        victim: Victim, flow: Workflow[..., Any], engine: Lines = programs.reply, **inputs: object
    ) -> Callable[[], Any]:
        compiled = compile_workflow(flow)
        return lambda: uvloop.run(_play(victim, url(victim.folder), compiled, engine, **inputs))

    def opened(victim: Victim, n: int) -> Callable[[], list[float]]:
        run = play(victim, programs.many(n))

        def measured() -> list[float]:
            programs.World.waits = not any(read(victim.folder / "effects"))  # once compiled, as its code counts
            before = _resident_mib()
            run()
            return [n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before]

        return measured

    def chain(victim: Victim, n: int) -> Callable[[], int]:
        run = play(victim, crash_chain(n), start=payload(0))
        return lambda: ours.total(run())

    plays: dict[str, Program] = {
        "chain": chain,
        "history": lambda victim, n: play(victim, conversation(n), answer),
        "open": opened,
    }
    found = {**versions("uvloop"), "sqlite": sqlite3.sqlite_version}
    serve_or_die(arm, found, {case: factory(case, url) for case in FLOWS}, plays)


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main("sqlite", lambda folder: f"sqlite:///{folder / 'runs.db'}")
