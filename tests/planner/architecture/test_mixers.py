"""Which layers cache keys and values, of how many tokens, and which cache none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.planner.architecture.configs import KV, YI, facts


@pytest.mark.parametrize(
    ("more", "sliding", "window"),
    [
        ({"model_type": "mistral", "sliding_window": 4096}, 24, 4096),
        ({"model_type": "mistral", "sliding_window": None}, 0, 0),
        ({"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": False, "max_window_layers": 6}, 0, 0),
        ({"model_type": "qwen2", "sliding_window": 4096, "use_sliding_window": True, "max_window_layers": 6}, 18, 4096),
        ({"model_type": "gemma2", "sliding_window": 4096}, 12, 4096),
        ({"model_type": "gemma3_text", "sliding_window": 512}, 20, 512),
        ({"model_type": "gemma3_text", "sliding_window": 512, "sliding_window_pattern": 3}, 16, 512),
        ({"model_type": "cohere2", "sliding_window": 4096, "sliding_window_pattern": 4}, 18, 4096),
        ({"layer_types": ["sliding_attention", "full_attention"] * 12, "sliding_window": 64}, 12, 64),
        ({"layer_types": ["sliding_attention"] * 24, "sliding_window": None}, 0, 0),
        ({"layer_types": ["sliding_attention"] * 24}, 0, 0),
        ({"model_type": "llama4_text", "attention_chunk_size": 8192}, 18, 8192),
    ],
)
def test_windows(tmp_path: Path, more: dict[str, Any], sliding: int, window: int) -> None:
    found = facts({**YI, "head_dim": 128, **more}, tmp_path)
    assert {each.window: each.layers for each in found.attention}.get(window or -1, 0) == sliding
    assert found.kv_values_per_token == KV
    per_layer = 2 * KV // 24
    assert found.kv_bytes(10**6) == per_layer * ((24 - sliding) * 10**6 + sliding * window)


@pytest.mark.parametrize(
    ("more", "layers"),
    [
        ({"layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 6}, 6),
        ({"model_type": "jamba", "attn_layer_period": 8, "attn_layer_offset": 4}, 3),
        ({"model_type": "bamba", "attn_layer_indices": [3, 9]}, 2),
        ({"model_type": "qwen3_next", "full_attention_interval": 4, "head_dim": 128}, 6),
        ({"layers_block_type": ["mamba"] * 20 + ["attention"] * 4}, 4),
        ({"model_type": "lfm2", "full_attn_idxs": [0, 5, 7]}, 3),
        ({"attn_type_list": [0] * 21 + [1] * 3, "model_type": "minimax"}, 3),
        (
            {"model_type": "kimi_linear", "linear_attn_config": {"full_attn_layers": [4, 8, 24]}, "kv_lora_rank": None},
            3,
        ),
        ({"model_type": "nemotron_h", "hybrid_override_pattern": "M-M*" * 6}, 6),
        ({"model_type": "gemma3n_text", "num_kv_shared_layers": 10, "head_dim": 128}, 14),
        ({"use_cla": True, "cla_share_factor": 2}, 12),
        ({"block_configs": [{"attention": {"no_op": True}}, {"attention": {"n_heads_in_group": 4}}] * 12}, 12),
    ],
)
def test_only_attention_caches_by_token(tmp_path: Path, more: dict[str, Any], layers: int) -> None:
    assert facts({**YI, **more}, tmp_path).kv_values_per_token == layers * 2 * 4 * 128


def test_a_model_without_attention_says_what_is_not_counted(tmp_path: Path) -> None:
    found = facts(
        {"model_type": "mamba2", "hidden_size": 2560, "num_hidden_layers": 64, "vocab_size": 50_288}, tmp_path
    )
    assert found.kv_bytes_per_token > 0  # figures are divided by it
    assert not found.known
    assert "state" in found.note


def test_layers_without_heads_of_their_own_do_not_count_as_the_usual_ones(tmp_path: Path) -> None:
    found = facts({**YI, "num_key_value_heads": [0, 0, 8] * 8}, tmp_path)
    assert found.kv_heads == 8
    assert found.kv_values_per_token == 8 * 2 * 8 * 128
