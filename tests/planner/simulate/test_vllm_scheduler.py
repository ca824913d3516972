"""A replica with ``scheduler="vllm"`` takes the steps that vLLM's scheduler takes, to the last one."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed")

from orchestrator.planner.policies import ROUND_ROBIN_FCFS
from orchestrator.planner.simulate.conversation import Turn, conversation
from orchestrator.planner.simulate.gate import FixedCap
from orchestrator.planner.simulate.program import Program
from orchestrator.planner.simulate.simulation import Lifetime, simulate
from tests.planner.simulate.loads import DYADIC, TICK_S, spec, ticks
from tests.planner.simulate.vllm_clock import VllmClock
from tests.runtime.engines.vllm.schedulers import Shape, stock

SHARED_TOKENS = 40


def agents(seed: int, count: int = 16) -> list[Program]:
    """Conversations that grow to about a third of 64 blocks; all times are dyadic, so that sums are exact."""
    random = Random(seed)
    now, found = 0.0, []
    for number in range(count):
        now = ticks(now + random.expovariate(1.5))
        turns = [Turn(random.randint(50, 200), random.randint(4, 40))]
        turns += [
            Turn(random.randint(10, 60), random.randint(4, 40), "tool", ticks(random.random() * 2) + TICK_S)
            for _ in range(random.randrange(5))
        ]
        found.append(conversation(number, now, turns, block_tokens=16, shared_tokens=SHARED_TOKENS))
    return found


def test_the_same_steps_as_vllms_scheduler() -> None:
    seen: Counter[str] = Counter()
    for seed in range(8):
        for blocks, cap, step_tokens in ((32, None, 64), (64, None, 64), (64, 3, 64), (64, 5, 400), (400, None, 100)):
            shape = Shape(blocks=blocks, max_requests=6, max_batch_tokens=step_tokens)
            load = [program for program in agents(seed) if _longest(program) < shape.longest]
            real = VllmClock(stock(shape), shape, DYADIC, shared_tokens=SHARED_TOKENS, cap=cap)
            real.play(load)
            ends: dict[int, float | None] = {}
            report = simulate(
                load,
                [spec(kv_blocks=blocks, max_batch=6, step_tokens=step_tokens, scheduler="vllm")],
                ROUND_ROBIN_FCFS,
                lifetime=Lifetime(gate=None if cap is None else lambda _, cap=cap: FixedCap(cap)),
                observer=lambda program, end, ends=ends: ends.update({program.id: end}),
            )
            replica = report.replicas[0]
            case = (seed, blocks, cap, step_tokens)
            assert ends == real.ends, case
            assert (replica.steps, replica.prefill_tokens) == (real.steps, real.prefill_tokens), case
            assert replica.preemptions == real.preemptions, case
            seen += Counter(preemptions=replica.preemptions, hits=replica.hit_tokens, evicted=replica.evicted_units)
    assert min(seen[what] for what in ("preemptions", "hits", "evicted")) > 20, "or little was compared"


def _longest(program: Program) -> int:
    return program.stages[-1].prompt_tokens + program.stages[-1].output_tokens
