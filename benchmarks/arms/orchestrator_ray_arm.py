"""Our executor on Ray: each run is left to a worker, which executes the whole program in its process.

A run is added to a PostgreSQL, a worker in a Ray actor claims it, and the result is read from there
(`orchestrator.running.ray_workers`), so a run's commits and the way to the worker are a part of what its steps cost.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import uvloop

from benchmarks.arms import orchestrator_arm as arm
from benchmarks.arms.serve import serve
from benchmarks.arms.workloads import Factory, Run, payload
from benchmarks.harness.machine import versions
from orchestrator import Workflow
from orchestrator.compiler import Compiled
from orchestrator.compiler import compile as compile_workflow
from orchestrator.running.coordinating import Work
from orchestrator.running.host import Logged
from orchestrator.running.ray_workers import RayWorkers, versions_of
from orchestrator.runtime.coordinator.submitting import submit
from orchestrator.runtime.journal.stores.base import OVER
from orchestrator.runtime.journal.stores.opened import open_store
from orchestrator.runtime.ray.session import connect
from orchestrator.runtime.runner import Runner
from tests.postgresql import Server, running_server

LOOK_S = 0.001
"""So often it is looked whether a run is over."""
FLOWS: dict[str, tuple[Callable[[int], Workflow[..., Any]], Callable[[int], dict[str, object]]]] = {
    "W1": (arm.chain, lambda n: {"start": payload(0)}),
    "W2": (arm.fan, lambda n: {"count": n}),
    "W3": (arm.dag, lambda n: {}),
    "W4": (arm.loops, lambda n: {"count": n}),
    "W4-effects": (arm.loops_with_effects, lambda n: {"count": n}),
}


def flows(case: str, n: int) -> list[Compiled]:
    """The workflow of a case, as every process makes it."""
    make, _ = FLOWS[case]
    return [compile_workflow(make(n))]


class _Worker:
    """One worker, and the loop on which it is kept."""

    def __init__(self, url: str, case: str, n: int) -> None:
        self._loop = uvloop.new_event_loop()
        self._url = url
        (self._compiled,) = flows(case, n)
        self._inputs = FLOWS[case][1](n)
        work = Work(partial(flows, case, n), url)
        self._workers = RayWorkers(work, 1, Logged(), versions_of([self._compiled]))
        self._kept = self._loop.create_task(self._workers.run())

    def run(self) -> int:
        found: int = self._loop.run_until_complete(self._run())
        return found

    async def _run(self) -> int:
        store = await open_store(self._url)
        run_id = await submit(store, self._compiled, self._inputs)
        while True:
            loaded = await store.load(run_id)
            if loaded is None or loaded.head.status in OVER:
                break
            await asyncio.sleep(LOOK_S)
        async with Runner(store=store) as runtime:
            result = await runtime.resume(self._compiled, run_id)
        await store.close()
        return arm.total(result.value)

    def close(self) -> None:
        self._workers.stop()
        self._loop.run_until_complete(self._kept)
        self._loop.close()


class _Arm:
    """Ray and a PostgreSQL, once a case was built, and the worker of that case."""

    def __init__(self) -> None:
        self._ending = ExitStack()
        self._of_case = ExitStack()
        self._server: Server | None = None

    def build(self, case: str, n: int) -> Run:
        self._of_case.close()
        if self._server is None:
            self._server = self._ending.enter_context(running_server())
            self._ending.enter_context(connect())
        worker = _Worker(f"{self._server.url}?schema=b{secrets.token_hex(8)}", case, n)
        self._of_case.callback(worker.close)
        worker.run()
        return worker.run

    def close(self) -> None:
        self._of_case.close()
        self._ending.close()


if __name__ == "__main__":
    with closing(_Arm()) as ours:
        cases: dict[str, Factory] = {case: partial(ours.build, case) for case in FLOWS}
        serve("orchestrator-ray", versions("ray", "psycopg"), cases)
