"""Clusters and loads the simulator's tests share.

All seconds are multiples of 2**-20, so sums of them are exact in floating point and two simulations can be compared
with ``==``.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from orchestrator.planner.simulate.program import Program, Stage
from orchestrator.planner.simulate.speed import ReplicaSpec, ReplicaSpeed

TICK_S = 2.0**-20

DYADIC = ReplicaSpeed(
    token_s=64 * TICK_S, weight_s=8192 * TICK_S, kv_token_s=1 * TICK_S, step_s=2048 * TICK_S, pair_s=2 * TICK_S
)
"""About 8 ms of weights, 2 ms of host, 61 us a token, 1 us a token of KV."""


def spec(name: str = "gpu", **changes: object) -> ReplicaSpec:
    """A small replica: 64 blocks of 16 tokens, 8 sequences, 64 tokens a step."""
    base = ReplicaSpec(name, DYADIC, kv_blocks=64, max_batch=8, step_tokens=64, watermark=0.0)
    return replace(base, **changes)  # type: ignore[arg-type]


def ticks(seconds: float) -> float:
    """Rounded to whole ticks."""
    return round(seconds / TICK_S) * TICK_S


def workflows(
    count: int, seed: int, *, rate_per_s: float, stages: int = 3, prompt: int = 120, output: int = 60,
    pin_s: float = 0.0, tool_s: float = 0.2, slo_s: float = 16.0, unit_tokens: int = 16,
) -> list[Program]:  # fmt: skip
    """Chains whose stages share a beginning with each other, and with other programs of the same document."""
    random = Random(seed)
    now, found = 0.0, []
    for number in range(count):
        now = ticks(now + random.expovariate(rate_per_s))
        document = 1000 * (1 + random.randrange(4))
        shared = tuple(range(document, document + random.randrange(3)))
        own = tuple(range(1_000_000 + 1000 * number, 1_000_000 + 1000 * number + 8))
        chain = tuple(
            Stage(
                prompt_tokens=random.randint(1, prompt),
                output_tokens=random.randint(1, output),
                step=f"s{place}",
                after=(place - 1,) if place else (),
                tool_s=ticks(random.random() * tool_s) if place else 0.0,
                prefix_ids=shared + own,
                unit_tokens=unit_tokens,
                pin_ttl_s=pin_s if random.random() < 0.5 else 0.0,
            )
            for place in range(random.randint(1, stages))
        )
        found.append(Program(number, now, chain, workflow="test", slo_s=slo_s))
    return found


def calls(count: int, seed: int, *, rate_per_s: float, prompt: int = 120, output: int = 60) -> list[Program]:
    """Single calls that share nothing."""
    load = workflows(count, seed, rate_per_s=rate_per_s, stages=1, prompt=prompt, output=output)
    return [replace(program, stages=(replace(program.stages[0], prefix_ids=()),)) for program in load]
