"""Latent attention that reads few tokens: its indexer caches a key of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.planner.architecture.configs import facts

DSA = {
    "model_type": "deepseek_v32", "hidden_size": 7168, "num_hidden_layers": 61, "num_attention_heads": 128,
    "num_key_value_heads": 128, "intermediate_size": 18432, "vocab_size": 129280, "kv_lora_rank": 512,
    "q_lora_rank": 1536, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128, "torch_dtype": "bfloat16",
    "index_topk": 2048, "index_n_heads": 64, "index_head_dim": 128, "n_routed_experts": None,
}  # fmt: skip
KEY = 128 + 4
"""Bytes: eight bits a value, and a scale of 32."""


@pytest.mark.parametrize(
    ("more", "indexed"),
    [
        ({}, 61),
        ({"index_topk": None}, 0),
        ({"model_type": "deepseek_v3"}, 61),
        ({"indexer_types": ["full"] * 11 + ["shared"] * 50}, 11),
        ({"index_topk_pattern": "FFF" + "S" * 58}, 3),
        ({"index_topk_freq": 4}, 16),
        ({"index_topk_freq": 4, "index_skip_topk_offset": 0}, 15),
    ],
)
def test_an_indexer_keeps_a_key_of_each_token(tmp_path: Path, more: dict[str, Any], indexed: int) -> None:
    found = facts({**DSA, **more}, tmp_path)
    plain = facts({**DSA, "index_topk": None}, tmp_path)
    assert found.kv_bytes_per_token == 61 * (512 + 64) * 2 + indexed * KEY
    assert found.params - plain.params == indexed * (1536 * 64 * 128 + 7168 * (128 + 64))
    assert found.known


@pytest.mark.parametrize(
    "more",
    [
        {"index_head_dim": None},
        {"index_n_heads": "many"},
        {"index_topk_pattern": "FS"},
        {"index_topk_freq": -1},
        {"indexer_types": ["full"] * 7},
    ],
)
def test_an_indexer_that_is_not_understood(tmp_path: Path, more: dict[str, Any]) -> None:
    assert not facts({**DSA, **more}, tmp_path).known
