"""The feed-forward half of each layer: one MLP, or experts of which each token takes a few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orchestrator.planner.architecture.fields import NAMES, Fields, word_set

_UNGATED: Final = word_set(
    """gpt2 gpt_bigcode gpt_neox gpt_neox_japanese gptj gpt_neo gpt-sw3 codegen opt bloom mpt falcon phi starcoder2
    biogpt xglm persimmon fuyu nemotron nemotron_h arcee apertus openai-gpt bart mbart pegasus marian blenderbot
    blenderbot-small whisper plbart mvp trocr bigbird_pegasus jais2 nanochat"""
)
"""Architectures with two MLP matrices; the others have three (gate, up, down)."""
_SPARSE_WORDS: Final = frozenset({"sparse", "moe", "e"})
_NO_MLP: Final = frozenset({"mamba", "mamba2", "falcon_mamba"})
_HALVED: Final = frozenset({"qwen", "recurrent_gemma"})
"""Architectures whose width counts both upper matrices."""


@dataclass(frozen=True, slots=True)
class Experts:
    """A mixture of experts; counts are of one layer."""

    layers: int
    """How many layers have one."""
    count: int
    per_token: int
    width: int
    shared_width: int
    """It is the width of what every token takes besides; 0: nothing."""


def matrices(fields: Fields) -> int:
    """The matrices of one MLP."""
    return 2 if fields.model_type in _UNGATED else 3


def mlp_widths(fields: Fields, hidden: int, layers: int) -> list[int]:
    """The width of each layer's MLP where it is no mixture."""
    if fields.model_type in _NO_MLP:
        return [0] * layers
    by_layer = fields.numbers(layers, "intermediate_size", "ffn_hidden_sizes")
    if by_layer is not None:
        return by_layer
    blocks = fields.value("block_configs")
    if isinstance(blocks, (list, tuple)) and len(blocks) == layers:
        return [_of_block(fields.within(block).part("ffn"), hidden) for block in blocks]
    multipliers = fields.figures(layers, "ffn_multipliers")
    if multipliers is not None:
        step = fields.number("ffn_dim_divisor") or 1
        return [_rounded(each * hidden, step) for each in multipliers]
    width = fields.number("intermediate_size_mlp", "prefix_dense_intermediate_size", "dense_intermediate_size")
    width = width or fields.asked("mlp") or fields.part("ffn_config").number("ffn_hidden_size")
    if width is None and (ratio := fields.number("expansion_ratio", "intermediate_multiple_size")):
        width = ratio * hidden
    if fields.model_type in _HALVED and width:
        width //= 2
    if fields.flag("block_auto_adjust_ff_dim") and width:  # LFM2
        step = fields.number("block_multiple_of") or 256
        width = _rounded(2 * width / 3 * (fields.figure("block_ffn_dim_multiplier") or 1), step)
    if width is None and fields.model_type not in _UNGATED and _first(fields, "expert_mlp") is None:
        fields.doubt("the width of its MLP")
    return [width or 4 * hidden] * layers


def experts_of(fields: Fields, layers: int, dense_width: int) -> Experts | None:
    """None: a dense model."""
    ffn = fields.part("ffn_config")
    count = _first(fields, "experts") or ffn.asked("experts")
    if not count or count < 2 or fields.flag("is_moe", "enable_moe_block") is False:
        return None
    per_token = _first(fields, "experts_per_token") or ffn.asked("experts_per_token")
    if per_token is None:
        fields.doubt("how many experts a token takes")
        per_token = 1
    width = _first(fields, "expert_mlp") or ffn.number("ffn_hidden_size")
    if width is None:
        width = fields.number("intermediate_size", "ffn_hidden_size") or dense_width
    return Experts(_mixed(fields, layers), count, min(per_token, count), width, _shared(fields, width))


def _shared(fields: Fields, width: int) -> int:
    wide = fields.number("shared_expert_intermediate_size", "shared_intermediate_size", "share_expert_dim", least=0)
    count = _first(fields, "shared_experts")
    if wide is not None:
        return wide
    if fields.model_type.startswith("llama4"):
        return width
    if fields.model_type.startswith("nemotron_h"):
        width = fields.number("moe_shared_expert_intermediate_size") or width
    return (count or 0) * width


def _mixed(fields: Fields, layers: int) -> int:
    """Layers with experts, in whichever way they are told."""
    kinds = fields.words("mlp_layer_types")
    if len(kinds) >= layers:
        return sum(kind in _SPARSE_WORDS for kind in kinds[:layers])
    pattern = fields.letters("hybrid_override_pattern", "layers_block_type")
    if fields.model_type.startswith("nemotron_h") and pattern:
        return sum(each in _SPARSE_WORDS for each in pattern)
    named = fields.value("moe_layers", "moe_layers_enum")
    if isinstance(named, str):
        named = [each for each in named.split(",") if each.strip()]
    if isinstance(named, (list, tuple)):
        return min(len(named), layers)
    flags = fields.value("moe_layer_freq")
    if isinstance(flags, (list, tuple)):
        return sum(each in (1, True) for each in flags[:layers])
    return sum(_is_mixed(fields, at) for at in range(layers))


def _is_mixed(fields: Fields, at: int) -> bool:
    only_mlp = fields.value("mlp_only_layers")
    if isinstance(only_mlp, (list, tuple)) and at in only_mlp:
        return False
    every = fields.number("expert_layer_period")
    if every:  # Jamba
        return at % every == (fields.number("expert_layer_offset", least=0) or 0) % every
    every = fields.number("interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_freq", "moe_layer_interval")
    first = fields.number(
        "first_k_dense_replace", "num_dense_layers", "n_dense_layers", "moe_layer_start_index", least=0
    )
    last = fields.number("moe_layer_end_index", least=0)
    if at < (first or 0) or (last is not None and at > last):
        return False
    counted_from_zero = fields.number("moe_layer_freq") is not None
    return not every or (at if counted_from_zero else at + 1) % every == 0


def _first(fields: Fields, what: str) -> int | None:
    """A number; of a list (ERNIE's modalities, Hunyuan's layers) the first that is not 0."""
    value = fields.value(*NAMES[what])
    if isinstance(value, (list, tuple)):
        found = Fields({"n": next((each for each in value if each), None)}).number("n")
        if found is not None and any(each not in (0, found) for each in value):
            fields.doubt(f"layers with other numbers of {what.replace('_', ' ')}")
        return found
    return fields.number(*NAMES[what], least=0)


def _of_block(ffn: Fields, hidden: int) -> int:
    """Nemotron-NAS: a multiple of the hidden width, rounded up to 256."""
    if ffn.flag("no_op"):
        return 0
    exact = ffn.number("intermediate_size")
    if exact:
        return exact
    multiple = ffn.figure("ffn_mult")
    return _rounded(2 * multiple * hidden / 3, 256) if multiple is not None else 4 * hidden


def _rounded(width: float, step: int) -> int:
    return -(-int(width) // step) * step
