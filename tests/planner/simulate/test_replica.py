"""What one replica does, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import PlanError
from orchestrator.planner.policies import ROUND_ROBIN_FCFS
from orchestrator.planner.simulate.program import Program, Stage
from orchestrator.planner.simulate.report import SimulationReport
from orchestrator.planner.simulate.simulation import Simulation, simulate
from orchestrator.planner.simulate.speed import ReplicaSpec, ReplicaSpeed
from tests.planner.simulate.loads import spec, workflows

STEP = ReplicaSpeed(token_s=0.0, weight_s=0.0, kv_token_s=0.0, step_s=1.0)
"""Every step takes a second."""


def one_second(**changes: object) -> ReplicaSpec:
    """A replica whose every step takes a second."""
    return spec(speed=STEP, **changes)


def call(
    number: int, arrival_s: float, prompt: int, output: int, ids: tuple[int, ...] = (), pin_s: float = 0.0
) -> Program:
    """A program of one call, with prefix units of 16 tokens."""
    return Program(number, arrival_s, (Stage(prompt, output, prefix_ids=ids, unit_tokens=16),))


def ends(load: list[Program], replica: ReplicaSpec) -> tuple[dict[int, float | None], SimulationReport]:
    """When each program was done, and the report."""
    done: dict[int, float | None] = {}
    report = simulate(load, [replica], ROUND_ROBIN_FCFS, observer=lambda p, end: done.update({p.id: end}))
    return done, report


def test_a_call_takes_its_prefill_and_one_step_for_each_further_token() -> None:
    speed = ReplicaSpeed(token_s=2.0, weight_s=5.0, kv_token_s=0.25, step_s=1.0, pair_s=0.5, prefill_step_s=8.0)
    done, report = ends([call(0, 3.0, 4, 3)], spec(speed=speed))
    prefill = max(2.0 * 4 + 0.5 * 8, 5.0) + 0.25 * 4 + 1.0 + 8.0
    decode = 2 * (max(2.0, 5.0) + 1.0) + 0.25 * (4 + 5)
    assert done == {0: 3.0 + prefill + decode}
    assert report.ttft.max_s == prefill
    assert report.tpot.mean_s == decode / 2


def test_long_prompts_are_prefilled_in_chunks_beside_what_decodes() -> None:
    """Step 1 prefills A; steps 2 to 4 decode A and prefill B with the 9 tokens left; A ends in step 4, B in step 5."""
    done, report = ends([call(0, 0.0, 8, 4), call(1, 0.5, 27, 2)], one_second(step_tokens=10))
    assert done == {0: 4.0, 1: 5.0}
    assert report.replicas[0].prefill_tokens == 35
    assert report.ttft.max_s == 4.0 - 0.5


def test_the_batch_has_a_largest_size() -> None:
    done, report = ends([call(i, 0.0, 1, 3) for i in range(3)], one_second(max_batch=2))
    assert done == {0: 3.0, 1: 4.0, 2: 6.0}
    assert report.queueing.max_s == 3.0


def test_memory_bounds_the_batch() -> None:
    """A and B need two blocks of four each; C waits for the first to end although the batch has room."""
    done, _ = ends([call(i, 0.0, 20, 3) for i in range(3)], one_second(kv_blocks=4))
    assert done == {0: 3.0, 1: 4.0, 2: 6.0}


def test_the_last_to_come_is_preempted_and_computes_its_kv_again() -> None:
    """Two prompts of 16 tokens fill a block each of three; both need a second one at their first decode step.

    A takes it in step 3. B, which came later, is thrown out before that step with one token written, cannot return
    before A is done at 18.0, and needs a step to prefill 16 + 1 tokens.
    """
    done, report = ends([call(0, 0.0, 16, 17), call(1, 0.0, 16, 3)], one_second(kv_blocks=3))
    assert done[0] == 17.0
    assert report.preemptions == 1
    assert done[1] == 19.0
    assert report.replicas[0].prefill_tokens == 16 + 16 + 17


def test_a_watermark_leaves_room_to_grow() -> None:
    load = [call(0, 0.0, 16, 17), call(1, 0.0, 16, 3)]
    done, report = ends(load, one_second(kv_blocks=3, watermark=0.34))
    assert report.preemptions == 0
    assert done == {0: 17.0, 1: 20.0}


def test_a_cached_prefix_is_not_computed_again() -> None:
    first, second = call(0, 0.0, 40, 2, (1, 2, 3)), call(1, 10.0, 40, 2, (1, 2, 9))
    _, report = ends([first, second], one_second())
    assert report.replicas[0].hit_tokens == 32
    assert report.replicas[0].prefill_tokens == 40 + 8
    assert report.hit_share == 32 / 80
    _, without = ends([first, second], one_second(prefix_cache=False))
    assert without.hit_share == 0.0


def test_a_prefix_computed_in_the_same_step_counts() -> None:
    """B and C wait for A's step; C finds in the next step what B computes in it."""
    same = [call(1, 0.25, 40, 2, (1, 2)), call(2, 0.5, 40, 2, (1, 2))]
    done, report = ends([call(0, 0.0, 5, 1), *same], one_second())
    assert report.replicas[0].hit_tokens == 32
    assert done == {0: 1.0, 1: 3.0, 2: 3.0}


def test_one_token_of_a_prompt_is_always_computed() -> None:
    _, report = ends([call(0, 0.0, 32, 2, (1, 2)), call(1, 10.0, 32, 2, (1, 2))], one_second())
    assert report.replicas[0].hit_tokens == 16


def test_the_next_turn_finds_the_reply_of_the_last() -> None:
    """20 prompt tokens and 13 of 14 reply tokens in the KV make two whole units."""
    turn = Program(0, 0.0, (
        Stage(20, 14, prefix_ids=(1, 2, 3), unit_tokens=16),
        Stage(40, 1, after=(0,), prefix_ids=(1, 2, 3), unit_tokens=16),
    ))  # fmt: skip
    _, report = ends([turn], one_second())
    assert report.replicas[0].hit_tokens == 32


def two_turns(pin_s: float) -> Program:
    """Two units, a tool of 20 seconds, and the same two units again."""
    first = Stage(32, 1, prefix_ids=(1, 2), unit_tokens=16, pin_ttl_s=pin_s)
    second = Stage(40, 1, after=(0,), tool_s=20.0, prefix_ids=(1, 2), unit_tokens=16)
    return Program(0, 0.0, (first, second))


@pytest.mark.parametrize(("pin_s", "hits"), [(0.0, 0), (1.5, 0), (30.0, 32)])
def test_a_pin_keeps_a_prefix_from_eviction_until_it_expires(pin_s: float, hits: int) -> None:
    """While the tool runs, two other prefixes of three units and a block each pass through the remaining memory."""
    others = [call(1, 2.0, 60, 1, (11, 12, 13)), call(2, 4.0, 60, 1, (21, 22, 23))]
    _, report = ends([two_turns(pin_s), *others], one_second(kv_blocks=6))
    assert report.replicas[0].hit_tokens == hits
    assert report.replicas[0].yielded_pins == 0


def test_pins_yield_when_nothing_could_run_otherwise() -> None:
    """The whole memory is wanted, and the end of the prefix goes before its beginning."""
    done, report = ends([two_turns(30.0), call(1, 2.0, 78, 1)], one_second(kv_blocks=6, step_tokens=100))
    assert done == {1: 3.0, 0: 22.0}
    assert report.replicas[0].yielded_pins == 1
    assert report.replicas[0].hit_tokens == 16


def test_a_call_that_fits_nowhere_is_rejected() -> None:
    done, report = ends([call(0, 0.0, 60, 20), call(1, 0.0, 10, 2)], one_second(kv_blocks=4))
    assert done == {0: None, 1: 2.0}
    assert (report.programs, report.rejected) == (1, 1)


def test_time_outside_the_steps_delays_and_occupies_nothing() -> None:
    speed = replace(STEP, call_s=0.5)
    two = Program(0, 0.0, (Stage(1, 2), Stage(1, 2, after=(0,), tool_s=1.0)))
    done, report = ends([two], spec(speed=speed))
    assert done == {0: 2.5 + 1.0 + 2.5}
    assert report.replicas[0].busy_s == 4.0
    assert report.ttft.max_s == 1.5


def test_units_must_be_whole_blocks() -> None:
    with pytest.raises(PlanError, match="prefix units of 20 tokens") as caught:
        ends([Program(0, 0.0, (Stage(30, 1, prefix_ids=(1,), unit_tokens=20),))], one_second())
    assert caught.value.code == "ORCH-P062"


@pytest.mark.parametrize(
    ("field", "value"), [("token_s", -1.0), ("weight_s", inf), ("step_s", 0.0), ("kv_token_s", float("nan"))]
)
def test_a_speed_must_be_usable(field: str, value: float) -> None:
    with pytest.raises(PlanError, match=f"ReplicaSpeed.{field}") as caught:
        replace(STEP, **{field: value})
    assert caught.value.code == "ORCH-P060"


@pytest.mark.parametrize(
    ("field", "value"),
    [("kv_blocks", 0), ("max_batch", 0), ("block_tokens", 0), ("link_bytes_per_s", 0.0), ("watermark", 1.0),
     ("max_batch", 65)],
)  # fmt: skip
def test_a_replica_must_be_possible(field: str, value: float) -> None:
    with pytest.raises(PlanError, match=f"'gpu': {field} is") as caught:
        spec(**{field: value})
    assert caught.value.code == "ORCH-P061"


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), blocks=st.sampled_from([14, 30]), pin_s=st.sampled_from([0.0, 2.0]))
def test_blocks_are_conserved_all_the_time_and_free_in_the_end(seed: int, blocks: int, pin_s: float) -> None:
    def check(program: Program, end_s: float | None) -> None:
        for replica in simulation.replicas:
            pool, size = replica.pool, replica.block_tokens
            private = sum(request.private_blocks for request in replica._prompts.requests)
            for request in replica._batch.requests.values():
                tokens = request.context_at_join + replica._batch.step - request.joined_step
                booked = tokens + (1 if replica._run.steps else 0)
                private += -(-booked // size) - request.units * request.unit_blocks
            held = sum(unit.blocks for unit in pool.units.values())
            assert pool.free + private + held == pool.total
            assert pool.free >= 0
            assert all(unit.uses >= 0 for unit in pool.units.values())

    cluster = [spec(kv_blocks=blocks), spec(kv_blocks=2 * blocks)]
    simulation = Simulation(cluster, ROUND_ROBIN_FCFS, observer=check, longest_run=1)
    simulation.run(iter(workflows(25, seed, rate_per_s=20.0, pin_s=pin_s)))
    for replica in simulation.replicas:
        pool = replica.pool
        pool.expire(1e9)
        assert pool.available == pool.total
        assert pool.free + sum(unit.blocks for unit in pool.units.values()) == pool.total
        assert not any(unit.uses for unit in pool.units.values())
        assert (replica.running_count, replica.waiting_count, replica.waiting_blocks) == (0, 0, 0)
        assert (replica.backlog_s, replica.prompt_backlog_tokens, replica.context_tokens(1e9)) == (0.0, 0, 0)
