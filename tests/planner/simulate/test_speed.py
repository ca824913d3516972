"""Coefficients of a replica: the roofline they come from, and how a call's time follows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planner.cost.call import Efficiency, decode_step_s, prefill_s
from orchestrator.planner.policies import ROUND_ROBIN_FCFS
from orchestrator.planner.serving import Replica
from orchestrator.planner.simulate.program import Program, Stage
from orchestrator.planner.simulate.simulation import simulate
from orchestrator.planner.simulate.speed import ReplicaSpec, ReplicaSpeed, roofline_speed
from tests.planner.clusters import gpu, tiny

AT = Efficiency(compute=0.45, bandwidth=0.70, launch_s=0.003, step_s=0.003)


@given(st.integers(1, 4000), st.integers(0, 4000), st.integers(1, 200))
def test_the_roofline_is_the_cost_models(new: int, cached: int, samples: int) -> None:
    speed, replica = roofline_speed(tiny(), gpu()), Replica(tiny(), gpu())
    pairs = new * cached + new * new / 2
    assert speed.mixed_s(new, pairs, cached + new, 0, 0) == pytest.approx(prefill_s(replica, new, cached, AT))
    step = speed.decode_base_s(samples) + speed.kv_token_s * samples * cached
    assert step == pytest.approx(decode_step_s(replica, cached, samples, AT))
    assert speed.mixed_s(0, 0, 0, samples, samples * cached) == pytest.approx(step)


def test_a_mixture_of_experts_reads_more_weights_in_a_larger_batch() -> None:
    speed = ReplicaSpeed(token_s=0.0, weight_s=10.0, kv_token_s=0.0, step_s=1.0, token_weight_s=3.0)
    assert [speed.decode_base_s(batch) for batch in (1, 2, 3, 4, 9)] == [4.0, 7.0, 10.0, 11.0, 11.0]


@given(st.integers(1, 3000), st.integers(1, 300))
def test_alone_seconds_are_what_the_simulation_takes(prompt: int, output: int) -> None:
    speed = ReplicaSpeed(token_s=5e-5, weight_s=1e-2, kv_token_s=1e-7, step_s=3e-3, pair_s=1e-9, call_s=0.02)
    spec = ReplicaSpec("gpu", speed, kv_blocks=1000, step_tokens=512)
    report = simulate([Program(0, 0.0, (Stage(prompt, output),))], [spec], ROUND_ROBIN_FCFS)
    assert report.latency.max_s == pytest.approx(speed.alone_s(prompt, output, 0.0, 512), rel=1e-9)
