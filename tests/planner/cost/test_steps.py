from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planner.catalogue import load
from orchestrator.planner.cost.deployment import Deployment
from orchestrator.planner.cost.steps import decode_step, link_bytes_per_s, peak_flops, prefill_step
from orchestrator.planner.models import bundled
from orchestrator.planner.parallel import Parallel
from tests.planner.clusters import gpu, tiny

LLAMA, GPT_OSS, DEEPSEEK = (bundled(name) for name in ("llama-3.1-8b", "gpt-oss-120b", "deepseek-r1"))
assert LLAMA is not None
assert GPT_OSS is not None
assert DEEPSEEK is not None


def deployment(facts: object = LLAMA, device: str = "h100-sxm", **changes: object) -> Deployment:
    given_ = {"facts": facts, "device": load(device).device("d"), "backend": "vllm", "isl": 1000.0, "osl": 500.0}
    return Deployment(**{**given_, "concurrency": 8.0, **changes})  # type: ignore[arg-type]


def test_one_token_of_a_small_model_is_the_weights_and_the_cache() -> None:
    # Of 5e8 parameters at two bytes, 1000 * 1000 are embeddings that a step does not read; 1e12 bytes/s.
    of = deployment(tiny(), device="h100-sxm")
    of = replace(of, device=gpu())
    step = decode_step(of, 1, 2000)
    assert step.shared_s == pytest.approx((5e8 - 1e6) * 2 / 1e12)
    assert step.kv_s == pytest.approx(2000 * 2 * 10 * 1 * 25 * 2 / 1e12)
    assert (step.experts_s, step.exchange_s, step.rounds) == (0.0, 0.0, 0.0)


def test_a_token_reads_its_experts_and_a_large_batch_all_of_them() -> None:
    of = deployment(GPT_OSS)
    one, many = decode_step(of, 1, 0).experts_s, decode_step(of, 4000, 0).experts_s
    all_bytes = GPT_OSS.routed_params * 0.5625
    assert one == pytest.approx(all_bytes * 4 / 128 / 3.35e12)
    assert many >= all_bytes / 3.35e12


def test_parallelism_splits_weights_and_cache_but_not_a_latent_cache() -> None:
    split = Parallel(tp=4, moe_tp=4)
    alone, four = deployment(), deployment(prefill=split, decode=split)
    # Smaller matrices fill the device less, so a quarter of the bytes takes more than a quarter of the time.
    whole, quarter = decode_step(alone, 1, 0).shared_s, decode_step(four, 1, 0).shared_s
    assert whole / 4 < quarter < whole / 2
    assert four.kv_bytes(1) == pytest.approx(alone.kv_bytes(1) / 4)
    latent, latent_four = deployment(DEEPSEEK), deployment(DEEPSEEK, prefill=split, decode=split)
    assert latent.kv_bytes(1) == latent_four.kv_bytes(1) == 61 * 576 * 2


@pytest.mark.parametrize("backend", ["vllm", "trtllm"])
def test_the_cache_is_as_wide_as_the_engine_is_told(backend: str) -> None:
    fp8, bf16 = (deployment(replace(LLAMA, cache_dtype=dtype), backend=backend) for dtype in ("fp8", "bf16"))
    assert (fp8.kv_bytes(1), bf16.kv_bytes(1)) == (2 * 32 * 8 * 128, 2 * 32 * 8 * 128 * 2)


def test_an_indexer_takes_room_beside_the_cache_and_is_read_with_it() -> None:
    at = Parallel(tp=8, moe_ep=8)
    without, indexed = (
        deployment(replace(DEEPSEEK, index_bytes=bytes_), device="b200-sxm", prefill=at, decode=at)
        for bytes_ in (0, 8052)
    )
    assert indexed.kv_bytes(1) == without.kv_bytes(1) + 8052
    assert indexed.capacity == pytest.approx(without.capacity * 70_272 / (70_272 + 8052))
    assert decode_step(indexed, 1, 1000).kv_s > decode_step(without, 1, 1000).kv_s


def test_more_shards_than_kv_heads_hold_copies() -> None:
    eight, sixteen = (deployment(decode=Parallel(tp=n)) for n in (8, 16))
    assert eight.kv_bytes(1) == sixteen.kv_bytes(1)


def test_sliding_layers_cache_their_window() -> None:
    of = deployment(GPT_OSS)
    assert of.kv_bytes(8192) == pytest.approx(36 * 8 * 64 * 2 * 2 * (8192 + 128) / 2)


def test_an_unknown_precision_computes_in_sixteen_bits() -> None:
    a100 = load("a100-sxm-80gb").device("d")
    assert peak_flops(a100, "fp8") == peak_flops(a100, "bf16")


def test_beyond_the_fast_domain_the_slow_link_counts() -> None:
    h100 = load("h100-sxm").device("d")
    assert link_bytes_per_s(h100, 8) == 4.5e11
    assert link_bytes_per_s(h100, 16) == 5e10


@given(st.floats(1, 1e4), st.floats(0, 1e5), st.sampled_from([1, 2, 8]))
def test_more_requests_never_take_less_time(sequences: float, context: float, tp: int) -> None:
    of = deployment(GPT_OSS, decode=Parallel(tp=tp, moe_tp=tp))
    assert decode_step(of, 2 * sequences, context).work_s >= decode_step(of, sequences, context).work_s
    assert decode_step(of, sequences, context + 1).work_s >= decode_step(of, sequences, context).work_s
    assert prefill_step(of, 2 * sequences).work_s >= prefill_step(of, sequences).work_s


def test_what_fits_is_what_is_left_beside_the_weights() -> None:
    of = deployment()
    free = 85_899_345_920 * 0.93 - LLAMA.weight_bytes - 2e9
    assert of.capacity == pytest.approx(free / (131_072 * (1000 + 250)))
    assert deployment(concurrency=10_000.0).load > 1


def test_a_measured_device_takes_its_roofline_times_what_kernels_showed() -> None:
    of = deployment()
    ideal = (LLAMA.shared_params - LLAMA.vocab * LLAMA.hidden) * 2 / 3.35e12
    assert 1.0 < decode_step(of, 1, 0).shared_s / ideal < 2.0


def test_a_device_nobody_measured_keeps_its_roofline() -> None:
    of = deployment(device="mi300x")
    ideal = (LLAMA.shared_params - LLAMA.vocab * LLAMA.hidden) * 2 / 5.3e12
    assert decode_step(of, 1, 0).shared_s == pytest.approx(ideal, rel=1e-6)
