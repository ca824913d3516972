"""What layers that attend alike cache of each token, and what attending costs them.

A layer with a window looks back on its last tokens only, and so keeps no more of them: half of gpt-oss's layers cache
128 tokens of a sequence however long it is. A chunk, as in Llama 4, counts as a window of its length: no more is kept.

>>> layers = Attention(layers=18, caching=18, kv_heads=8, head_values=128, pair_width=128, step_width=128, window=128)
>>> layers.kept(100), layers.kept(5000), layers.pairs(2, 5000), layers.values_on(16) // 18
(100, 128, 256.0, 128)
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.planner.architecture.latent import LatentAttention


@dataclass(frozen=True, slots=True)
class Attention:
    """Layers that attend alike. Widths are numbers of values; tokens may be fractions, as means are."""

    layers: int
    caching: int
    """Of ``layers``, those that cache: the others attend to what another one has cached."""
    kv_heads: int
    """1 where all heads attend to one latent."""
    head_values: int
    """Cached of a token for each KV head: its key and its value, or the latent."""
    pair_width: int
    """Of a query head's key and value together: what a pair of tokens multiplies and adds in a prompt."""
    step_width: int
    """The same in decoding, where latent attention stays in the latent space."""
    window: int = 0
    """Tokens that a token looks back on, itself among them; 0: all."""

    def kept(self, tokens: float) -> float:
        """Of a sequence of ``tokens``, those that are cached."""
        return min(tokens, self.window) if self.window else tokens

    def kept_of(self, prompt: float, output: float, samples: int) -> float:
        """Tokens that are cached of ``samples`` replies of ``output`` tokens to one prompt, whose cache they share."""
        own = self.kept(output)
        return samples * own + self.kept(prompt + own) - own

    def pairs(self, new: float, cached: float) -> float:
        """Pairs of tokens that ``new`` ones after ``cached`` ones make in one layer."""
        return self._pairs_within(new + cached) - self._pairs_within(cached)

    def values_on(self, devices: int) -> int:
        """Cached of a token on each of ``devices`` that split the heads; each has a whole one at least."""
        return self.caching * -(-self.kv_heads // devices) * self.head_values

    def _pairs_within(self, tokens: float) -> float:
        seen = self.kept(tokens)
        return seen * seen / 2 + seen * (tokens - seen)


def usual_attention(
    layers: int,
    kv_heads: int,
    head_dim: int,
    latent: LatentAttention | None,
    *,
    window: int = 0,
    caching: int | None = None,
    whole: bool = False,
) -> Attention:
    """Layers with keys and values of ``head_dim`` each, or with a latent, which is cached ``whole`` for each head."""
    keeping = layers if caching is None else caching
    if latent is None:
        return Attention(layers, keeping, kv_heads, 2 * head_dim, 2 * head_dim, 2 * head_dim, window)
    pair = latent.nope_dim + latent.rope_dim + latent.v_dim
    if whole:
        return Attention(layers, keeping, kv_heads, 2 * (latent.nope_dim + latent.rope_dim), pair, pair, window)
    return Attention(layers, keeping, 1, latent.cached_values, pair, latent.cached_values + latent.kv_rank, window)
