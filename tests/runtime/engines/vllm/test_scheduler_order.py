"""vLLM's queue in the orders of the planner's policies, and in vLLM's own where nobody hints."""

from __future__ import annotations

import random
import time

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed")

from tests.runtime.engines.vllm.engine_loop import EngineLoop
from tests.runtime.engines.vllm.programs import hinted, tokens
from tests.runtime.engines.vllm.schedulers import Shape, ours, request_of

ONE_AT_A_TIME = Shape(max_requests=1)
DUE_S = {"far": 300.0, "near": 60.0, "soon": 90.0}


BY_DEADLINE, BY_ARRIVAL = ["near", "soon", "far"], ["far", "near", "soon"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [(None, BY_DEADLINE), ("least-laxity", BY_DEADLINE), ("fcfs", BY_ARRIVAL), ("memory", BY_ARRIVAL)],
)
def test_turns_that_wait_run_in_the_order_of_the_options(order: str | None, expected: list[str]) -> None:
    rng, arrival_s = random.Random(1), time.time()
    loop = EngineLoop(ours(ONE_AT_A_TIME, order=order, longest_s=1000.0), ONE_AT_A_TIME)
    loop.submit(request_of(loop.shape, "first", tokens(rng, 20), 5))
    loop.step()
    for name, due_s in DUE_S.items():
        hinted(
            loop, name, tokens(rng, 20), 5, name,
            program=name, program_arrival_s=arrival_s, deadline_s=arrival_s + due_s, turns_left=0.0,
        )  # fmt: skip
        loop.clock.now_s += 0.001
    loop.drain()
    assert [name for name in loop.finished if name != "first"] == expected
