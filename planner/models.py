"""Facts about a model that set its speed and memory, read from a Hugging Face ``config.json``. Never the network.

>>> facts = read_config(Path("models/llama-3.1-8b/config.json"), "llama")   # doctest: +SKIP
>>> facts.params, facts.kv_bytes_per_token                                  # doctest: +SKIP
(8030261248, 131072)

The configs of some well-known models are bundled (``model_configs/*.json``, each with its source), so that they can be
priced without a checkpoint at hand.

A model without a config is *unknown*: its size is taken from its name ("Qwen3-8B") or else assumed, its shape is that
of Llama-3.1-8B stretched to the size, ``known`` is false, and every estimate that uses it is ``spread`` times wider.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from orchestrator.planner.cluster import EngineSpec
from orchestrator.planner.datafile import parse_json, read_text

DTYPE_BYTES: Final = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5625, "int4": 0.53}
"""Bytes of one parameter; four-bit formats with their scales (one byte for 16 values, two for 64)."""

_HF_DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
_UNGATED_MLP = {"gpt2", "gpt_neox", "gptj", "gpt_neo", "opt", "bloom", "falcon", "phi", "starcoder2"}
"""Architectures with two MLP matrices; the others have three (gate, up, down)."""

_VARIANT = r"-(instruct|it|chat|base|thinking|fp8|fp4|nvfp4|int4|bf16|\d{4}|v0\.1)$"
"""What a name says of a model beyond its shape."""

ASSUMED_PARAMS: Final = 8.0e9
"""Size of a model about which nothing is known: the middle of what is commonly self-hosted, 1 to 70 billion."""
_ASSUMED_SPREAD, _NAMED_SPREAD = 8.0, 1.5


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """Widths of multi-head latent attention (DeepSeek-V2, arXiv 2405.04434), which caches one latent a token."""

    kv_rank: int
    rope_dim: int
    q_rank: int
    nope_dim: int
    v_dim: int

    @property
    def cached_values(self) -> int:
        """Of one token and layer, for all heads together."""
        return self.kv_rank + self.rope_dim

    def params(self, hidden: int, heads: int) -> int:
        """Of one layer's projections."""
        q = hidden * self.q_rank + self.q_rank * heads * (self.nope_dim + self.rope_dim)
        kv = hidden * self.cached_values + self.kv_rank * heads * (self.nope_dim + self.v_dim)
        return q + kv + heads * self.v_dim * hidden


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the roofline needs. Parameters are counts; ``dtype`` is that of activations and KV cache."""

    name: str
    params: float
    active_params: float
    """Used for one token; less than ``params`` in a mixture of experts."""
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    dtype: str
    weight_dtype: str
    context_tokens: int | None
    """The longest sequence; ``None``: unknown."""
    known: bool
    spread: float = 1.0
    """Factor of doubt about ``params``: they lie within ``params / spread`` and ``params * spread``."""
    note: str = ""
    experts: int = 0
    """Routed experts of one layer; 0: a dense model."""
    experts_per_token: int = 0
    expert_params: int = 0
    """Of one expert."""
    dense_layers: int = 0
    """Layers of a mixture of experts that have none."""
    latent: LatentAttention | None = None
    sliding_layers: int = 0
    """Layers that attend to the last ``sliding_window`` tokens only."""
    sliding_window: int = 0
    dense_weight_dtype: str | None = None
    """Of all weights but the experts', where it is not ``weight_dtype`` (gpt-oss)."""

    @property
    def expert_layers(self) -> int:
        return self.layers - self.dense_layers if self.experts else 0

    @property
    def routed_params(self) -> float:
        """In all experts of all layers."""
        return float(self.expert_layers * self.experts * self.expert_params)

    @property
    def shared_params(self) -> float:
        """All but the routed experts: read for every token."""
        return self.params - self.routed_params

    @property
    def weight_bytes(self) -> float:
        return self.shared_params * self._shared_bytes + self.routed_params * DTYPE_BYTES[self.weight_dtype]

    @property
    def active_weight_bytes(self) -> float:
        """Read for one token."""
        routed = self.active_params - self.shared_params
        return self.shared_params * self._shared_bytes + routed * DTYPE_BYTES[self.weight_dtype]

    @property
    def kv_values_per_token(self) -> int:
        """Cached numbers of one token, all layers."""
        per_layer = self.latent.cached_values if self.latent else 2 * self.kv_heads * self.head_dim
        return self.layers * per_layer

    @property
    def kv_bytes_per_token(self) -> float:
        """Keys and values of all layers."""
        return self.kv_values_per_token * DTYPE_BYTES[self.dtype]

    @property
    def _shared_bytes(self) -> float:
        return DTYPE_BYTES[self.dense_weight_dtype or self.weight_dtype]


_QUANT_METHODS = {"fp8": "fp8", "mxfp4": "fp4", "nvfp4": "fp4"}
_EXPERTS_ONLY = frozenset({"mxfp4"})
"""Methods that leave everything but the experts in the activations' dtype."""


class _Quantization(BaseModel):
    quant_method: str = ""
    bits: int | None = None

    def dtype(self) -> str | None:
        if self.quant_method in _QUANT_METHODS:
            return _QUANT_METHODS[self.quant_method]
        return {4: "int4", 8: "int8"}.get(self.bits or 0)


class _Config(BaseModel):
    """The fields of ``config.json`` that matter, under the names the common architectures give them."""

    model_config = ConfigDict(populate_by_name=True)

    model_type: str = ""
    hidden: int = Field(gt=0, validation_alias=AliasChoices("hidden_size", "n_embd", "d_model"))
    layers: int = Field(gt=0, validation_alias=AliasChoices("num_hidden_layers", "n_layer", "num_layers"))
    heads: int = Field(gt=0, validation_alias=AliasChoices("num_attention_heads", "n_head"))
    kv_heads: int | None = Field(default=None, gt=0, validation_alias="num_key_value_heads")
    head_dim: int | None = Field(default=None, gt=0)
    mlp: int | None = Field(
        default=None, gt=0, validation_alias=AliasChoices("intermediate_size", "n_inner", "ffn_dim")
    )
    vocab: int = Field(gt=0, validation_alias="vocab_size")
    positions: int | None = Field(
        default=None, validation_alias=AliasChoices("max_position_embeddings", "n_positions", "max_sequence_length")
    )
    tied: bool = Field(default=True, validation_alias="tie_word_embeddings")
    dtype: str = Field(default="float32", validation_alias=AliasChoices("dtype", "torch_dtype"))
    quantization: _Quantization | None = Field(default=None, validation_alias="quantization_config")
    experts: int = Field(
        default=0, validation_alias=AliasChoices("num_local_experts", "num_experts", "n_routed_experts")
    )
    experts_per_token: int = Field(default=1, validation_alias="num_experts_per_tok")
    expert_mlp: int | None = Field(default=None, validation_alias="moe_intermediate_size")
    shared_experts: int = Field(default=0, validation_alias="n_shared_experts")
    dense_layers: int = Field(default=0, validation_alias="first_k_dense_replace")
    kv_rank: int | None = Field(default=None, validation_alias="kv_lora_rank")
    q_rank: int = Field(default=0, validation_alias="q_lora_rank")
    rope_dim: int = Field(default=0, validation_alias="qk_rope_head_dim")
    nope_dim: int = Field(default=0, validation_alias="qk_nope_head_dim")
    v_dim: int = Field(default=0, validation_alias="v_head_dim")
    sliding_layers: int = 0
    sliding_window: int | None = None

    def facts(self, name: str) -> ModelFacts:
        dtype = _HF_DTYPES.get(self.dtype, "bf16")
        method = self.quantization.quant_method if self.quantization else ""
        expert_layers = self.layers - self.dense_layers if self.experts else 0
        expert = self._mlp((self.expert_mlp or self.mlp or 4 * self.hidden) if self.experts else 0)
        everywhere = self._shared(expert, expert_layers)
        return ModelFacts(
            name=name,
            params=everywhere + expert_layers * self.experts * expert,
            active_params=everywhere + expert_layers * self.experts_per_token * expert,
            layers=self.layers,
            hidden=self.hidden,
            heads=self.heads,
            kv_heads=self.kv_heads or self.heads,
            head_dim=self._head_dim,
            vocab=self.vocab,
            dtype=dtype,
            weight_dtype=(self.quantization and self.quantization.dtype()) or dtype,
            context_tokens=self.positions,
            known=True,
            experts=self.experts,
            experts_per_token=self.experts_per_token if self.experts else 0,
            expert_params=expert,
            dense_layers=self.dense_layers if self.experts else 0,
            latent=self._latent(),
            sliding_layers=self.sliding_layers,
            sliding_window=self.sliding_window or 0,
            dense_weight_dtype=dtype if method in _EXPERTS_ONLY else None,
        )

    @property
    def _head_dim(self) -> int:
        return self.head_dim or self.hidden // self.heads

    def _latent(self) -> LatentAttention | None:
        if self.kv_rank is None:
            return None
        return LatentAttention(self.kv_rank, self.rope_dim, self.q_rank or self.hidden, self.nope_dim, self.v_dim)

    def _mlp(self, width: int) -> int:
        return (2 if self.model_type in _UNGATED_MLP else 3) * self.hidden * width

    def _shared(self, expert: int, expert_layers: int) -> int:
        """Parameters that every token meets."""
        latent = self._latent()
        plain = self.hidden * self._head_dim * 2 * (self.heads + (self.kv_heads or self.heads))
        attention = latent.params(self.hidden, self.heads) if latent else plain
        dense = (self.layers - expert_layers) * self._mlp(self.mlp or 4 * self.hidden)
        mixed = expert_layers * (self.hidden * self.experts + self.shared_experts * expert)
        embeddings = self.vocab * self.hidden * (1 if self.tied else 2)
        return embeddings + self.hidden + self.layers * (attention + 2 * self.hidden) + dense + mixed


class _Multimodal(BaseModel):
    text_config: _Config


def read_config(path: Path, name: str) -> ModelFacts:
    """Facts from a ``config.json``; raises :class:`PlanError` with the fields that are missing or wrong."""
    text = read_text(path)
    if '"text_config"' in text:
        return parse_json(_Multimodal, text, str(path)).text_config.facts(name)
    return parse_json(_Config, text, str(path)).facts(name)


def facts_of(engine: EngineSpec) -> ModelFacts:
    """Facts about the model an engine serves.

    Looks at ``engine.config``, at the model itself if it is a folder, at the local Hugging Face cache, at the bundled
    configs; else unknown.
    """
    for path in _config_paths(engine):
        if path.is_file() or engine.config:
            return read_config(path, engine.model)
    return bundled(engine.model) or unknown(engine.model)


def bundled(name: str) -> ModelFacts | None:
    """Facts of a well-known model by its name on Hugging Face; ``None`` for any other.

    The organisation, the case and what says how it was tuned or quantised do not matter.

    >>> bundled("nvidia/Llama-3.1-8B-Instruct-FP8").layers
    32
    """
    stem = re.sub(r"^(meta-)+", "", name.rsplit("/", 1)[-1].lower())
    while (shorter := re.sub(_VARIANT, "", stem)) != stem:
        stem = shorter
    path = _bundled().get(stem)
    return read_config(path, name) if path else None


def bundled_names() -> tuple[str, ...]:
    """The names of the bundled configs."""
    return tuple(sorted(_bundled()))


@cache
def _bundled() -> dict[str, Path]:
    folder = Path(str(files("orchestrator.planner") / "model_configs"))
    return {path.stem: path for path in folder.glob("*.json")}


def unknown(name: str) -> ModelFacts:
    """Assumed facts about a model of which only the name is known."""
    size = re.search(r"(?<![\w.])(\d+(?:\.\d+)?)([bBmM])(?![a-zA-Z])", name)
    params = float(size[1]) * (1e9 if size[2] in "bB" else 1e6) if size else ASSUMED_PARAMS
    # Llama-3.1-8B has 32 layers of width 4096; width and depth both grow about with the cube root of the size.
    scale = (params / 8.0e9) ** (1 / 3)
    origin = "from its name" if size else "because its name tells no size"
    return ModelFacts(
        name=name,
        params=params,
        active_params=params,
        layers=max(1, round(32 * scale)),
        hidden=max(128, round(32 * scale) * 128),
        heads=max(1, round(32 * scale)),
        kv_heads=max(1, round(8 * scale)),
        head_dim=128,
        vocab=128_256,
        dtype="bf16",
        weight_dtype="bf16",
        context_tokens=None,
        known=False,
        spread=_NAMED_SPREAD if size else _ASSUMED_SPREAD,
        note=f"no config.json for {name!r}: {params / 1e9:.3g} billion parameters assumed {origin}",
    )


def _config_paths(engine: EngineSpec) -> Iterator[Path]:
    if engine.config:
        yield Path(engine.config)
        return
    yield Path(engine.model) / "config.json"
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    snapshots = home / "hub" / f"models--{engine.model.replace('/', '--')}" / "snapshots"
    yield from sorted(snapshots.glob("*/config.json"))
