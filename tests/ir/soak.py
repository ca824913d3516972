"""Programs that would corrupt memory if anything of a module outlived it: ``python -m tests.ir.soak NAME ROUNDS``.

Each is run many times in a process of its own, by ``tests/ir/test_ownership.py``: such faults kill the process, and
only now and then. Prints the number of rounds that came to their end. A round that waits for a lock which nobody will
release ends the process after :data:`STALLED_S` and says where each thread is; a machine that is slow ends nothing.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from orchestrator import Workflow, branch, llm, loop, map_, race, workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.errors import TraceError
from orchestrator.ir.text import parse, to_text
from orchestrator.ir.walk import Node
from orchestrator.passes.pipeline import PIPELINE, run_pipeline
from orchestrator.planner.cluster import Cluster, EngineSpec

KINDS = ("loop", "branch", "race", "map", "unprintable")
"""Of mistakes."""
MOST_GROWTH_MIB = 48
"""Of the process, from a fifth of the rounds to their end: less than one round in ten could leave behind."""
STALLED_S = 120
"""Hundreds of times what a round takes."""
CLUSTER = Cluster(engines=(EngineSpec(name="scripted", kind="scripted", model="scripted"),))


def nested(tick: Callable[[], None] = lambda: None) -> Workflow[..., Any]:
    """Every kind of region, each with values from around it; ``tick`` is called at many points of the trace."""

    def deep(topic: str) -> Any:
        tick()

        def refine(draft: Any) -> Any:
            tick()
            better = llm(f"{topic}: improve {draft}")
            tick()
            return branch(better == "done", then=lambda: also(better), otherwise=lambda: llm(f"{topic} {better}"))

        def also(text: Any) -> Any:
            tick()
            return race(lambda: llm(f"A {topic} {text}"), lambda: llm(f"B {draft} {text}"))

        draft = llm(f"write on {topic}")
        tick()
        final = loop(refine, None, max=3, until=lambda text: text == "done")
        tick()
        parts = map_(lambda text: llm(f"{topic} {final} {text}"), llm(topic, samples=3))
        tick()
        return f"{parts}"

    deep.__annotations__ = {"topic": str, "return": str}
    return workflow(deep)


def mistaken(kind: str) -> Workflow[..., Any]:
    """A mistake inside a region, behind ops that use values from around it."""

    def flow(topic: str) -> Any:
        first = llm(topic)
        if kind == "loop":
            return loop(lambda text: hash(llm(f"{first} {text}")), topic, max=2)
        if kind == "branch":
            return branch(first == "x", then=lambda: llm(f"{first}") + llm(topic), otherwise=lambda: 3)
        if kind == "race":
            return race(lambda: llm(f"{first} a"), lambda: llm(f"{first} b").missing)  # type: ignore[attr-defined]
        if kind == "map":
            return map_(lambda text: llm(f"{first} {text}").nowhere, llm(topic, samples=3))[0]  # type: ignore[attr-defined]
        return branch(first == "x", then=lambda: llm(f"{first} \ud800"), otherwise=lambda: "no")

    flow.__annotations__ = {"topic": str, "return": str}
    return workflow(flow)


def mistakes() -> None:
    """Errors in each kind of region, the op behind which is never built."""
    for kind in KINDS:
        try:
            mistaken(kind).trace()
        except Exception:  # noqa: BLE001 - what is asked is whether the process survives it
            continue


def retraced() -> None:
    """A correct loop whose body is traced again because its state turned out wider."""
    nested().trace()


def interrupted() -> None:
    """The user's code raises, at a point of the trace drawn by chance: also what no error handler catches."""
    left = random.randrange(14)
    kind = random.choice((ValueError, KeyboardInterrupt, SystemExit, GeneratorExit))

    def tick() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise kind

    try:
        nested(tick).trace()
    except (TraceError, KeyboardInterrupt, SystemExit, GeneratorExit):
        return


def traced() -> None:
    """A program of a few lines, right every other time, and else wrong in one of the ways above."""
    turn = next(turns)
    if turn % 2:
        small().trace()
        return
    try:
        mistaken(KINDS[turn // 2 % len(KINDS)]).trace()
    except TraceError:
        return
    raise AssertionError("nothing was wrong")


def small() -> Workflow[..., Any]:
    """A loop that is traced twice, as its state widens, and a map."""

    def flow(topic: str) -> str:
        first = llm(topic)
        final = loop(lambda text: llm(f"{topic} {text}"), None, max=2, until=lambda text: text == first)
        return f"{map_(lambda text: llm(f'{final} {text}'), llm(topic, samples=2))}"

    return workflow(flow)


turns = count()
kept: list[Any] = []


def outliving() -> None:
    """Values, exceptions and modules that the user keeps for longer than their trace, dropped in any order."""

    def flow(topic: str) -> Any:
        first = llm(topic)
        kept.append(first)
        return map_(lambda text: kept.append(llm(f"{first} {text}")) or first.oops, llm(topic, samples=3))

    flow.__annotations__ = {"topic": str, "return": str}
    try:
        workflow(flow).trace()
    except TraceError as error:
        kept.append(error)
    kept.append(nested().trace())
    random.shuffle(kept)
    del kept[20:]


class _BrokenPass:
    name = "broken"

    def run(self, root: Node) -> None:
        random.choice(PIPELINE[:5]).run(root)
        raise RuntimeError(self.name)


def failing_pass() -> None:
    """A pass that raises halfway, with what it has of the module in the exception's frames."""
    traced = nested().trace()
    try:
        run_pipeline(traced.module, passes=(_BrokenPass(),))
    except RuntimeError as error:
        del traced
        kept[:] = [error]


def compiled() -> None:
    """Compiled workflows: read, dropped, parsed back."""
    flow = nested()
    made = compile_workflow(flow, CLUSTER)
    del flow
    if random.random() < 0.5:
        parse(to_text(parse(made.level1)))
        assert made.level2


def stopped() -> None:
    """Ctrl-C at any moment of a compilation comes out as what it is.

    It comes again: Python drops what is raised while a destructor or the callback of a weak reference runs. The clock
    is that of the process, so that it cannot come again before the first one is caught on a machine that is busy.
    """
    signal.setitimer(signal.ITIMER_VIRTUAL, random.uniform(0.001, 0.03), 0.05)
    try:
        while True:
            compile_workflow(nested(), CLUSTER)
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def together() -> None:
    """Threads that trace and compile at once, right and wrong programs."""
    jobs = [mistakes, retraced, interrupted, compiled]
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def forked() -> None:
    """A child process that drops what its parent has and compiles, while a thread of the parent compiles."""
    compiling = threading.Thread(target=compiled)
    compiling.start()
    child = os.fork()  # lazy imports are done by now: Python itself cannot fork amid one
    if child == 0:
        signal.alarm(STALLED_S)  # those of the parent are not its own
        kept.clear()
        compiled()
        mistakes()
        gc.collect()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    compiling.join()


def _unfinished() -> Iterator[None]:
    """A trace that stays open until the interpreter takes it away."""
    from orchestrator.dsl.trace import class_of
    from orchestrator.dsl.tracing.tracer import Tracer
    from orchestrator.errors import SourceLoc
    from orchestrator.ir.build import Builder

    builder = Builder()
    tracer = Tracer("open", builder, class_of)
    here = SourceLoc("flow.py", 1)
    with builder.workflow("open", ["str"], opts={}, where=here) as (topic,), builder.region(["str"]) as region:
        builder.op("prompt", [topic, *region.arguments], ["str"], {"parts": ["", " ", ""]}, id="p", opts={}, where=here)
        kept.append((tracer, region, kept))
        yield


def at_exit() -> None:
    """What is still open, held or in a cycle when the interpreter shuts down."""
    outliving()
    trace = _unfinished()
    next(trace)
    kept.append(trace)


SOAKS = {
    soak.__name__: soak
    for soak in (
        traced,
        mistakes,
        retraced,
        interrupted,
        outliving,
        failing_pass,
        compiled,
        stopped,
        together,
        forked,
        at_exit,
    )
}


def main(name: str, rounds: int) -> None:
    """Run one of them again and again."""
    random.seed(0)
    signal.signal(signal.SIGVTALRM, signal.default_int_handler)
    faulthandler.register(signal.SIGALRM, chain=True)
    compiled()
    warm_mib = 0.0
    for done in range(1, rounds + 1):
        signal.alarm(STALLED_S)
        SOAKS[name]()
        if done % 50 == 0:
            gc.collect()
        if done == rounds // 5:
            warm_mib = resident_mib()
    signal.alarm(0)
    grown_mib = resident_mib() - warm_mib
    assert rounds < 1000 or grown_mib < MOST_GROWTH_MIB, f"it has grown by {grown_mib:.0f} MiB"
    print(rounds)


def resident_mib() -> float:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
