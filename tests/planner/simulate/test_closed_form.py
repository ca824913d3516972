"""Runs of steps as one event give what single steps give: the same floats, not nearly the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.planner.policies import POLICIES
from orchestrator.planner.policies.view import Policy, ReplicaView, RequestView
from orchestrator.planner.simulate.simulation import simulate
from orchestrator.planner.simulate.speed import ReplicaSpec, ReplicaSpeed
from tests.planner.simulate.loads import DYADIC, TICK_S, calls, spec, workflows


def three(blocks: int, batch: int) -> list[ReplicaSpec]:
    """Three replicas of different speeds."""
    slow = replace(DYADIC, weight_s=20000 * TICK_S, kv_token_s=3 * TICK_S)
    return [
        spec("a", kv_blocks=blocks, max_batch=batch),
        spec("b", kv_blocks=blocks, max_batch=batch, speed=slow, watermark=0.05),
        spec("c", kv_blocks=2 * blocks, max_batch=batch, step_tokens=256, prefix_cache=False),
    ]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    policy=st.sampled_from(sorted(POLICIES)),
    rate_per_s=st.sampled_from([1.0, 6.0, 40.0]),
    blocks=st.sampled_from([14, 24, 300]),
    batch=st.sampled_from([2, 8]),
    pin_s=st.sampled_from([0.0, 0.25, 4.0]),
    longest_run=st.sampled_from([1, 1, 3]),
)
@example(seed=3, policy="critical-path+laxity", rate_per_s=40.0, blocks=14, batch=8, pin_s=0.25, longest_run=1)
@example(seed=3, policy="freeness+migration", rate_per_s=40.0, blocks=14, batch=8, pin_s=4.0, longest_run=1)
def test_single_steps_give_the_same_report(
    seed: int, policy: str, rate_per_s: float, blocks: int, batch: int, pin_s: float, longest_run: int
) -> None:
    load, cluster = workflows(30, seed, rate_per_s=rate_per_s, pin_s=pin_s), three(blocks, batch)
    runs = simulate(load, cluster, POLICIES[policy]())
    steps = simulate(load, cluster, POLICIES[policy](), longest_run=longest_run)
    assert runs == steps


def test_the_comparison_covers_preemptions_hits_evictions_and_pins() -> None:
    report = simulate(workflows(60, 3, rate_per_s=40.0, pin_s=4.0), three(14, 8), POLICIES["round-robin+fcfs"]())
    assert report.preemptions > 0
    assert report.hit_share is not None and report.hit_share > 0.05
    assert sum(replica.evicted_units for replica in report.replicas) > 0
    assert sum(replica.yielded_pins for replica in report.replicas) > 0


def test_keys_that_change_while_requests_wait_give_the_same_report() -> None:
    def lateness(request: RequestView, replica: ReplicaView, now: float) -> float:
        return request.predicted_s if now < request.ready_s + 0.5 else -now

    policy = replace(POLICIES["workload-balanced+urgency"](), order=lateness, reorder=True)
    for seed in range(8):
        load = workflows(40, seed, rate_per_s=30.0)
        assert simulate(load, three(20, 4), policy) == simulate(load, three(20, 4), policy, longest_run=1)


def test_requests_held_at_the_router_give_the_same_report() -> None:
    def crowded(request: RequestView, replicas: Sequence[ReplicaView], now: float) -> bool:
        return all(replica.free_blocks(now) < 8 or replica.waiting_count for replica in replicas)

    for name in POLICIES:
        policy = replace(POLICIES[name](), hold=crowded)
        load = workflows(60, 11, rate_per_s=30.0)
        assert simulate(load, three(20, 4), policy) == simulate(load, three(20, 4), policy, longest_run=1)


def test_events_of_the_same_instant_give_the_same_report() -> None:
    """Every step takes a second and everything arrives on the second, so steps end when others do and requests come."""

    def little_room(request: RequestView, replicas: Sequence[ReplicaView], now: float) -> bool:
        return all(replica.free_blocks(now) < 6 for replica in replicas)

    def most_room(request: RequestView, replicas: Sequence[ReplicaView], now: float) -> int:
        rooms = [(replica.free_blocks(now), -replica.context_tokens(now)) for replica in replicas]
        return rooms.index(max(rooms))

    speed = ReplicaSpeed(token_s=0.0, weight_s=0.0, kv_token_s=0.0, step_s=1.0)
    cluster = [spec(str(i), speed=speed, kv_blocks=14, block_tokens=4) for i in range(3)]
    policy = Policy("room", most_room, POLICIES["round-robin+fcfs"]().order, hold=little_room)
    for seed in range(3):
        load = [replace(p, arrival_s=float(int(8 * p.arrival_s))) for p in calls(60, seed, rate_per_s=4.0, prompt=12)]
        load = [replace(p, stages=(replace(p.stages[0], output_tokens=1 + p.id * 7 % 30),)) for p in load]
        assert simulate(load, cluster, policy) == simulate(load, cluster, policy, longest_run=1)


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_prefill_and_decode_pools_give_the_same_report(policy: str) -> None:
    cluster = [
        spec("p0", role="prefill", kv_bytes_per_token=1024.0, link_bytes_per_s=2.0**20),
        spec("p1", role="prefill", kv_bytes_per_token=1024.0, link_bytes_per_s=2.0**19),
        spec("d0", role="decode", kv_blocks=14),
        spec("d1", role="decode", kv_blocks=30, watermark=0.05),
    ]
    load = workflows(60, 12, rate_per_s=20.0, pin_s=0.5)
    report = simulate(load, cluster, POLICIES[policy]())
    assert report == simulate(load, cluster, POLICIES[policy](), longest_run=1)
    assert report.programs == 60
    assert report.preemptions > 0


def test_figures_of_real_hardware_agree_but_for_rounding() -> None:
    speed = ReplicaSpeed(token_s=5.1e-5, weight_s=1.13e-2, kv_token_s=9.2e-8, step_s=3e-3, pair_s=1.1e-9, call_s=0.01)
    cluster = [ReplicaSpec("a", speed, 4000), ReplicaSpec("b", speed, 1500)]
    load = workflows(150, 7, rate_per_s=8.0, prompt=3000, output=500)
    runs = simulate(load, cluster, POLICIES["round-robin+fcfs"]())
    steps = simulate(load, cluster, POLICIES["round-robin+fcfs"](), longest_run=1)
    assert runs.latency.mean_s == pytest.approx(steps.latency.mean_s, rel=1e-9)
    assert runs.tpot.p99_s == pytest.approx(steps.tpot.p99_s, rel=1e-9)
    assert [r.busy_s for r in runs.replicas] == pytest.approx([r.busy_s for r in steps.replicas], rel=1e-9)


def test_a_policy_without_state_sees_nothing_of_how_steps_are_advanced() -> None:
    """A dispatch that reads every figure of the view at every call."""
    seen: list[tuple[object, ...]] = []

    def nosy(request: RequestView, replicas: object, now: float) -> int:
        assert isinstance(replicas, list)
        for replica in replicas:
            running = sorted((r.sequence, left, generated) for r, left, generated in replica.running(now))
            figures = (replica.free_blocks(now), replica.context_tokens(now), replica.cached_tokens(request, now))
            seen.append((now, replica.running_count, replica.waiting_count, replica.backlog_s, *figures, *running))
        return request.sequence % len(replicas)

    policy = Policy("nosy", nosy, POLICIES["round-robin+fcfs"]().order)
    load = workflows(40, 5, rate_per_s=20.0, pin_s=0.25)
    simulate(load, three(20, 8), policy)
    runs, seen = seen, []
    simulate(load, three(20, 8), policy, longest_run=1)
    assert runs == seen
