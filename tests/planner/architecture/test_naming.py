"""What is made of a model's name where there is no config: held against configs of models that are named that way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.planner.architecture.naming import MOST_PARAMS, size_of, width_of
from orchestrator.planner.models import ASSUMED_PARAMS, DTYPE_BYTES, bundled, unknown


@pytest.mark.parametrize(
    "name", ["qwen3-235b-a22b", "qwen3-30b-a3b", "qwen3-coder-480b-a35b", "mixtral-8x7b", "mixtral-8x22b"]
)
def test_a_mixture_is_priced_by_its_name_about_as_by_its_config(name: str) -> None:
    read, guessed = bundled(name), unknown(name)
    assert read is not None
    assert guessed.params == pytest.approx(read.params, rel=0.05)
    assert guessed.active_params == pytest.approx(read.active_params, rel=0.12)
    assert guessed.shared_params == pytest.approx(read.shared_params, rel=0.4)
    assert read.experts / 1.3 < guessed.experts < read.experts * 1.3
    assert guessed.kv_bytes_per_token / guessed.spread < read.kv_bytes_per_token
    assert guessed.kv_bytes_per_token * guessed.spread > read.kv_bytes_per_token


@pytest.mark.parametrize(
    ("name", "params", "active"),
    [  # published sizes
        ("Qwen/Qwen3.5-397B-A17B", 397e9, 17e9),
        ("org/DeepSeek-V9-671B-A37B", 671e9, 37e9),
        ("baidu/ERNIE-4.5-300B-A47B-PT", 300e9, 47e9),
        ("moonshotai/Moonlight-16B-A3B-Instruct", 16e9, 2.9e9),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", 109e9, 17e9),
        ("meta-llama/Llama-4-Maverick-17B-128E", 400e9, 17e9),
        ("Kimi-K9-1.04T-A32B", 1.04e12, 32e9),
        ("Qwen/Qwen1.5-MoE-A2.7B", 14.3e9, 2.7e9),
        ("google/gemma-3n-E4B-it", 7.9e9, 4e9),
        ("google/gemma-3n-E2B", 5.4e9, 2e9),
        ("Qwen/Qwen2.5-7B-Instruct-1M", 7.6e9, 7.6e9),
        ("gradientai/Llama-3-1M-8B", 8e9, 8e9),
        ("ibm_granite_3b_a800m", 3.3e9, 0.8e9),
    ],
)
def test_sizes_that_a_name_tells_lie_within_their_doubt(name: str, params: float, active: float) -> None:
    facts = unknown(name)
    assert not facts.known
    assert params / facts.spread <= facts.params <= params * facts.spread
    assert active / 1.2 < facts.active_params < active * 1.2
    assert facts.weight_bytes == pytest.approx(2 * facts.params)
    assert facts.active_weight_bytes == pytest.approx(2 * facts.active_params)
    assert facts.active_params == pytest.approx(
        facts.shared_params + facts.expert_layers * facts.experts_per_token * facts.expert_params, rel=1e-6
    )
    if facts.experts:
        assert "of which a token uses" in facts.note


def test_a_guess_about_a_mixture_is_wider_than_one_about_a_dense_model() -> None:
    assert unknown("x-8B").spread < unknown("x-397B-A17B").spread < unknown("x-A17B").spread < unknown("x").spread


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("nvidia/Llama-3.1-8B-Instruct-FP8", "fp8"),
        ("RedHatAI/x-70B-FP8-dynamic", "fp8"),
        ("nvidia/Qwen3-32B-NVFP4", "fp4"),
        ("x-8B-MXFP4", "fp4"),
        ("x-8B-AWQ", "int4"),
        ("x-8B-GPTQ-Int4", "int4"),
        ("x-8B-GPTQ-Int8", "int8"),
        ("x-8B-quantized.w4a16", "int4"),
        ("x-8B-quantized.w8a8", "int8"),
        ("unsloth/x-8B-bnb-4bit", "int4"),
        ("x-8B-Q4_K_M", "int4"),
        ("x-8B", None),
        ("x-8B-16bit", None),
        ("x-8B-BF16", "bf16"),
        ("awqward-8B", None),
    ],
)
def test_a_name_may_tell_the_width_of_weights(name: str, dtype: str | None) -> None:
    assert width_of(name) == dtype
    facts = unknown(name)
    assert facts.weight_bytes == pytest.approx(facts.params * DTYPE_BYTES[dtype or "bf16"])
    assert (f"in {dtype}" if dtype not in {None, "bf16"} else "assumed") in facts.note


@pytest.mark.parametrize(
    "name",
    [
        "0b", "x-0B-A0B", "x-999999999T", "9" * 400 + "b", "0x7b", "1x7b", "9999x9999t", "x-8B-A", "x-1e9B", "x-A", "",
        "/", "x-inf-nan-B", "\u0663b", "-8b8", "a" * 10**6 + "-8b", "x-17B7", "0E", "x-E",
    ],
)  # fmt: skip
def test_a_name_that_tells_no_size_that_there_can_be_is_said_to_tell_none(name: str) -> None:
    facts = unknown(name)
    if size_of(name) is None:
        assert (facts.params, facts.spread) == (ASSUMED_PARAMS, 8.0)
        assert "tells no size" in facts.note
    assert 0 < facts.params <= MOST_PARAMS


@pytest.mark.parametrize(
    ("name", "params"), [("x-8B-A70B", 8e9), ("x-8B-A8B", 8e9), ("x-7B-0E", 7e9), ("x-7B-1E", 7e9), ("x-0B-8B", 8e9)]
)
def test_a_mixture_that_cannot_be_is_dense(name: str, params: float) -> None:
    facts = unknown(name)
    assert (facts.params, facts.active_params, facts.experts) == (params, params, 0)


_PART = st.one_of(
    st.sampled_from(["-", "_", ".", "/", "A", "E", "x", "B", "b", "M", "T", "FP8", "8x7B", "-A3B", "-E4B", "4bit"]),
    st.integers(0, 10**12).map(str),
    st.text(max_size=3),
)


@given(st.lists(_PART, max_size=9).map("".join))
def test_any_name_gives_facts_that_can_be(name: str) -> None:
    facts = unknown(name)
    assert 0 < facts.active_params <= facts.params * 1.0001 <= 1.001 * MOST_PARAMS
    assert facts.shared_params > 0
    assert 0 < facts.active_weight_bytes <= facts.weight_bytes * 1.0001
    assert facts.experts_per_token <= facts.experts
    assert facts.layers > 0 < facts.kv_heads
    assert facts.note and facts.spread > 1
