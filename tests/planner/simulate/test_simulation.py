"""Programs: order of stages, tools, rejection, migration, predictions, determinism and memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from orchestrator.errors import PlanError
from orchestrator.planner.policies import POLICIES, ROUND_ROBIN_FCFS
from orchestrator.planner.policies.view import Policy, ReplicaView, RequestView
from orchestrator.planner.simulate.prediction import NoisyTruth, StepHistory
from orchestrator.planner.simulate.program import Program, Stage, remaining_path_s
from orchestrator.planner.simulate.simulation import simulate
from orchestrator.planner.simulate.speed import ReplicaSpec, ReplicaSpeed
from tests.planner.simulate.loads import spec, workflows

ONE_SECOND = spec(speed=ReplicaSpeed(token_s=0.0, weight_s=0.0, kv_token_s=0.0, step_s=1.0))
DIAMOND = Program(0, 1.0, (
    Stage(1, 2),
    Stage(1, 5, after=(0,), tool_s=0.5),
    Stage(1, 3, after=(0,), tool_s=1.5),
    Stage(1, 1, after=(1, 2), tool_s=0.25),
), slo_s=10.0)  # fmt: skip


def test_a_stage_starts_when_all_before_it_and_its_tool_are_done() -> None:
    """On three idle replicas: 2 s, then 0.5 + 5 beside 1.5 + 3, then 0.25 + 1."""
    report = simulate([DIAMOND], [ONE_SECOND] * 3, ROUND_ROBIN_FCFS)
    assert report.latency.max_s == 2.0 + 5.5 + 1.25
    assert (report.programs, report.met_slo, report.requests) == (1, 1, 4)
    assert report.slo_attainment == 1.0
    late = simulate([replace(DIAMOND, slo_s=8.7)], [ONE_SECOND] * 3, ROUND_ROBIN_FCFS)
    assert (late.met_slo, late.slo_attainment) == (0, 0.0)


def test_the_longest_path_behind_a_stage() -> None:
    assert remaining_path_s(DIAMOND.stages, [2.0, 5.0, 3.0, 1.0]) == [0.5 + 5.0 + 1.25, 1.25, 1.25, 0.0]


def test_the_same_inputs_give_the_same_report() -> None:
    for name in POLICIES:
        one, two = (simulate(workflows(60, 1, rate_per_s=10.0), [spec()] * 3, POLICIES[name]()) for _ in range(2))
        assert one == two


def test_programs_before_the_measurement_count_for_nothing_but_load() -> None:
    load = workflows(60, 1, rate_per_s=10.0)
    half = load[30].arrival_s
    report = simulate(load, [spec()], ROUND_ROBIN_FCFS, measure_from_s=half)
    whole = simulate(load, [spec()], ROUND_ROBIN_FCFS)
    assert report.programs == report.latency.count == 30
    assert (whole.programs, whole.requests) == (60, report.requests)
    assert report.stage_latency.count < whole.stage_latency.count
    assert report.duration_s == whole.duration_s


def test_models_are_served_by_their_own_replicas() -> None:
    program = Program(0, 0.0, (Stage(1, 2, model="big"), Stage(1, 2, after=(0,), model="small")))
    cluster = [replace(ONE_SECOND, model="small"), replace(ONE_SECOND, model="big")]
    report = simulate([program], cluster, ROUND_ROBIN_FCFS)
    assert [replica.requests for replica in report.replicas] == [1, 1]
    with pytest.raises(PlanError, match="no replica serves model 'big'") as caught:
        simulate([program], cluster[:1], ROUND_ROBIN_FCFS)
    assert caught.value.code == "ORCH-P065"


def test_a_request_too_long_for_the_replica_chosen_goes_to_one_it_fits() -> None:
    cluster = [replace(ONE_SECOND, kv_blocks=2), ONE_SECOND]
    report = simulate([Program(0, 0.0, (Stage(100, 2),))], cluster, ROUND_ROBIN_FCFS)
    assert [replica.requests for replica in report.replicas] == [0, 1]


def test_a_policy_may_turn_programs_away() -> None:
    def none_waiting(request: RequestView, replicas: Sequence[ReplicaView], now: float) -> bool:
        return not any(replica.waiting_count for replica in replicas)

    ended: list[tuple[int, float | None]] = []
    report = simulate(
        [Program(i, 0.25 * i, (Stage(1, 2), Stage(1, 2, after=(0,)))) for i in range(4)],
        [replace(ONE_SECOND, max_batch=1)],
        replace(ROUND_ROBIN_FCFS, admit=none_waiting),
        observer=lambda program, end_s: ended.append((program.id, end_s)),
    )
    assert (report.programs, report.rejected, report.slo_attainment) == (2, 2, 0.5)
    assert {number for number, end_s in ended if end_s is None} == {2, 3}


def busy(request: RequestView, replicas: Sequence[ReplicaView], now: float) -> bool:
    """Hold while every replica runs something."""
    return all(replica.running_count for replica in replicas)


def test_requests_held_at_the_router_go_in_order_to_whoever_is_free_first() -> None:
    """Two replicas, one three times as slow. Bound on arrival, calls 1 and 3 would wait for the slow one."""

    def shortest_first(request: RequestView, replica: ReplicaView, now: float) -> float:
        return request.predicted_output_tokens

    def idle(request: RequestView, replicas: Sequence[ReplicaView], now: float) -> int:
        return min(range(len(replicas)), key=lambda i: (replicas[i].running_count, i))

    done: dict[int, float | None] = {}
    lengths = (6, 6, 9, 2)
    load = [Program(i, 0.0, (Stage(1, n, step=str(n)),)) for i, n in enumerate(lengths)]
    slow = replace(ONE_SECOND, speed=replace(ONE_SECOND.speed, step_s=3.0))
    report = simulate(
        load, [ONE_SECOND, slow], Policy("late", idle, shortest_first, hold=busy), history=load,
        observer=lambda program, end_s: done.update({program.id: end_s}),
    )  # fmt: skip
    assert done == {0: 6.0, 1: 18.0, 3: 8.0, 2: 17.0}
    assert report.queueing.max_s == 8.0


def test_a_request_held_for_ever_is_sent_when_nothing_else_happens() -> None:
    """The stages in the middle are ready after 2.5 and 3.5 s; the one of 5 s is sent then, the other after it."""
    report = simulate([DIAMOND], [ONE_SECOND] * 3, replace(ROUND_ROBIN_FCFS, hold=lambda *_: True))
    assert (report.programs, report.latency.max_s) == (1, 3.5 + 5.0 + 3.0 + 1.25)


def test_later_stages_go_where_migration_says_and_moves_are_counted() -> None:
    def next_one(request: RequestView, replicas: Sequence[ReplicaView], now: float) -> int:
        assert request.home is not None
        return (request.home + 1) % len(replicas)

    chain = Program(0, 0.0, (Stage(1, 2), Stage(1, 2, after=(0,)), Stage(1, 2, after=(1,))))
    report = simulate([chain], [ONE_SECOND] * 2, Policy("move", lambda *_: 0, ROUND_ROBIN_FCFS.order, migrate=next_one))
    assert [replica.requests for replica in report.replicas] == [2, 1]
    assert report.migrations == 2


PREFILL = replace(ONE_SECOND, role="prefill", kv_bytes_per_token=1000.0, link_bytes_per_s=8000.0)
DECODE = replace(ONE_SECOND, role="decode")


def test_a_prefill_replica_writes_one_token_and_sends_the_kv() -> None:
    """A step, 4 kB at 8 kB/s, and two steps for the other two tokens."""
    report = simulate([Program(0, 0.0, (Stage(4, 3),))], [PREFILL, DECODE], ROUND_ROBIN_FCFS)
    assert report.latency.max_s == 1.0 + 0.5 + 2.0
    assert (report.ttft.max_s, report.tpot.mean_s) == (1.0, 1.25)
    assert [replica.prefill_tokens for replica in report.replicas] == [4, 0]
    assert [replica.decode_tokens for replica in report.replicas] == [0, 2]
    assert [replica.requests for replica in report.replicas] == [0, 1]
    assert report.programs == 1


def test_a_reply_of_one_token_needs_no_decode_replica() -> None:
    report = simulate([Program(0, 0.0, (Stage(4, 1),))], [PREFILL, DECODE], ROUND_ROBIN_FCFS)
    assert (report.latency.max_s, report.replicas[1].steps) == (1.0, 0)


def test_kv_of_a_whole_block_takes_another_for_the_next_token() -> None:
    """A prompt of 16 tokens fills a block; with two blocks in all, the second request waits for the first to end."""
    load = [Program(i, 0.0, (Stage(16, 3),)) for i in range(2)]
    decode = replace(DECODE, kv_blocks=2)
    report = simulate(load, [replace(PREFILL, link_bytes_per_s=16_000.0), decode], ROUND_ROBIN_FCFS)
    # The second prompt is prefilled in the second step, arrives at 3 s and starts at 4 s.
    assert report.latency.max_s == 6.0
    assert report.preemptions == 0


def test_a_request_too_long_for_every_decode_replica_is_rejected() -> None:
    report = simulate([Program(0, 0.0, (Stage(16, 30),))], [PREFILL, replace(DECODE, kv_blocks=2)], ROUND_ROBIN_FCFS)
    assert (report.programs, report.rejected) == (0, 1)


@pytest.mark.parametrize("cluster", [[PREFILL], [DECODE], [ONE_SECOND, DECODE]])
def test_prefill_and_decode_need_each_other(cluster: list[ReplicaSpec]) -> None:
    with pytest.raises(PlanError) as caught:
        simulate([DIAMOND], cluster, ROUND_ROBIN_FCFS)
    assert caught.value.code == "ORCH-P067"


@pytest.mark.parametrize("answer", [-1, 2])
def test_a_policy_must_answer_a_position(answer: int) -> None:
    policy = Policy("lost", lambda *_: answer, ROUND_ROBIN_FCFS.order)
    with pytest.raises(PlanError, match=f"'lost' chose replica {answer} of 2") as caught:
        simulate([DIAMOND], [ONE_SECOND] * 2, policy)
    assert caught.value.code == "ORCH-P066"


def test_an_empty_cluster() -> None:
    with pytest.raises(PlanError) as caught:
        simulate([DIAMOND], [], ROUND_ROBIN_FCFS)
    assert caught.value.code == "ORCH-P063"


def test_arrivals_out_of_order() -> None:
    with pytest.raises(PlanError, match="program 0 arrives at") as caught:
        simulate([replace(DIAMOND, id=1, arrival_s=2.0), DIAMOND], [ONE_SECOND], ROUND_ROBIN_FCFS)
    assert caught.value.code == "ORCH-P064"


@pytest.mark.parametrize(
    "stages", [(), (Stage(0, 1),), (Stage(1, 0),), (Stage(1, 1, unit_tokens=0),), (Stage(1, 1, after=(0,)),)]
)
def test_impossible_programs(stages: tuple[Stage, ...]) -> None:
    with pytest.raises(PlanError, match="program 9") as caught:
        simulate([Program(9, 0.0, stages)], [ONE_SECOND], ROUND_ROBIN_FCFS)
    assert caught.value.code == "ORCH-P065"


def test_nothing_arrives() -> None:
    report = simulate([], [ONE_SECOND], ROUND_ROBIN_FCFS)
    assert (report.programs, report.slo_attainment, report.goodput_per_s, report.latency.p95_s) == (0, None, None, None)
    assert report.as_dict()["preemptions"] == 0


def test_policies_see_means_of_the_step_and_never_the_truth() -> None:
    seen: list[tuple[str, float, float]] = []

    def look(request: RequestView, replicas: Sequence[ReplicaView], now: float) -> int:
        seen.append((request.step, request.predicted_output_tokens, request.remaining_s))
        return 0

    def chain(number: int, arrival_s: float, drafts: int) -> Program:
        stages = (Stage(1, 4, step="link"), Stage(1, drafts, step="draft", after=(0,), tool_s=2.0))
        return Program(number, arrival_s, stages, workflow="w")

    policy = Policy("look", look, ROUND_ROBIN_FCFS.order)
    simulate([chain(9, 0.0, 50), chain(10, 100.0, 50)], [ONE_SECOND], policy, history=[chain(0, 0, 6), chain(1, 0, 8)])
    assert seen[:2] == [("link", 4.0, 2.0 + 7.0), ("draft", 7.0, 0.0)]
    assert seen[2][2] == pytest.approx(2.0 + (6 + 8 + 50) / 3)
    assert seen[3][1] == pytest.approx((6 + 8 + 50) / 3)


def test_a_step_never_seen_is_expected_to_be_of_default_length() -> None:
    assert StepHistory(output_tokens=99.0).predict(DIAMOND, 0, lambda program, stage, output: output) == (99.0, 0.0)


def test_a_noisy_oracle() -> None:
    assert NoisyTruth(0.0, seed=1).predict(DIAMOND, 0, lambda program, stage, output: output) == (2, 0.5 + 5.0 + 1.25)
    first, second = NoisyTruth(0.5, seed=1), NoisyTruth(0.5, seed=1)
    drawn = [first.predict(DIAMOND, 1, lambda program, stage, output: output) for _ in range(2000)]
    assert drawn == [second.predict(DIAMOND, 1, lambda program, stage, output: output) for _ in range(2000)]
    lengths = sorted(prediction.output_tokens for prediction in drawn)
    assert lengths[1000] == pytest.approx(5.0, rel=0.05)
    assert lengths[1000 + 683] / lengths[1000] == pytest.approx(1.65, rel=0.1)


def peak_bytes(count: int) -> int:
    """Of Python's allocations while ``count`` programs pass through, at the same load."""

    def stream() -> Iterator[Program]:
        for number in range(count):
            yield Program(number, 0.5 * number, (Stage(40, 20, prefix_ids=(number, number + 1), unit_tokens=16),))

    tracemalloc.start()
    simulate(stream(), [spec(), spec()], ROUND_ROBIN_FCFS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_is_flat_in_the_number_of_programs() -> None:
    assert peak_bytes(3000) < 1.1 * peak_bytes(600)
