"""Configs as architectures write them: parameters and cache against published or worked-out figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import PlanError
from orchestrator.planner.architecture.fields import NAMES
from orchestrator.planner.models import read_config
from tests.planner.architecture.configs import KV, PARAMS, YI, facts, without


def test_the_plain_case(tmp_path: Path) -> None:
    found = facts(YI, tmp_path)
    assert (found.params, found.kv_values_per_token, found.known, found.note) == (PARAMS, KV, True, "")


@pytest.mark.parametrize(
    "name",
    [
        "head_dim", "torch_dtype", "dtype", "num_local_experts", "num_experts", "n_routed_experts",
        "num_experts_per_tok", "n_shared_experts", "first_k_dense_replace", "moe_intermediate_size", "kv_lora_rank",
        "q_lora_rank",
        "qk_rope_head_dim", "sliding_window", "quantization_config", "text_config", "llm_config", "vision_config",
        "layer_types", "layers_block_type", "block_configs", "attn_config", "auto_map", "num_kv_shared_layers",
        "max_position_embeddings",
    ],
)  # fmt: skip
def test_null_is_not_given(tmp_path: Path, name: str) -> None:
    found = facts({**YI, name: None}, tmp_path)
    assert (found.params, found.kv_values_per_token, found.known) == (PARAMS, KV, True)
    assert found.dtype == "bf16"


@pytest.mark.parametrize(
    "more",
    [
        {"head_dim": 0}, {"sliding_window": 0}, {"sliding_window": -1}, {"kv_lora_rank": 0}, {"num_experts": 0},
        {"num_local_experts": 1}, {"n_shared_experts": 0}, {"first_k_dense_replace": 0}, {"num_kv_shared_layers": 0},
        {"text_config": {}}, {"quantization_config": {"quant_method": ""}}, {"layer_types": []},
        {"tie_embedding_weights": False}, {"max_position_embeddings": -1}, {"torch_dtype": "auto"},
        {"dtype": "float32"},
    ],
)  # fmt: skip
def test_zero_is_none_where_it_can_be(tmp_path: Path, more: dict[str, Any]) -> None:
    found = facts({**YI, **more}, tmp_path)
    assert (found.params, found.kv_values_per_token, found.known) == (PARAMS, KV, True), found.note
    assert ([each.window for each in found.attention], found.weight_dtype) == ([0], "bf16")


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llava", "text_config": YI},
        {"model_type": "internvl_chat", "llm_config": YI},
        {"model_type": "deepseek_vl_v2", "language_config": YI},
        {"thinker_config": {"text_config": YI}},
        {"text_config": without("torch_dtype"), "torch_dtype": "bfloat16"},
        {"text_config": without("tie_word_embeddings"), "tie_word_embeddings": False},
        without("torch_dtype", dtype="torch.bfloat16"),
        without("hidden_size", d_model=2048),
        without("hidden_size", "num_attention_heads", "num_hidden_layers", n_embd=2048, n_head=16, n_layer=24),
        without("num_key_value_heads", num_kv_heads=4),
        without("num_key_value_heads", n_head_kv=4),
        without("num_key_value_heads", multi_query_group_num=4, multi_query_attention=True),
        without("num_key_value_heads", attn_config={"kv_n_heads": 4}),
        without(num_key_value_heads=[4] * 24),
        without(num_key_value_heads=[2, 6] * 12),
        without(intermediate_size=[5632] * 24),
        without(hidden_size="2048", num_hidden_layers=24.0),
        without("vocab_size", padded_vocab_size=64_000),
        without("head_dim", hidden_size_per_head=128),
    ],
)
def test_one_model_said_in_many_ways(tmp_path: Path, config: dict[str, Any]) -> None:
    found = facts(config, tmp_path)
    assert (found.params, found.kv_values_per_token, found.known) == (PARAMS, KV, True)
    assert found.weight_bytes == pytest.approx(2 * PARAMS)


@pytest.mark.parametrize(
    ("config", "params", "active", "values"),
    [  # published sizes
        (
            {  # Falcon-40B
                "model_type": "falcon", "hidden_size": 8192, "num_hidden_layers": 60, "num_attention_heads": 128,
                "num_kv_heads": 8, "new_decoder_architecture": True, "vocab_size": 65_024,
            },
            41.3e9, 41.3e9, 60 * 2 * 8 * 64,
        ),
        (
            {  # DBRX
                "model_type": "dbrx", "d_model": 6144, "n_layers": 40, "n_heads": 48, "vocab_size": 100_352,
                "attn_config": {"kv_n_heads": 8},
                "ffn_config": {"moe_num_experts": 16, "moe_top_k": 4, "ffn_hidden_size": 10_752},
                "tie_word_embeddings": False,
            },
            131.6e9, 36.5e9, 40 * 2 * 8 * 128,
        ),
        (
            {  # Qwen1.5-MoE-A2.7B
                "model_type": "qwen2_moe", "hidden_size": 2048, "num_hidden_layers": 24, "num_attention_heads": 16,
                "num_key_value_heads": 16, "intermediate_size": 5632, "moe_intermediate_size": 1408,
                "shared_expert_intermediate_size": 5632, "num_experts": 60, "num_experts_per_tok": 4,
                "vocab_size": 151_936, "tie_word_embeddings": False, "use_sliding_window": False,
            },
            14.3e9, 2.7e9, 24 * 2 * 16 * 128,
        ),
        (
            {  # DeepSeek-V2-Lite
                "model_type": "deepseek_v2", "hidden_size": 2048, "num_hidden_layers": 27, "num_attention_heads": 16,
                "num_key_value_heads": 16, "intermediate_size": 10_944, "moe_intermediate_size": 1408,
                "n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1,
                "kv_lora_rank": 512, "q_lora_rank": None, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
                "v_head_dim": 128, "vocab_size": 102_400, "tie_word_embeddings": False,
            },
            15.7e9, 2.7e9, 27 * 576,
        ),
        (
            {  # Gemma 2 9B
                "model_type": "gemma2", "hidden_size": 3584, "num_hidden_layers": 42, "num_attention_heads": 16,
                "num_key_value_heads": 8, "head_dim": 256, "intermediate_size": 14_336, "vocab_size": 256_000,
            },
            9.24e9, 9.24e9, 42 * 2 * 8 * 256,
        ),
        (
            {  # MPT-7B, which transformers 5 calls with d_model
                "model_type": "mpt", "d_model": 4096, "n_heads": 32, "n_layers": 32, "expansion_ratio": 4,
                "vocab_size": 50_432,
            },
            6.65e9, 6.65e9, 32 * 2 * 32 * 128,
        ),
        (
            {  # Qwen-1 7B counts both upper matrices in its width
                "model_type": "qwen", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
                "intermediate_size": 22_016, "vocab_size": 151_936, "tie_word_embeddings": False,
            },
            7.72e9, 7.72e9, 32 * 2 * 32 * 128,
        ),
        (
            {  # OpenELM-like: heads and widths by layer
                "model_type": "openelm", "model_dim": 1280, "num_transformer_layers": 2, "head_dim": 64,
                "num_query_heads": [12, 20], "num_kv_heads": [3, 5], "ffn_multipliers": [0.5, 4.0],
                "ffn_dim_divisor": 256, "vocab_size": 32_000, "tie_word_embeddings": True,
            },
            32_000 * 1280 + 2 * 1280 * 64 * 40 + 3 * 1280 * (768 + 5120), None, 2 * 64 * 8,
        ),
    ],
)  # fmt: skip
def test_published_sizes(
    tmp_path: Path, config: dict[str, Any], params: float, active: float | None, values: int
) -> None:
    found = facts(config, tmp_path)
    assert found.known, found.note
    assert found.params == pytest.approx(params, rel=0.01)
    assert active is None or found.active_params == pytest.approx(active, rel=0.05)
    assert found.kv_values_per_token == values


def test_what_a_nested_part_leaves_out_is_its_architectures(tmp_path: Path) -> None:
    llava = facts({"model_type": "llava", "text_config": {"model_type": "llama", "vocab_size": 32_064}}, tmp_path)
    assert llava.params == pytest.approx(6.74e9, rel=0.01)
    given = {"hidden_size": 3840, "intermediate_size": 15_360, "num_hidden_layers": 48, "num_attention_heads": 16}
    text = {"model_type": "gemma3_text", "num_key_value_heads": 8, **given}
    gemma = facts({"model_type": "gemma3", "text_config": text}, tmp_path)
    assert gemma.params == pytest.approx(11.77e9, rel=0.01)
    assert gemma.known


def test_a_tower_takes_memory_and_text_does_not_read_it(tmp_path: Path) -> None:
    tower = {"hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 4096}
    found = facts({"model_type": "llava", "text_config": YI, "vision_config": tower}, tmp_path)
    assert found.params == PARAMS
    assert found.weight_bytes - 2 * PARAMS == pytest.approx(2 * 0.302e9, rel=0.01)
    assert found.active_weight_bytes == 2 * PARAMS


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"model_type": "brand_new"}, "`brand_new`"),
        ({"model_type": "zamba2"}, "in part only"),
        ({"num_key_value_heads": -8}, "num_key_value_heads"),
        ({"num_key_value_heads": "many"}, "num_key_value_heads"),
        ({"intermediate_size": 1e99}, "intermediate_size"),
        ({"layer_types": ["telepathy"] * 24}, "telepathy"),
        ({"model_type": "nemotron_h", "hybrid_override_pattern": 7}, "the pattern of its layers, which is 7"),
        ({"layer_types": ["full_attention"] * 3}, "3 types for 24 layers"),
        ({"num_key_value_heads": [4] * 3 + [2]}, "24 layers"),
        ({"sliding_window": 128}, "sliding window"),
        ({"layer_types": ["sliding_attention"] * 24}, "the length of its sliding window"),
        ({"ffn_multipliers": ["wide"] * 24}, "ffn_multipliers"),
        ({"ffn_multipliers": [1.5] * 3}, "ffn_multipliers"),
        ({"block_configs": [{"ffn": {"ffn_mult": float("nan")}}] * 24}, "ffn_mult"),
        ({"block_configs": [{"ffn": {"ffn_mult": float("inf")}}] * 24}, "ffn_mult"),
        ({"block_configs": [{"attention": {"n_heads_in_group": "few"}}] * 24}, "n_heads_in_group"),
        ({"model_type": "lfm2", "block_auto_adjust_ff_dim": True, "block_ffn_dim_multiplier": "x"}, "multiplier"),
        ({"per_layer_config": {"\u00b2": {"head_dim": 64}}}, "per_layer_config"),
        ({"is_encoder_decoder": True}, "encoder"),
        ({"num_experts": 8}, "how many experts"),
        ({"vocab_size": None}, "vocabulary"),
        ({"num_attention_heads": None, "model_type": "", "auto_map": {"AutoConfig": "x.Y"}}, "attention heads"),
    ],
)
def test_what_is_not_understood_is_named_and_widens(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    found = facts({**YI, **more}, tmp_path)
    assert not found.known
    assert found.spread > 1
    assert said in found.note
    assert found.kv_bytes_per_token > 0
    assert found.params > 0


def test_a_config_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(YI).encode())
    assert read_config(tmp_path / "config.json", "m").params == PARAMS


_VALUE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 70),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["auto", "sliding_attention", "M-*", "gptq"]),
    st.lists(st.one_of(st.integers(-1, 9), st.none(), st.sampled_from(["mamba", "full_attention"])), max_size=5),
    st.dictionaries(st.sampled_from(["bits", "num_heads", "attention", "head_dim"]), st.integers(-2, 9), max_size=2),
)
_MORE = (
    "layer_types", "layers_block_type", "block_configs", "hybrid_override_pattern", "attn_layer_period", "text_config",
    "attn_layer_offset", "full_attention_interval", "attn_type_list", "linear_attn_config", "use_sliding_window",
    "max_window_layers", "sliding_window_pattern", "mlp_only_layers", "decoder_sparse_step", "moe_layer_freq",
    "kv_lora_rank", "q_lora_rank", "qk_rope_head_dim", "v_head_dim", "quantization_config", "ffn_config", "attn_config",
    "mamba_d_state", "mamba_n_heads", "num_kv_shared_layers", "per_layer_config", "ffn_multipliers", "vision_config",
    "block_types", "torch_dtype", "is_encoder_decoder", "hybrid_layer_ids", "expert_layer_period", "mlp_layer_types",
)  # fmt: skip
_NAMES = sorted({*_MORE, *(name for names in NAMES.values() for name in names)})
_TYPES = st.sampled_from(
    ["llama", "falcon", "jamba", "nemotron_h", "gemma3_text", "qwen3_next", "mystery", "", None, 3]
)


_ITEM = st.one_of(st.none(), st.floats(), st.integers(0, 9), st.text(max_size=2), st.just({"ffn": {"ffn_mult": 1e999}}))
_BY_LAYER = st.lists(_ITEM, min_size=1, max_size=24).map(lambda items: (items * 24)[:24])


@given(st.dictionaries(st.sampled_from(_NAMES), st.one_of(_VALUE, _BY_LAYER), max_size=8), _TYPES, st.booleans())
def test_no_config_of_this_world_does_anything_else(
    tmp_path_factory: pytest.TempPathFactory, changes: dict[str, Any], kind: object, whole: bool
) -> None:
    config = {**(YI if whole else {}), **changes, "model_type": kind}
    try:
        found = facts(config, tmp_path_factory.getbasetemp())
    except PlanError as error:
        assert {each.code for each in error.diagnostics} <= {"ORCH-P004", "ORCH-P005"}
        return
    assert found.params > 0
    assert found.kv_bytes_per_token > 0
    assert found.weight_bytes > 0
    assert found.kv_heads > 0
    assert found.kv_bytes(1e5) >= found.kv_bytes(1) > 0
    assert found.prompt_attention_flops(100, 10) >= 0
    assert found.step_weight_bytes(1) <= found.step_weight_bytes(7) <= found.weight_bytes * 1.0001
    assert found.known == (not found.note)
