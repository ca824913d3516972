"""What it costs to call a tool at each place: the figures of ``planner/tools/dispatch.toml``.

    python -m benchmarks.tool_places [--quick] [--json FILE]

Cases are the places, called as the runtime calls them. ``dispatch_seconds`` is one call of a function that does
nothing, after the first (``first_call_seconds``, which starts the worker); ``bytes_per_s`` is what an argument of
16 MiB adds to it; ``at_once`` how many times as much two calls do together that only compute, as one by itself: one
where they share an interpreter's lock, two where each has a core.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.harness.machine import describe, versions
from benchmarks.harness.record import FOLDER, OURS, Report, Result
from benchmarks.harness.stats import spread
from orchestrator.runtime.ray.session import connect
from orchestrator.runtime.ray.tools import RayTools
from orchestrator.runtime.tools.processes import ToolProcesses
from orchestrator.runtime.tools.threads import ToolThreads

LARGE = bytes(16 * 2**20)
TURNS = 2_000_000
Call = Callable[..., Awaitable[Any]]


def nothing(value: object = None) -> None:
    """Do nothing with what it is given."""


def computing(turns: int) -> int:
    """Pure Python, which holds the interpreter's lock."""
    found = 0
    for each in range(turns):
        found += each
    return found


async def seconds_of(call: Call, *args: object) -> float:
    """One call."""
    began = perf_counter()
    await call(*args)
    return perf_counter() - began


async def measure(call: Call, calls: int) -> dict[str, list[float]]:
    """All figures of one place."""
    first = await seconds_of(call, nothing)
    empty = [await seconds_of(call, nothing) for _ in range(calls)]
    large = [await seconds_of(call, nothing, LARGE) for _ in range(max(calls // 20, 3))]
    more = max(median(large) - median(empty), 1e-9)
    together = []
    for _ in range(3):
        one = await seconds_of(call, computing, TURNS)
        began = perf_counter()
        await asyncio.gather(call(computing, TURNS), call(computing, TURNS))
        together.append(2 * one / (perf_counter() - began))
    return {
        "first_call_seconds": [first],
        "dispatch_seconds": empty,
        "bytes_per_s": [len(LARGE) / more],
        "at_once": together,
    }


async def places(calls: int) -> dict[str, dict[str, list[float]]]:
    """The figures by place."""
    threads, processes, remote = ToolThreads(), ToolProcesses(), RayTools()

    async def in_thread(fn: Callable[..., Any], *args: Any) -> Any:
        return await threads.call(lambda: fn(*args))

    async def in_process(fn: Callable[..., Any], *args: Any) -> Any:
        return await processes.call("op", fn, args)

    async def in_task(fn: Callable[..., Any], *args: Any) -> Any:
        return await remote.call("op", "ray-task", fn, args, {})

    async def in_actor(fn: Callable[..., Any], *args: Any) -> Any:
        return await remote.call("op", "ray-actor", fn, args, {})

    try:
        return {
            "thread": await measure(in_thread, calls),
            "process": await measure(in_process, calls),
            "ray-task": await measure(in_task, calls),
            "ray-actor": await measure(in_actor, calls),
        }
    finally:
        remote.close()
        await processes.close()
        threads.close()


def main() -> None:
    """Measure, print and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, default=FOLDER / "tool_places.json")
    options = parser.parse_args()
    machine = describe()
    with connect(num_cpus=2):
        found = asyncio.run(places(30 if options.quick else 300))
    units = {"bytes_per_s": "B/s", "at_once": "calls"}
    results = []
    for place, figures in found.items():
        for name, values in figures.items():
            value, low, high = spread(values)
            unit = units.get(name, "s")
            results.append(
                Result(case=place, arm=OURS, metric=name, value=value, unit=unit, n=len(values), low=low, high=high)
            )
    report = Report(
        benchmark="tool_places",
        quick=options.quick,
        command="python -m benchmarks.tool_places",
        machine=machine,
        versions=versions("ray", "cloudpickle"),
        results=results,
    )
    report.write(options.json)
    print(report.model_dump_json(indent=1, exclude_none=True))


if __name__ == "__main__":
    main()
