"""Multi-head latent attention: one latent a token in place of keys and values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orchestrator.planner.architecture.fields import Fields

_CACHED_WHOLE: Final = frozenset({"minicpm3"})
"""Architectures with latent attention whose keys and values vLLM caches for each head."""


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """Widths of multi-head latent attention (DeepSeek-V2, arXiv 2405.04434), which caches one latent a token."""

    kv_rank: int
    rope_dim: int
    q_rank: int
    """0: queries are projected at once, without a latent of their own (DeepSeek-V2-Lite)."""
    nope_dim: int
    v_dim: int

    @property
    def cached_values(self) -> int:
        """Of one token and layer, for all heads together."""
        return self.kv_rank + self.rope_dim

    def params(self, hidden: int, heads: int) -> int:
        """Of one layer's projections."""
        width = heads * (self.nope_dim + self.rope_dim)
        q = hidden * self.q_rank + self.q_rank * width if self.q_rank else hidden * width
        kv = hidden * self.cached_values + self.kv_rank * heads * (self.nope_dim + self.v_dim)
        return q + kv + heads * self.v_dim * hidden


def latent_of(fields: Fields, hidden: int, heads: int) -> LatentAttention | None:
    """None: attention as usual."""
    kv_rank = fields.number("kv_lora_rank", least=0)
    if not kv_rank:
        return None
    rope = fields.number("qk_rope_head_dim")
    nope = fields.number("qk_nope_head_dim", least=0)
    if rope is None or nope is None:
        fields.doubt("the widths of its latent attention")
    plain = max(1, hidden // heads)
    rope, nope = rope or 64, plain if nope is None else nope
    q_rank = fields.number("q_lora_rank", least=0) or 0
    return LatentAttention(kv_rank, rope, q_rank, nope, fields.number("v_head_dim") or plain)


def is_cached_whole(fields: Fields) -> bool:
    """Whether the engine keeps keys and values of each head after all."""
    return fields.model_type in _CACHED_WHOLE
