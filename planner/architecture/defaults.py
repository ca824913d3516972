"""Makes ``defaults.json``: what each architecture's config may leave out, read off the classes of transformers.

``python -m orchestrator.planner.architecture.defaults`` writes it anew; a config saved by transformers leaves out, in
its nested parts, whatever equals the default of the class.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from orchestrator.planner.architecture.fields import NAMES, word_set

FILE: Final = Path(__file__).with_name("defaults.json")
_MORE: Final = word_set(
    """kv_lora_rank q_lora_rank qk_rope_head_dim qk_nope_head_dim v_head_dim multi_query new_decoder_architecture
    use_sliding_window max_window_layers sliding_window_pattern _sliding_window_pattern global_attn_every_n_layers
    no_rope_layer_interval attn_layer_period attn_layer_offset full_attention_interval block_types hybrid_layer_ids
    expert_layer_period expert_layer_offset decoder_sparse_step mlp_only_layers interleave_moe_layer_step moe_layer_freq
    moe_layer_interval moe_layer_end_index shared_expert_intermediate_size shared_intermediate_size
    moe_shared_expert_intermediate_size share_expert_dim intermediate_size_mlp is_moe enable_moe_block
    linear_num_key_heads linear_key_head_dim linear_num_value_heads linear_value_head_dim conv_L_cache lru_width
    mamba_n_heads mamba_num_heads n_mamba_heads mamba_d_state ssm_state_size state_size mamba_n_groups n_groups
    mamba_ngroups mamba_d_head mamba_head_dim mamba_headdim mamba_d_ssm mamba_expand expand mamba_dt_rank time_step_rank
    block_auto_adjust_ff_dim block_multiple_of block_ffn_dim_multiplier expansion_ratio num_kv_shared_layers
    vocab_size_per_layer_input hidden_size_per_layer_input attn_output_gate global_head_dim
    num_global_key_value_heads window_size hybrid_override_pattern index_topk index_n_heads index_head_dim"""
)


def defaults() -> dict[str, dict[str, Any]]:
    """By architecture: the fields that are read here and have a default of their own."""
    from transformers import CONFIG_MAPPING

    wanted = _MORE.union(*NAMES.values())
    table: dict[str, dict[str, Any]] = {}
    for name in sorted(CONFIG_MAPPING):
        kind = CONFIG_MAPPING[name]
        found: dict[str, Any] = {}
        for parent in reversed(kind.__mro__):
            for each in vars(parent).get("__annotations__", {}):
                value = getattr(kind, each, None)
                if each in wanted and isinstance(value, (bool, int, float, str, list, tuple)):
                    found[each] = list(value) if isinstance(value, tuple) else value
        if any(name in found for name in NAMES["hidden"]) and any(name in found for name in NAMES["vocab"]):
            table[name] = found
    return table


def text() -> str:
    """The file's contents, a line for each architecture."""
    lines = (f" {json.dumps(name)}: {json.dumps(fields, sort_keys=True)}" for name, fields in defaults().items())
    source = f"defaults of the config classes of transformers {version('transformers')} (Apache-2.0)"
    return f'{{"source": {json.dumps(source)}, "types": {{\n' + ",\n".join(lines) + "\n}}\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
