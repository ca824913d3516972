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
    index_heads: int = 0
    index_dim: int = 0
    """It is the width of an indexer that picks the tokens to attend to (DeepSeek-V3.2); 0: there is none."""

    @property
    def cached_values(self) -> int:
        """Of one token and layer, for all heads together."""
        return self.kv_rank + self.rope_dim

    @property
    def index_bytes(self) -> int:
        """Of one token and layer with an indexer: a key in eight bits, with a scale of 32 for each 128 values."""
        return self.index_dim + self.index_dim // 128 * 4

    def index_params(self, hidden: int) -> int:
        """Of one indexer: projections of queries, of the key and of the weight of each head."""
        return self.index_heads * self.index_dim * self.q_rank + (self.index_dim + self.index_heads) * hidden

    def params(self, hidden: int, heads: int) -> int:
        """The parameters of one layer's projections."""
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
    index = (fields.number("index_n_heads"), fields.number("index_head_dim")) if fields.number("index_topk") else (0, 0)
    if None in index:
        fields.doubt("the widths of its indexer")
    value = fields.number("v_head_dim") or plain
    return LatentAttention(kv_rank, rope, q_rank, nope, value, index[0] or 0, index[1] or 0)


def indexed_layers(fields: Fields, layers: int) -> int:
    """How many layers have an indexer of their own; the others attend to what the last one picked.

    A word or letter for each layer, or every so-manieth behind the first few.
    """
    modes = fields.letters("indexer_types", "index_topk_pattern")
    if modes:
        if len(modes) != layers:
            fields.doubt(f"{len(modes)} indexers for {layers} layers")
            return layers
        return sum(mode not in {"s", "shared"} for mode in modes)
    every, first = fields.number("index_topk_freq") or 1, fields.number("index_skip_topk_offset", least=0)
    return sum(max(layer - (2 if first is None else first) + 1, 0) % every == 0 for layer in range(layers))


def is_cached_whole(fields: Fields) -> bool:
    """Whether the engine keeps keys and values of each head after all."""
    return fields.model_type in _CACHED_WHOLE
