import json
from importlib.resources import files

import pytest

from orchestrator.planner.cluster import EngineSpec
from orchestrator.planner.models import bundled, facts_of


@pytest.mark.parametrize(
    ("name", "params", "active", "kv_bytes"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", 8.03e9, 8.03e9, 2 * 32 * 8 * 128 * 2),
        ("nvidia/Llama-3.1-70B-Instruct-FP8", 70.6e9, 70.6e9, 2 * 80 * 8 * 128 * 2),
        ("Qwen/Qwen3-32B", 32.8e9, 32.8e9, 2 * 64 * 8 * 128 * 2),
        ("openai/gpt-oss-120b", 116.8e9, 5.7e9, 2 * 36 * 8 * 64 * 2),
        ("mistralai/Mixtral-8x7B-v0.1", 46.7e9, 12.9e9, 2 * 32 * 8 * 128 * 2),
        ("deepseek-ai/DeepSeek-R1-0528", 671e9, 37.6e9, 61 * 576 * 2),
        ("Qwen/Qwen3-235B-A22B-FP8", 235.1e9, 22.2e9, 2 * 94 * 4 * 128 * 2),
    ],
)
def test_well_known_models_have_their_published_size(name: str, params: float, active: float, kv_bytes: float) -> None:
    facts = bundled(name)
    assert facts is not None
    assert facts.known
    assert facts.params == pytest.approx(params, rel=0.005)
    assert facts.active_params == pytest.approx(active, rel=0.01)
    assert facts.kv_bytes_per_token == kv_bytes


def test_every_bundled_config_reads_and_names_its_source() -> None:
    for path in (files("orchestrator.planner") / "model_configs").iterdir():
        assert json.loads(path.read_text())["source"].startswith("config.json of ")
        facts = bundled(path.name.removesuffix(".json"))
        assert facts is not None
        assert facts.params > 1e8


def test_experts_in_four_bits_and_the_rest_in_sixteen() -> None:
    facts = bundled("gpt-oss-120b")
    assert facts is not None
    assert facts.weight_bytes == pytest.approx(facts.shared_params * 2 + facts.routed_params * 0.5625)
    assert 60e9 < facts.weight_bytes < 72e9


def test_an_engine_finds_the_bundled_facts_and_others_stay_unknown() -> None:
    assert facts_of(EngineSpec(name="e", kind="vllm", model="meta-llama/Llama-3.1-8B")).known
    assert bundled("somebody/else-8b") is None
    assert not facts_of(EngineSpec(name="e", kind="vllm", model="somebody/else-8b")).known


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("nvidia/Llama-3.1-8B-Instruct-FP8", "fp8"),
        ("org/Llama-3.1-8B-Instruct-AWQ-INT4", "int4"),
        ("org/Llama-3.1-8B-Instruct-quantized.w4a16", "int4"),
        ("org/Meta-Llama-3.1-8B-Instruct-FP8-dynamic", "fp8"),
        ("deepseek-ai/DeepSeek-R1", "fp8"),
        ("nvidia/DeepSeek-R1-NVFP4", "fp4"),
        ("org/gpt-oss-20b-BF16", "bf16"),
    ],
)
def test_a_name_tells_how_the_weights_of_a_well_known_model_are_stored(name: str, dtype: str) -> None:
    facts = bundled(name)
    assert facts is not None
    assert (facts.weight_dtype, facts.dense_weight_dtype) == (dtype, None)
