"""What mixes tokens in each layer: attention of several kinds, or a recurrence that caches nothing by token.

A *plan* is a word for each layer: ``full`` and ``sliding`` attention, ``linear`` (any recurrence), ``both`` (attention
beside a recurrence), ``none``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from orchestrator.planner.architecture.fields import NAMES, Fields

FULL, SLIDING, LINEAR, BOTH, NONE = "full", "sliding", "linear", "both", "none"
_WORDS: Final = {
    FULL: "full_attention attention global a attn full_attn global_attention self_attention indexed_attention * 1",
    SLIDING: "sliding_attention local chunked_attention local_attention swa sliding sliding_window",
    LINEAR: "linear_attention mamba mamba2 recurrent conv short_conv linear m ssm kda lightning 0 mlstm",
    BOTH: "hybrid",
    NONE: "mlp moe - e no_op identity ffn",
}
_MEANING: Final = {word: kind for kind, words in _WORDS.items() for word in words.split()}
_NO_ATTENTION: Final = frozenset({"mamba", "mamba2", "falcon_mamba", "rwkv", "rwkv5", "rwkv6", "rwkv7", "xlstm"})
_EVERY_LAYER_BOTH: Final = frozenset({"falcon_h1", "hymba"})
_ALL_SLIDING: Final = frozenset({"mistral", "mixtral", "phi3", "phimoe", "starcoder2", "ministral3"})
"""Architectures whose window, where they have one, holds for every layer."""
_SWITCHED: Final = frozenset(
    {"qwen2", "qwen3", "qwen2_moe", "qwen3_moe", "qwen2_vl", "qwen2_5_vl", "dots1", "qwen2_vl_text", "qwen2_5_vl_text"}
)
"""Architectures whose window counts only with ``use_sliding_window``, and from ``max_window_layers`` on."""
_EVERY_NTH_FULL: Final = {
    "gemma2": 2,
    "gemma3": 6,
    "gemma3_text": 6,
    "gemma3n": 5,
    "gemma3n_text": 5,
    "gemma4_text": 6,
    "gemma4": 6,
    "cohere2": 4,
    "gpt_oss": 2,
    "exaone4": 4,
    "olmo3": 4,
    "afmoe": 4,
    "vaultgemma": 2,
    "llama4_text": 4,
    "llama4": 4,
    "mellum": 4,
}
_EVERY_NTH_ATTENTION: Final = {
    "qwen3_next": 4,
    "qwen3_5": 4,
    "qwen3_5_text": 4,
    "qwen3_5_moe": 4,
    "qwen3_5_moe_text": 4,
}


def plan(fields: Fields, layers: int) -> list[str]:
    """A word for each layer; what is not understood is a doubt, and counts as full attention."""
    for read in (_said, _listed, _from_blocks, _periodic, _windowed):
        found = read(fields, layers)
        if found is not None:
            return _all_seen(fields, found) if SLIDING in found and not window_of(fields) else found
    return [FULL] * layers


def window_of(fields: Fields) -> int:
    """The tokens that a layer with a window looks back on; 0: none, or not told."""
    return fields.asked("window") or fields.number("window_size") or 0


def _all_seen(fields: Fields, words: list[str]) -> list[str]:
    """A plan with windows of no length: where that is null, they are switched off, and nothing is forgotten."""
    if not any(name in fields.given and fields.given[name] is None for name in (*NAMES["window"], "window_size")):
        fields.doubt("the length of its sliding window")
    return [FULL if word == SLIDING else word for word in words]


def _said(fields: Fields, layers: int) -> list[str] | None:
    """In a list of words, a pattern of letters, or a list of zeros and ones."""
    words = fields.words("layer_types", "layers_block_type", "attention_layers", "attn_type_list", "_block_types")
    if not words and (pattern := fields.value("hybrid_override_pattern", "hybrid_layer_pattern")):
        if isinstance(pattern, list):  # MiMo: 1 marks a layer with a window
            words = ["sliding" if each in (1, True) else "full" for each in pattern]
        elif isinstance(pattern, str):
            words = list(pattern)
        else:
            fields.doubt(f"the pattern of its layers, which is {str(pattern)[:40]}")
    if not words and (cycle := fields.words("block_types")):
        words = [cycle[at % len(cycle)] for at in range(layers)]
    if not words:
        return None
    if len(words) < layers:
        fields.doubt(f"{len(words)} types for {layers} layers")
        return None
    strange = sorted({word for word in words if word.lower() not in _MEANING})
    if strange:
        fields.doubt(f"layers of type {', '.join(strange[:3])}")
    return [_MEANING.get(word.lower(), FULL) for word in words[:layers]]


def _listed(fields: Fields, layers: int) -> list[str] | None:
    """By the numbers of the layers that are attention, or that are both."""
    nested = fields.part("linear_attn_config")
    full = fields.value("attn_layer_indices", "full_attn_idxs", "full_attention_layers")
    if isinstance(full, (list, tuple)) or (fields.model_type == "bamba" and full is None):
        return [FULL if at in (full or ()) else LINEAR for at in range(layers)]
    counted_from_one = nested.value("full_attn_layers")
    if isinstance(counted_from_one, (list, tuple)):
        return [FULL if at + 1 in counted_from_one else LINEAR for at in range(layers)]
    shared = fields.value("hybrid_layer_ids")
    if isinstance(shared, (list, tuple)):
        return [BOTH if at in shared else LINEAR for at in range(layers)]
    return None


def _from_blocks(fields: Fields, layers: int) -> list[str] | None:
    """Nemotron-NAS: a block for each layer."""
    blocks = fields.value("block_configs")
    if not isinstance(blocks, (list, tuple)) or len(blocks) != layers:
        return None
    found = []
    for block in blocks:
        attention = fields.within(block).part("attention")
        gone = attention.flag("no_op") or attention.flag("replace_with_linear")
        found.append(NONE if gone else FULL)
    return found


def _periodic(fields: Fields, layers: int) -> list[str] | None:
    """Attention in every nth layer, a recurrence in the others."""
    if fields.model_type in _NO_ATTENTION:
        return [LINEAR] * layers
    if fields.model_type in _EVERY_LAYER_BOTH:
        return [BOTH] * layers
    every = fields.number("attn_layer_period")
    if every:
        offset = fields.number("attn_layer_offset", least=0)
        at_least = every // 2 if offset is None else offset
        return [FULL if at % every == at_least % every else LINEAR for at in range(layers)]
    every = fields.number("full_attention_interval") or _EVERY_NTH_ATTENTION.get(fields.model_type)
    if every:
        return [LINEAR if (at + 1) % every else FULL for at in range(layers)]
    return None


def _windowed(fields: Fields, layers: int) -> list[str] | None:
    """A window, and which layers look through it."""
    kind = fields.model_type
    window = fields.number(*NAMES["window"], least=-1)
    if window is None or window < 1 or fields.flag("use_sliding_window") is False:
        return None
    if kind in _SWITCHED or fields.flag("use_sliding_window"):
        first = fields.number("max_window_layers", least=0) or 0
        return [SLIDING if fields.flag("use_sliding_window") and at >= first else FULL for at in range(layers)]
    unroped = fields.numbers(layers, "no_rope_layers") if kind.startswith("llama4") else None
    if unroped is not None:
        return [SLIDING if each else FULL for each in unroped]
    if kind in _ALL_SLIDING:
        return [SLIDING] * layers
    every = fields.number(
        "sliding_window_pattern", "_sliding_window_pattern", "global_attn_every_n_layers", "no_rope_layer_interval"
    ) or _EVERY_NTH_FULL.get(kind)
    if every is None:
        fields.doubt("which layers look through its sliding window")
        return None
    return [SLIDING if (at + 1) % every else FULL for at in range(layers)]


def kv_heads(fields: Fields, layers: int, heads: int) -> list[int]:
    """KV heads of each layer: one number, a list, groups, or a single head for all."""
    by_layer = fields.numbers(layers, *NAMES["kv_heads"])
    if by_layer is not None:
        return by_layer
    blocks = fields.value("block_configs")
    if isinstance(blocks, (list, tuple)) and len(blocks) == layers:
        groups = [fields.within(block).part("attention").number("n_heads_in_group") for block in blocks]
        return [max(heads // (group or 1), 1) for group in groups]
    given = fields.part("attn_config").asked("kv_heads") or fields.asked("kv_heads")
    if fields.flag("multi_query") and not fields.flag("new_decoder_architecture") and given in {None, heads}:
        given = 1  # Falcon and StarCoder; a Falcon saved by transformers writes all heads beside the mark
    if fields.flag("multi_query_attention") is False:
        given = None
    return [given or heads] * layers


def head_dims(fields: Fields, words: Sequence[str], usual: int) -> list[int]:
    """Of each layer: Gemma 4's layers without a window have wider heads."""
    wide = fields.number("global_head_dim")
    found = [wide if wide and word == FULL else usual for word in words]
    own = fields.value("per_layer_config")
    for key, changes in own.items() if isinstance(own, dict) else ():
        changed = fields.within(changes).number("head_dim")
        layer = fields.within({"per_layer_config": key}).number("per_layer_config", least=0)
        if changed and layer is not None and layer < len(found):
            found[layer] = changed
    return found
