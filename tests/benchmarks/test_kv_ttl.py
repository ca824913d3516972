"""The KV benchmark: equal loads for all arms, figures from what was played, a simulator that plays the same jobs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace

import pytest

from benchmarks import kv_ttl
from benchmarks.harness.record import OURS, Result
from benchmarks.kv.arms import ARMS, STOCK, Arm, capped, token_capacity
from benchmarks.kv.calibrate import LARGEST_SHARE, calibrate, fitted
from benchmarks.kv.driving import Played
from benchmarks.kv.serving import Reply
from benchmarks.kv.simulated import Load, SimulatedEngine, modelled, play, programs_of, replay
from benchmarks.kv.workload import BLOCK_TOKENS, LONGEST_SHARE, SHARED_TOKENS, SWE, Case, tokens_of
from orchestrator.planner.simulate.measured_speed import MeasuredStep, SpeedFit
from orchestrator.planner.simulate.speed import ReplicaSpeed

SPEED = ReplicaSpeed(
    token_s=2e-5, weight_s=0.0, kv_token_s=2e-7, step_s=3.4e-3, pair_s=3e-8, sequence_s=3e-5, call_s=5e-4
)
TINY = Case("tiny", jobs=8, spread_s=0.5, chats=3)
LIGHT = Case("tiny-light", jobs=4, spread_s=24.0, chats=2)
SIMULATED = [arm for arm in ARMS if modelled(arm)]


def found(results: Sequence[Result], metric: str, arm: str = OURS, case: str = "pressure") -> Result:
    (one,) = [each for each in results if (each.case, each.arm, each.metric) == (case, arm, metric)]
    return one


def test_a_seed_draws_the_same_jobs_each_time_and_another_seed_others() -> None:
    for case in (*kv_ttl.SWEEP, kv_ttl.QUICK):
        jobs = case.draw(1)
        assert jobs == case.draw(1)
        assert jobs != case.draw(2)
        assert [job.arrival_s for job in jobs] == sorted(job.arrival_s for job in jobs)
        assert len({job.number for job in jobs}) == len(jobs) == case.jobs + case.chats
        assert sum(job.kind is None for job in jobs) == case.chats
        for job in jobs:
            total = sum(turn.new_tokens + turn.output_tokens for turn in job.turns)
            assert total <= case.kv_blocks * BLOCK_TOKENS, "or it could never run"
        assert tokens_of(1, jobs[0], 2048) == tokens_of(1, jobs[0], 2048)


def test_caps_that_are_tried_follow_the_memory() -> None:
    cases = {case.name: case for case in kv_ttl.SWEEP}
    assert kv_ttl.caps_of(cases["pressure"]) == [2, 3, 4, 5, 6, 8]
    assert kv_ttl.caps_of(cases["kv2"]) == [4, 6, 8, 10, 12, 16]
    assert kv_ttl.caps_of(cases["kv0.5"]) == [1, 2, 3, 4]
    assert kv_ttl.caps_of(cases["light"]) == [2, 3, 4]
    assert max(kv_ttl.caps_of(cases["kv4"])) == cases["kv4"].jobs, "as good as none"
    assert kv_ttl.caps_of(replace(kv_ttl.on_gpu(cases["pressure"]), kv_blocks=0)) == [18]
    assert kv_ttl.caps_of(kv_ttl.on_gpu(cases["pressure"])) == [1, 2, 3, 4, 5]


def test_a_quick_run_tries_little() -> None:
    every = kv_ttl.tries_of(kv_ttl.PRESSURE, None)
    assert [len(each) for each in every] == [6, 6]
    notes = [[arm.note for arm in each] for each in kv_ttl.tries_of(kv_ttl.QUICK, kv_ttl.QUICK_TRIES)]
    assert [len(each) for each in notes] == [2, 2]
    assert len({note for each in notes for note in each}) == 4


def test_programs_of_a_kind_begin_alike_and_no_others() -> None:
    jobs = [job for job in TINY.draw(1) if job.kind is not None]
    begins = {job.number: tuple(tokens_of(1, job, 2048)[0][:SHARED_TOKENS]) for job in jobs}
    assert len(set(begins.values())) == 2
    programs = {program.id: program for program in programs_of(jobs)}
    shared = SHARED_TOKENS // BLOCK_TOKENS
    for one in jobs:
        for other in jobs:
            ids = [programs[job.number].stages[0].prefix_ids[: shared + 1] for job in (one, other)]
            common = sum(a == b for a, b in zip(*ids, strict=False))
            alike = shared if one.kind is other.kind else 0
            assert common == (len(ids[0]) if one is other else alike)
            assert (begins[one.number] == begins[other.number]) == (one.kind is other.kind)


def test_the_tail_is_long_tools_and_long_tools_are_named() -> None:
    tools = [
        turn
        for seed in range(20)
        for job in Case("t", jobs=20, long_share=0.2).draw(seed)
        if job.kind is SWE
        for turn in job.turns[1:]
    ]
    long = [turn.tool_s for turn in tools if turn.tool == SWE.long_tool]
    short = [turn.tool_s for turn in tools if turn.tool == SWE.tool]
    assert len(long) / len(tools) == pytest.approx(0.2, abs=0.03)
    assert statistics.median(long) == pytest.approx(10 * statistics.median(short), rel=0.35)
    assert LONGEST_SHARE < 1


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([3.0, 1.0, 2.0], 0.5, 2.0), (range(1, 101), 0.95, 95), (range(1, 21), 0.95, 19), ([7.0], 0.99, 7.0)],
)
def test_a_quantile_is_the_least_value_that_a_share_does_not_exceed(
    values: Sequence[float], share: float, expected: float
) -> None:
    assert kv_ttl.quantile(values, share) == expected


def played(*jct_s: float) -> Played:
    return Played(list(jct_s), [0.5, 1.0], makespan_s=max(jct_s), hit_tokens=10, recomputed_tokens=3)


def test_figures_of_an_arm() -> None:
    case = "pressure"
    measured = {
        (case, "stock"): [played(10, 20), played(30, 30), played(8, 8)],
        (case, "best-cap"): [played(6, 6), played(10, 20), played(4, 8)],
        (case, "token-capacity"): [played(6, 6), played(10, 10), played(8, 10)],
        (case, OURS): [played(5, 5), played(10, 10), played(8, 8)],
    }
    results = list(kv_ttl.results_of(measured, {case: [capped(4), token_capacity(0.9, "oldest")]}))
    mean = found(results, "mean_jct_s")
    assert (mean.value, mean.low, mean.high, mean.n) == (pytest.approx(46 / 6, abs=1e-4), 5, 10, 6)
    assert found(results, "p95_jct_s").value == 10
    assert found(results, "p95_jct_s", "stock").value == 30
    ratio = found(results, "mean_ratio")
    assert (ratio.value, ratio.low, ratio.high) == (3.0, 1.0, 3.0), "the median over seeds, each beside its own"
    assert found(results, "p95_ratio").value == 3.0
    assert found(results, "best_cap_ratio").value == pytest.approx(1.2)
    assert found(results, "token_capacity_ratio").value == pytest.approx(1.125)
    assert found(results, "unhinted_p95_s").value == 1.0
    assert found(results, "hit_tokens").value == 10
    assert found(results, "mean_jct_s", "best-cap").note == "cap 4"
    assert found(results, "mean_jct_s", "token-capacity").note == "90 % of the KV, oldest first"

    replayed = {
        (case, "stock"): [played(20, 20)] * 3,
        (case, "best-cap"): [played(8, 8)] * 3,
        (case, OURS): [played(8, 8)] * 3,
    }
    fits = {640: SpeedFit(SPEED, 0.05, 0.2)}
    agreement = list(kv_ttl.agreement_of(measured, replayed, fits))
    assert found(agreement, "simulated_mean_ratio").value == 2.5
    assert found(agreement, "simulation_error").value == pytest.approx(2.5 / 3 - 1, abs=1e-4)
    assert found(agreement, "simulation_error", "stock").value == 0
    worst = max(abs(found(agreement, "simulation_error", arm).value) for arm in ("stock", "best-cap", OURS))
    assert found(agreement, "simulation_worst_error").value == worst > 0.16
    assert found(agreement, "mean_step_error", "stock", "calibration/640").value == 0.05


def test_an_unknown_case_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        kv_ttl.main(["--cases", "pressure,presure", "--json", "never.json"])
    message = capsys.readouterr().err
    assert "no case is called presure" in message
    assert "tail20" in message


def test_every_arm_plays_every_job_on_the_simulator() -> None:
    small = replace(TINY, kv_blocks=300)
    arms = [*SIMULATED, capped(2), token_capacity(0.8, "shortest"), token_capacity(1.0, "oldest")]
    for arm in arms:
        once = play(SimulatedEngine.of(arm, 300, SPEED), small, 1, arm)
        assert (len(once.jct_s), len(once.chat_s)) == (small.jobs, small.chats), arm.name
        assert once.makespan_s >= max(once.jct_s)
        assert once.hit_tokens > 0
        assert once == play(SimulatedEngine.of(arm, 300, SPEED), small, 1, arm), "the same again"


def test_keeping_pays_on_the_simulator_where_memory_is_short() -> None:
    small = replace(TINY, kv_blocks=300, jobs=12)
    tuned = [capped(2), token_capacity(0.9, "oldest")]
    by_arm = replay(SIMULATED, [Load(small, tuned, (101,), (1, 2))], SPEED)
    assert {arm for _, arm in by_arm} == {arm.name for arm in SIMULATED} | {"best-cap", "token-capacity"}
    recomputed = {arm: sum(one.recomputed_tokens for one in each) for (_, arm), each in by_arm.items()}
    mean = {arm: statistics.mean(x for one in each for x in one.jct_s) for (_, arm), each in by_arm.items()}
    assert recomputed["stock"] > 2 * recomputed[OURS]
    assert recomputed["stock"] > 2 * recomputed["token-capacity"]
    assert mean["stock"] > 1.3 * mean[OURS]


@pytest.mark.parametrize("arm", [*SIMULATED, capped(6), token_capacity(1.0, "shortest")], ids=lambda arm: arm.name)
def test_nothing_changes_on_the_simulator_where_memory_is_plenty(arm: Arm) -> None:
    stock = play(SimulatedEngine.of(STOCK, 2000, SPEED), LIGHT, 1, STOCK)
    other = play(SimulatedEngine.of(arm, 2000, SPEED), LIGHT, 1, arm)
    assert statistics.mean(other.jct_s) == pytest.approx(statistics.mean(stock.jct_s), rel=0.02)
    assert other.hit_tokens == stock.hit_tokens
    assert other.recomputed_tokens == 0


def test_our_engine_learns_the_speed_of_prefill_from_its_steps() -> None:
    (arm,) = [arm for arm in ARMS if arm.name == OURS]
    engine = SimulatedEngine.of(arm, 640, SPEED)
    play(engine, TINY, 1, arm)
    assert engine.clock_s > 0
    assert SPEED.token_s < engine.steps.prefill_s_per_token < 10 * SPEED.token_s
    assert engine.retention is not None
    assert not engine.retention.table, "the cache is emptied between seeds"


class Instant:
    """An engine that notes what it is asked."""

    def __init__(self, kv_blocks: int) -> None:
        self.kv_blocks = kv_blocks
        self.asked: list[tuple[int, int]] = []
        self.refusals = 2

    async def generate(self, prompt: Sequence[int], output_tokens: int, hint: object) -> Reply:
        assert hint == {}
        self.asked.append((len(prompt), output_tokens))
        return Reply((5,) * output_tokens, 0)

    async def reset(self) -> bool:
        self.refusals -= 1
        return self.refusals < 0


@pytest.mark.parametrize("kv_blocks", [320, 640])
async def test_calibration_fits_into_the_engine(kv_blocks: int) -> None:
    engine = Instant(kv_blocks)
    rows = await calibrate(engine)
    assert any(row.decodes and row.prefill_tokens for row in rows)
    assert max(prompt for prompt, _ in engine.asked) <= LARGEST_SHARE * kv_blocks * BLOCK_TOKENS


def test_a_fit_takes_the_median_of_equal_measurements_and_leaves_out_what_cannot_be() -> None:
    true = [
        MeasuredStep(tokens, decodes, context, SPEED.mixed_s(tokens, tokens**2 / 2, tokens, decodes, context))
        for tokens, decodes, context in (
            (100, 0, 0),
            (1000, 0, 0),
            (2000, 0, 0),
            (0, 1, 100),
            (0, 8, 8000),
            (0, 32, 99),
        )
    ]
    outliers = [replace(row, seconds=50 * row.seconds) for row in true]
    fit = fitted([*true, *outliers, *true, MeasuredStep(300, 4, 1000, -0.1)])
    assert fit.mean_error < 0.01
