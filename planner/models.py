"""Facts about a model that set its speed and memory, read from a Hugging Face ``config.json``. Never the network.

>>> facts = read_config(Path("models/llama-3.1-8b/config.json"), "llama")   # doctest: +SKIP
>>> facts.params, facts.kv_bytes_per_token                                  # doctest: +SKIP
(8030261248, 131072)

A model without a config is *unknown*: its size is taken from its name ("Qwen3-8B") or else assumed, its shape is that
of Llama-3.1-8B stretched to the size, ``known`` is false, and every estimate that uses it is ``spread`` times wider.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from orchestrator.planner.cluster import EngineSpec
from orchestrator.planner.datafile import parse_json, read_text

DTYPE_BYTES: Final = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.5}

_HF_DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
_UNGATED_MLP = {"gpt2", "gpt_neox", "gptj", "gpt_neo", "opt", "bloom", "falcon", "phi", "starcoder2"}
"""Architectures with two MLP matrices; the others have three (gate, up, down)."""

ASSUMED_PARAMS: Final = 8.0e9
"""Size of a model about which nothing is known: the middle of what is commonly self-hosted, 1 to 70 billion."""
_ASSUMED_SPREAD, _NAMED_SPREAD = 8.0, 1.5


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

    @property
    def weight_bytes(self) -> float:
        return self.params * DTYPE_BYTES[self.weight_dtype]

    @property
    def active_weight_bytes(self) -> float:
        """Read for one token."""
        return self.active_params * DTYPE_BYTES[self.weight_dtype]

    @property
    def kv_bytes_per_token(self) -> float:
        """Keys and values of all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * DTYPE_BYTES[self.dtype]


class _Quantization(BaseModel):
    quant_method: str = ""
    bits: int | None = None

    def dtype(self) -> str | None:
        if self.quant_method == "fp8":
            return "fp8"
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
    kv_lora_rank: int | None = None

    def facts(self, name: str) -> ModelFacts:
        head_dim = self.head_dim or self.hidden // self.heads
        kv_heads = self.kv_heads or self.heads
        attention = self.hidden * head_dim * 2 * (self.heads + kv_heads)
        mlp_width = (self.expert_mlp if self.experts else None) or self.mlp or 4 * self.hidden
        mlp = (2 if self.model_type in _UNGATED_MLP else 3) * self.hidden * mlp_width
        router = self.hidden * self.experts
        norms = 2 * self.hidden
        embeddings = self.vocab * self.hidden * (1 if self.tied else 2)
        shared = embeddings + self.hidden + self.layers * (attention + router + norms)
        dtype = _HF_DTYPES.get(self.dtype, "bf16")
        return ModelFacts(
            name=name,
            params=shared + self.layers * mlp * max(self.experts, 1),
            active_params=shared + self.layers * mlp * (self.experts_per_token if self.experts else 1),
            layers=self.layers,
            hidden=self.hidden,
            heads=self.heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            vocab=self.vocab,
            dtype=dtype,
            weight_dtype=(self.quantization and self.quantization.dtype()) or dtype,
            context_tokens=self.positions,
            known=True,
            note="latent attention is not modelled: KV bytes are too high" if self.kv_lora_rank else "",
        )


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

    Looks at ``engine.config``, at the model itself if it is a folder, at the local Hugging Face cache; else unknown.
    """
    for path in _config_paths(engine):
        if path.is_file() or engine.config:
            return read_config(path, engine.model)
    return unknown(engine.model)


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
