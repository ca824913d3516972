"""The overhead workloads, and what each must return. Standard library only: every arm's venv imports this.

==== =================================================================================================
W1   a chain of 1,000 no-op steps over about 200 bytes of state
W2   one source, 1,000 independent steps, one join
W3   a random layered DAG: 2,000 nodes in 20 layers, 3 in-edges each from the layer before, seed 7
W4   200 concurrent loops of 10 turns, each turn a 50 ms and a 20 ms sleep; 0.70 s if nothing else cost
==== =================================================================================================
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

State: TypeAlias = dict[str, Any]
Run: TypeAlias = Callable[[], int]
Factory: TypeAlias = Callable[[int], Run]

SIZES = {"W1": 1000, "W2": 1000, "W3": 2000, "W4": 200}
TURNS, LLM_S, TOOL_S = 10, 0.05, 0.02
IDEAL_S = TURNS * (LLM_S + TOOL_S)
LAYERS, DEGREE, SEED = 20, 3, 7
MOD = 1_000_003
PAD = "x" * 150


def payload(i: int) -> State:
    """About 200 bytes of state when encoded as JSON."""
    return {"i": i, "role": "assistant", "pad": PAD}


def step(state: State) -> State:
    """The no-op step: counts itself."""
    return {"i": state["i"] + 1, "role": "assistant", "pad": PAD}


def combine(*states: State) -> State:
    """A DAG node: the sum of its inputs plus one."""
    return {"i": (sum(state["i"] for state in states) + 1) % MOD, "role": "assistant", "pad": PAD}


def join_sum(states: Iterable[State]) -> State:
    """The join of a fan-out, and of a DAG's sinks."""
    return {"i": sum(state["i"] for state in states) % MOD, "role": "assistant", "pad": PAD}


def layered_dag(n: int) -> dict[int, tuple[int, ...]]:
    """Node -> predecessors, all of them in the layer before; the first layer has none."""
    rng = random.Random(SEED)
    width = max(1, n // LAYERS)
    deps: dict[int, tuple[int, ...]] = {}
    for node in range(n):
        layer = node // width
        above = range((layer - 1) * width, layer * width)
        deps[node] = () if layer == 0 else tuple(sorted(rng.sample(above, min(DEGREE, width))))
    return deps


def sinks(deps: dict[int, tuple[int, ...]]) -> list[int]:
    """Nodes nobody depends on."""
    used = {p for ps in deps.values() for p in ps}
    return [node for node in deps if node not in used]


def shape(case: str) -> str:
    """The workload a case is a variant of: ``W2-static`` is a ``W2``."""
    return case.partition("-")[0]


def expected(case: str, n: int) -> int:
    """What the workload returns at that size."""
    case = shape(case)
    if case == "W1":
        return n
    if case == "W2":
        return sum(i + 1 for i in range(n)) % MOD
    if case == "W3":
        deps, values = layered_dag(n), dict[int, State]()
        for node, ps in deps.items():
            values[node] = combine(*(values[p] for p in ps))
        return int(join_sum(values[node] for node in sinks(deps))["i"])
    if case == "W4":
        return n * TURNS * 2
    raise ValueError(f"no workload {case}")


def steps(case: str, n: int) -> int:
    """How many steps a run of that size executes (W2 counts its source and join)."""
    return {"W1": n, "W2": n + 2, "W3": n, "W4": n * TURNS * 2}[shape(case)]
