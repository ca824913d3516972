"""Our executor on Ray: the whole region of a workflow fused into one actor, so that a run costs one hop.

The driver sends the inputs and gets the result; the program lives in the actor, which runs it with the same executor
and its own in-memory journal.
"""

from __future__ import annotations

import asyncio
from typing import Any

import ray

from benchmarks.arms import orchestrator_arm as arm
from benchmarks.arms.serve import serve
from benchmarks.arms.workloads import Factory, Run, payload
from benchmarks.harness.machine import versions
from orchestrator import Workflow
from orchestrator.runtime.program import Program
from orchestrator.runtime.ray.session import connect
from orchestrator.runtime.run import Runtime


class Region:
    """One fused region: a program, ready to run on other inputs."""

    def __init__(self, program: Program) -> None:
        self._program = program

    async def run(self, inputs: tuple[object, ...]) -> Any:
        """Run it to the end."""
        async with Runtime() as runtime:
            return (await runtime.run_program(self._program, inputs)).value


RegionActor: Any = ray.remote(num_cpus=0)(Region)


def _fused(flow: Workflow[..., Any], inputs: tuple[object, ...]) -> Run:
    connect()
    actor = RegionActor.remote(arm.compiled(flow))

    async def main() -> int:
        return arm.total(await actor.run.remote(inputs))

    return lambda: asyncio.run(main())


CASES: dict[str, Factory] = {
    "W1": lambda n: _fused(arm.chain(n), (payload(0),)),
    "W2": lambda n: _fused(arm.fan(n), (n,)),
    "W3": lambda n: _fused(arm.dag(n), ()),
    "W4": lambda n: _fused(arm.loops(n), (n,)),
}

if __name__ == "__main__":
    serve("orchestrator-ray", versions("ray"), CASES)
