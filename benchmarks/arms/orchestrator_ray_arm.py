"""Our executor on Ray: the whole program in one actor, so that ops that depend on each other pay no hop.

The journal is the driver's: the worker sends its events there, and an op that leaves the worker waits until they have
arrived (`orchestrator.runtime.ray.region_actor`).
"""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.arms import orchestrator_arm as arm
from benchmarks.arms.serve import serve
from benchmarks.arms.workloads import Factory, Run, payload
from benchmarks.harness.machine import versions
from orchestrator import Workflow
from orchestrator.runtime.ray.region_actor import RegionActor
from orchestrator.runtime.ray.session import connect


def _fused(flow: Workflow[..., Any], inputs: tuple[object, ...]) -> Run:
    connect()
    program = arm.compiled(flow)
    actor = RegionActor(num_cpus=0)

    async def main() -> int:
        return arm.total((await actor.run_program(program, inputs)).value)

    return lambda: asyncio.run(main())


CASES: dict[str, Factory] = {
    "W1": lambda n: _fused(arm.chain(n), (payload(0),)),
    "W2": lambda n: _fused(arm.fan(n), (n,)),
    "W3": lambda n: _fused(arm.dag(n), ()),
    "W4": lambda n: _fused(arm.loops(n), (n,)),
    "W4-effects": lambda n: _fused(arm.loops_with_effects(n), (n,)),
}

if __name__ == "__main__":
    serve("orchestrator-ray", versions("ray"), CASES)
