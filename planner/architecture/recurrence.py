"""Layers that are recurrences: their parameters, and what they keep of a sequence in place of a cache of its tokens."""

from __future__ import annotations

from typing import Final, NamedTuple

from orchestrator.planner.architecture.fields import Fields


def recurrence_params(fields: Fields, hidden: int, heads: int, head_dim: int) -> int:
    """Of one layer that is a recurrence. The small ones (convolutions, gates by head) are left out."""
    for count in (_delta_net, _mamba2, _mamba1, _griffin, _short_conv, _lightning):
        found = count(fields, hidden, heads * head_dim)
        if found is not None:
            return found
    fields.doubt("the width of its recurrent layers")
    return 4 * hidden * hidden


def _delta_net(fields: Fields, hidden: int, _width: int) -> int | None:
    """Gated DeltaNet (Qwen3-Next), and Kimi's with one width for all."""
    keys, key = fields.number("linear_num_key_heads"), fields.number("linear_key_head_dim")
    values, value = fields.number("linear_num_value_heads"), fields.number("linear_value_head_dim")
    if keys and key and values and value:
        return hidden * (2 * keys * key + 2 * values * value + 2 * values) + values * value * hidden
    kimi = fields.part("linear_attn_config")
    count, width = kimi.number("num_heads"), kimi.number("head_dim")
    return 4 * hidden * count * width + 4 * hidden * width if count and width else None


_KERNELS: Final = ("linear_conv_kernel_dim", "mamba_d_conv", "conv_kernel", "conv_kernel_size", "conv_L_cache")


class _Mamba2(NamedTuple):
    inner: int
    groups: int
    state: int
    heads: int


def _mamba2(fields: Fields, hidden: int, _width: int) -> int | None:
    of = _mamba2_widths(fields, hidden)
    return hidden * (2 * of.inner + 2 * of.groups * of.state + of.heads) + of.inner * hidden if of else None


def _mamba2_widths(fields: Fields, hidden: int) -> _Mamba2 | None:
    heads = fields.number("mamba_n_heads", "mamba_num_heads", "n_mamba_heads")
    if fields.model_type == "mamba2":
        heads = fields.number("num_heads")
    state = fields.number("mamba_d_state", "ssm_state_size", "state_size")
    if not heads or not state or fields.model_type == "zamba":
        return None
    groups = fields.number("mamba_n_groups", "n_groups", "mamba_ngroups") or 1
    named = ("head_dim",) if fields.model_type == "mamba2" else ("mamba_d_head", "mamba_head_dim", "mamba_headdim")
    head = fields.number(*named)
    inner = fields.number("mamba_d_ssm") or (heads * head if head else 0)
    return _Mamba2(inner or (fields.number("mamba_expand", "expand") or 2) * hidden, groups, state, heads)


def _mamba1(fields: Fields, hidden: int, _width: int) -> int | None:
    widths = _mamba1_widths(fields, hidden)
    if widths is None:
        return None
    inner, state = widths
    rank = fields.number("mamba_dt_rank", "time_step_rank") or -(-hidden // 16)
    return 3 * hidden * inner + inner * (rank + 2 * state) + rank * inner + inner * state


def _mamba1_widths(fields: Fields, hidden: int) -> tuple[int, int] | None:
    """Of what it computes with, and of the state of each of those values."""
    state = fields.number("mamba_d_state", "state_size")
    if not state:
        return None
    inner = (fields.number("mamba_expand", "expand") or 2) * hidden
    if fields.model_type in {"mamba", "falcon_mamba"}:
        inner = fields.number("intermediate_size") or inner
    return inner, state


def _griffin(fields: Fields, hidden: int, _width: int) -> int | None:
    width = fields.number("lru_width") or (hidden if fields.model_type == "recurrent_gemma" else 0)
    heads = fields.asked("heads") or 1
    return 3 * hidden * width + 2 * width * width // heads if width else None


def _short_conv(fields: Fields, hidden: int, _width: int) -> int | None:
    return 4 * hidden * hidden if fields.number("conv_L_cache") else None


def _lightning(fields: Fields, hidden: int, width: int) -> int | None:
    return 5 * hidden * width if fields.model_type.startswith("minimax") else None


def state_bytes(fields: Fields, hidden: int, heads: int, head_dim: int) -> int:
    """What one layer that is a recurrence keeps of a sequence: its state, and the last inputs of a convolution."""
    before, state = _kept(fields, hidden, heads * head_dim)
    kernel = fields.number(*_KERNELS) or 4
    wide = fields.word("mamba_ssm_dtype") == "float32" or bool(fields.part("linear_attn_config").given)
    return 2 * before * (kernel - 1) + (4 if wide else 2) * state


def _kept(fields: Fields, hidden: int, width: int) -> tuple[int, int]:
    """The values that pass a convolution, and those of the state; none where they are not understood."""
    keys, key = fields.number("linear_num_key_heads"), fields.number("linear_key_head_dim")
    values, value = fields.number("linear_num_value_heads"), fields.number("linear_value_head_dim")
    kimi = fields.part("linear_attn_config")
    count, wide = kimi.number("num_heads"), kimi.number("head_dim")
    found = 0, fields.number("lru_width") or 0
    if keys and key and values and value:
        found = 2 * keys * key + values * value, values * key * value
    elif count and wide:
        found = 3 * count * wide, count * wide * wide
    elif (two := _mamba2_widths(fields, hidden)) is not None:
        found = two.inner + 2 * two.groups * two.state, two.inner * two.state
    elif (one := _mamba1_widths(fields, hidden)) is not None:
        found = one[0], one[0] * one[1]
    elif fields.number("conv_L_cache"):
        found = hidden, 0
    elif fields.model_type.startswith("minimax"):
        found = 0, width * max(1, width // (fields.asked("heads") or 1))
    return found
