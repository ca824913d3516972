"""The simulator against an engine that walks every request in every step."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.planner.policies import ROUND_ROBIN_FCFS
from orchestrator.planner.simulate.program import Program
from orchestrator.planner.simulate.simulation import Simulation
from tests.planner.simulate.loads import calls, spec
from tests.planner.simulate.reference_engine import run


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    rate_per_s=st.sampled_from([1.0, 8.0, 50.0]),
    blocks=st.sampled_from([12, 20, 400]),
    batch=st.sampled_from([1, 3, 8]),
    step_tokens=st.sampled_from([8, 50, 300]),
    block_tokens=st.sampled_from([16, 20]),
)
@example(seed=1, rate_per_s=50.0, blocks=12, batch=8, step_tokens=50, block_tokens=16)
def test_same_times_as_a_step_by_step_engine(
    seed: int, rate_per_s: float, blocks: int, batch: int, step_tokens: int, block_tokens: int
) -> None:
    load = calls(40, seed, rate_per_s=rate_per_s)
    one = spec(kv_blocks=blocks, max_batch=batch, step_tokens=step_tokens, block_tokens=block_tokens)
    done: dict[int, float | None] = {}

    def note(program: Program, done_s: float | None) -> None:
        done[program.id] = done_s

    simulation = Simulation([one], ROUND_ROBIN_FCFS, observer=note)
    report = simulation.run(iter(load))
    expected, preemptions = run(load, one)
    assert done == {call.number: call.done_s for call in expected}
    assert report.preemptions == preemptions
    first = sum(call.first_s - call.arrival_s for call in expected) / len(expected)
    assert report.ttft.mean_s is not None and abs(report.ttft.mean_s - first) < 1e-9


def test_the_reference_preempts() -> None:
    """Otherwise the comparison above would say nothing about preemption."""
    assert run(calls(40, 1, rate_per_s=50.0), spec(kv_blocks=12, step_tokens=50))[1] > 0
