"""One measurement of the compile benchmark, in a process of its own: ``python -m benchmarks.arms.compile_arm OPS``.

Prints one JSON object: the exact number of ops, seconds by metric, and the CPU seconds of an equal compilation as a
multiple of :mod:`benchmarks.arms.reference_work`.
"""

from __future__ import annotations

import gc
import json
import math
import sys
import time
from itertools import pairwise
from typing import Any

from benchmarks.arms.reference_work import with_ratio
from benchmarks.arms.sample_workflow import build
from orchestrator import Workflow
from orchestrator.compiler import compile as compile_workflow
from orchestrator.ir.walk import nodes, tree
from orchestrator.planner.cluster import Cluster, EngineSpec
from orchestrator.planner.graph import graph_of
from orchestrator.planner.machine import detect
from orchestrator.planner.place import plan_graph
from orchestrator.runtime.program.lowering import lower

PROBE_STAGES = 24, 48
"""Workflows of these many stages tell how many ops a stage adds."""


def count_ops(module: Any) -> int:
    """Ops of a module, the workflow itself and region terminators not counted."""
    return sum(1 for _ in nodes(tree(module).bodies[0]))


def stages_for(ops: int) -> int:
    """How many stages give a workflow of at least that many ops."""
    few, many = PROBE_STAGES
    low, high = (count_ops(build(stages).trace().module) for stages in PROBE_STAGES)
    per_stage = (high - low) / (many - few)
    return max(1, few + math.ceil((ops - low) / per_stage))


def cluster() -> Cluster:
    """This machine with one simulated engine, so that model calls are placed and priced."""
    machine = detect()
    engine = EngineSpec(name="main", kind="sim", model="sim", device=machine.devices[0].name)
    return machine.model_copy(update={"engines": (engine,)})


def by_stage(workflow: Workflow[..., Any], target: Cluster) -> dict[str, float]:
    """Seconds of each stage of a compilation: what `orchestrator.compiler.compile` does, one step at a time."""
    from orchestrator.passes.pipeline import run_pipeline

    clock = [time.perf_counter()]
    traced = workflow.trace()
    clock.append(time.perf_counter())
    _, root = run_pipeline(traced.module, is_traced=True)
    clock.append(time.perf_counter())
    graph = graph_of(root)
    planned = plan_graph(graph, target)
    clock.append(time.perf_counter())
    lower(graph, traced.bindings, returns=traced.returns, program_hash="", plan=planned)
    clock.append(time.perf_counter())
    names = ("trace_seconds", "passes_seconds", "plan_seconds", "lower_seconds")
    return dict(zip(names, (end - start for start, end in pairwise(clock)), strict=True))


def measure(ops: int) -> dict[str, float]:
    """Compile one workflow of about that many ops twice, then an equal one stage by stage."""
    target = cluster()
    stages = stages_for(ops)
    compile_workflow(build(4), target)
    gc.collect()
    workflow = build(stages)
    began = time.perf_counter()
    compiled = compile_workflow(workflow, target)
    first = time.perf_counter()
    again = compile_workflow(workflow, target)
    second = time.perf_counter()
    if again is not compiled:
        raise RuntimeError("the second call compiled again")
    fresh = build(stages)
    _, cpu_seconds, ratio = with_ratio(lambda: compile_workflow(fresh, target))
    held = count_ops(build(stages).trace().module)
    return {
        "ops": held,
        "seconds": first - began,
        "cached_seconds": second - first,
        "cpu_seconds": cpu_seconds,
        "reference_ratio": ratio,
        **by_stage(build(stages), target),
    }


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
