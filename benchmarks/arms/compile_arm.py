"""One measurement of the compile benchmark, in a process of its own: ``python -m benchmarks.arms.compile_arm OPS``.

Prints one JSON object: the exact number of ops, and seconds by metric.
"""

from __future__ import annotations

import gc
import json
import math
import sys
import time
from typing import Any

from benchmarks.arms.sample_workflow import build

PROBE_STAGES = 24, 48
"""Workflows of these many stages tell how many ops a stage adds."""


def count_ops(module: Any) -> int:
    """Ops of a module, the workflow itself and region terminators not counted."""

    def inside(operation: Any) -> int:
        total = 0
        for region in operation.regions:
            for block in region.blocks:
                for op in block.operations:
                    name = op.operation.name
                    total += name not in ("agent.yield", "agent.workflow", "builtin.module")
                    total += inside(op.operation)
        return total

    return inside(module.operation)


def stages_for(ops: int) -> int:
    """How many stages give a workflow of at least that many ops."""
    few, many = PROBE_STAGES
    low, high = (count_ops(build(stages).trace().module) for stages in PROBE_STAGES)
    per_stage = (high - low) / (many - few)
    return max(1, few + math.ceil((ops - low) / per_stage))


def measure(ops: int) -> dict[str, float]:
    """Compile one workflow of about that many ops twice, then an equal one stage by stage."""
    from orchestrator.compiler import compile as compile_workflow

    from orchestrator.planner.cluster import detect

    cluster = detect()
    stages = stages_for(ops)
    compile_workflow(build(4), cluster=cluster)
    gc.collect()
    workflow = build(stages)
    began = time.perf_counter()
    compiled = compile_workflow(workflow, cluster=cluster)
    first = time.perf_counter()
    again = compile_workflow(workflow, cluster=cluster)
    second = time.perf_counter()
    if again is not compiled:
        raise RuntimeError("the second call compiled again")
    return {"ops": stages, "seconds": first - began, "cached_seconds": second - first}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
