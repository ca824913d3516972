"""Facts about a model that set its speed and memory, read from a Hugging Face ``config.json``. Never the network.

>>> facts = read_config(Path("models/llama-3.1-8b/config.json"), "llama")   # doctest: +SKIP
>>> facts.params, facts.kv_bytes_per_token                                  # doctest: +SKIP
(8030261248, 131072)

The configs of some well-known models are bundled (``model_configs/*.json``, each with its source), so that they can be
priced without a checkpoint at hand.

A model without a config is *unknown*: its size is taken from its name (``architecture/naming.py``) or else assumed, its
shape is that of Llama-3.1-8B stretched to the size, ``known`` is false, and every estimate that uses it is ``spread``
times wider.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from orchestrator import hub_cache
from orchestrator.cached import cached_property
from orchestrator.errors import PlanError
from orchestrator.planner.architecture.attention import Attention, usual_attention
from orchestrator.planner.architecture.latent import LatentAttention
from orchestrator.planner.architecture.naming import size_of, width_of
from orchestrator.planner.architecture.quantization import cache_dtype, quantised_online
from orchestrator.planner.architecture.reading import Read, UnreadableError, read
from orchestrator.planner.cluster import EngineSpec
from orchestrator.planner.datafile import parse_object, read_text

DTYPE_BYTES: Final = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5625, "int4": 0.53} | {
    f"int{bits}": bits / 8 + 0.03 for bits in (2, 3, 5, 6)
}
"""Bytes of one parameter; four-bit formats with their scales (one byte for 16 values, two for 64)."""

_DTYPES: Final = {"float16": "fp16", "half": "fp16", "bfloat16": "bf16", "float32": "fp32", "float": "fp32"}
"""It has the types by vLLM's names."""

_VARIANT: Final = (
    r"[-.](instruct|it|chat|base|thinking|\d{4}|v0\.1|fp8|fp4|nvfp4|mxfp4|int4|int8|bf16|awq|gptq|bnb|w4a16|w8a8|"
    r"quantized|dynamic|[48]-?bit)$"
)
"""What a name says of a model beyond its shape."""

ASSUMED_PARAMS: Final = 8.0e9
"""Size of a model about which nothing is known: the middle of what is commonly self-hosted, 1 to 70 billion."""
_BESIDE: Final = "hf_quant_config.json"
_ASSUMED_SPREAD: Final = 8.0
_UNKNOWN_WIDTH_SPREAD: Final = 4.0
"""Weights in full 16 bits are so many times as large as those in 4."""
DOUBT_SPREAD: Final = 1.5
"""It widens the figures of a model whose config is not understood in full."""


@dataclass(frozen=True)
class ModelFacts:
    """What the roofline needs. Parameters are counts; ``dtype`` is that of activations, and of the KV cache unless
    ``cache_dtype`` is given."""

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
    """One expert has so many parameters."""
    dense_layers: int = 0
    """Layers of a mixture of experts that have none."""
    latent: LatentAttention | None = None
    attends: tuple[Attention, ...] = ()
    """The layers that attend; (): all do, to keys and values of ``kv_heads``, or to their ``latent``."""
    state_bytes: int = 0
    """Kept of a sequence, however long it is, by layers that are recurrences."""
    dense_weight_dtype: str | None = None
    """It is the type of all weights but the experts', where it is not ``weight_dtype`` (gpt-oss)."""
    unquantised_params: int = 0
    """Of ``params``, those that stay in ``dtype`` whatever the method: the embeddings and the output layer."""
    cache_dtype: str | None = None
    """It is the type of what is cached, where it is not ``dtype``."""
    lookup_params: int = 0
    """Of ``params``, those of tables of which a token reads a row (Gemma 3n's embeddings of each layer)."""
    index_bytes: int = 0
    """Cached of one token besides its values, all layers, in a width of its own: what an indexer looks for."""
    tower_params: int = 0
    """Besides ``params``: encoders of images or sounds, which text does not meet."""

    @property
    def expert_layers(self) -> int:
        return self.layers - self.dense_layers if self.experts else 0

    @property
    def routed_params(self) -> float:
        """The parameters in all experts of all layers."""
        return float(self.expert_layers * self.experts * self.expert_params)

    @property
    def shared_params(self) -> float:
        """All but the routed experts and the tables of which a token reads a row: read for every token."""
        return self.params - self.routed_params - self.lookup_params

    @property
    def shared_weight_bytes(self) -> float:
        """The bytes of what is read for every token."""
        width = DTYPE_BYTES[self.dense_weight_dtype or self.weight_dtype]
        kept = self.unquantised_params * DTYPE_BYTES[self.dtype]
        return (self.shared_params - self.unquantised_params) * width + kept

    @property
    def routed_weight_bytes(self) -> float:
        """The bytes of all experts of all layers."""
        return self.routed_params * DTYPE_BYTES[self.weight_dtype]

    @cached_property
    def weight_bytes(self) -> float:
        beside = (self.tower_params + self.lookup_params) * DTYPE_BYTES[self.dtype]
        return self.shared_weight_bytes + self.routed_weight_bytes + beside

    @cached_property
    def active_weight_bytes(self) -> float:
        """Read for one token."""
        return self.step_weight_bytes(1)

    def step_weight_bytes(self, tokens: float) -> float:
        """Read for ``tokens`` at once: what they share is read once, and of the experts those that any of them takes.

        Each picks its experts independently, so n tokens hit ``1 - (1 - k/E)^n`` of them.
        """
        if not self.experts:
            return self.shared_weight_bytes
        hit = 1 - math.pow(1 - self.experts_per_token / self.experts, tokens)
        return self.shared_weight_bytes + self.routed_weight_bytes * hit

    @cached_property
    def attention(self) -> tuple[Attention, ...]:
        """The layers that attend, those together that do so alike."""
        return self.attends or (usual_attention(self.layers, self.kv_heads, self.head_dim, self.latent),)

    @cached_property
    def kv_values_per_token(self) -> int:
        """Cached numbers of one token, all layers."""
        return sum(each.values_on(1) for each in self.attention)

    @property
    def kv_value_bytes(self) -> float:
        """The width of a cached number."""
        return DTYPE_BYTES[self.cache_dtype or self.dtype]

    @cached_property
    def kv_bytes_per_token(self) -> float:
        """Keys and values of all layers, and what an indexer keeps, of a token that all windows reach."""
        return self.kv_values_per_token * self.kv_value_bytes + self.index_bytes

    def kv_bytes(self, prompt: float, output: float = 0.0, samples: int = 1) -> float:
        """What is cached of ``samples`` replies of ``output`` tokens to one prompt, whose cache they share."""
        values = sum(each.values_on(1) * each.kept_of(prompt, output, samples) for each in self.attention)
        indexed = self.index_bytes * (prompt + samples * output)
        return values * self.kv_value_bytes + indexed + samples * self.state_bytes

    def prompt_attention_flops(self, new: float, cached: float) -> float:
        """Arithmetic of the attention of ``new`` prompt tokens after ``cached`` ones."""
        pairs = sum(each.layers * each.pair_width * each.pairs(new, cached) for each in self.attention)
        return 2 * self.heads * pairs

    def step_attention_flops(self, context: float) -> float:
        """Arithmetic of the attention of one token that is decoded after ``context`` ones."""
        return 2 * self.heads * sum(each.layers * each.step_width * each.kept(context) for each in self.attention)


def read_config(path: Path, name: str) -> ModelFacts:
    """Facts from a ``config.json``; what of it is not understood is in their note, and makes them ``known=False``.

    Raises :class:`PlanError` where it is no config at all: ORCH-P001, P002, and P004 or P005 with the fields that are
    missing or wrong.
    """
    return _read(path, name, (_stamp(path), _stamp(path.with_name(_BESIDE))))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


@lru_cache(maxsize=64)
def _read(path: Path, name: str, _stamps: tuple[tuple[int, int] | None, ...]) -> ModelFacts:
    """Placing a workflow asks for the same facts a thousand times."""
    text = read_text(path)
    config = parse_object(text, str(path))
    try:
        found = read({**_quantization_beside(path), **config})
    except UnreadableError as unreadable:
        raise PlanError.collect(unreadable.diagnostics(text, str(path))) from unreadable
    return _facts(found, name)


def _quantization_beside(path: Path) -> dict[str, object]:
    """ModelOpt writes what it did to a file of its own, which vLLM reads where the config says nothing."""
    beside = path.with_name(_BESIDE)
    try:
        return {"quantization_config": parse_object(read_text(beside), str(beside))}
    except PlanError:  # not there, most often
        return {}


def _facts(found: Read, name: str) -> ModelFacts:
    experts, weights = found.experts, found.weights
    routed = found.expert_params * (experts.count if experts else 0)
    active = found.expert_params * (experts.per_token if experts else 0)
    mixed = experts.layers if experts else 0
    doubts = "; ".join(found.doubts)
    return ModelFacts(
        name=name,
        params=found.params + mixed * routed,
        active_params=found.params - found.lookup_params + mixed * active,
        layers=found.layers,
        hidden=found.hidden,
        heads=found.heads,
        kv_heads=found.kv_heads,
        head_dim=found.head_dim,
        vocab=found.vocab,
        dtype=found.dtype,
        weight_dtype=weights.dtype if weights else found.dtype,
        context_tokens=found.context_tokens,
        known=not doubts,
        spread=DOUBT_SPREAD if doubts else 1.0,
        note=f"the config of {name!r} is not understood in full: {doubts}" if doubts else "",
        experts=experts.count if experts else 0,
        experts_per_token=experts.per_token if experts else 0,
        expert_params=found.expert_params,
        dense_layers=found.layers - mixed if experts else 0,
        latent=found.latent,
        attends=found.attends,
        state_bytes=found.state_bytes,
        cache_dtype=found.cache_dtype,
        index_bytes=found.index_bytes,
        dense_weight_dtype=found.dtype if weights and weights.experts_only else None,
        unquantised_params=found.embedding_params,
        lookup_params=found.lookup_params,
        tower_params=found.tower_params,
    )


def facts_of(engine: EngineSpec) -> ModelFacts:
    """Facts about the model as an engine serves it, which may be told to use other dtypes than the checkpoint's.

    Looks at ``engine.config``, at the model itself if it is a folder, at the local Hugging Face cache, at the bundled
    configs; else unknown. A config that cannot be read makes the model unknown too, and stops nothing: the engine may
    understand it. One that the cluster file names has to be there: else :class:`PlanError` ORCH-P001.
    """
    if engine.config:
        read_text(Path(engine.config))
    problem = ""
    for path in _config_paths(engine):
        if not _is_there(path):
            continue
        try:
            return _served(read_config(path, engine.model), engine)
        except PlanError as error:
            problem = problem or f"{error.message} ({path})"
    return _served(bundled(engine.model) or unknown(engine.model, problem), engine)


def _served(facts: ModelFacts, engine: EngineSpec) -> ModelFacts:
    """The facts in the dtypes that the engine's options name."""
    dtype = _DTYPES.get(str(engine.option("dtype")).lower())
    cached = cache_dtype(str(engine.option("kv_cache_dtype")))
    if dtype is not None and dtype != facts.dtype:
        dense = facts.dense_weight_dtype
        facts = replace(
            facts,
            dtype=dtype,
            weight_dtype=dtype if facts.weight_dtype == facts.dtype else facts.weight_dtype,
            dense_weight_dtype=dtype if dense == facts.dtype else dense,
        )
    return _quantised(facts if cached is None else replace(facts, cache_dtype=cached), engine)


def _quantised(facts: ModelFacts, engine: EngineSpec) -> ModelFacts:
    """The facts where the engine is told to quantise weights that the checkpoint has in full."""
    method = engine.option("quantization")
    if method in (None, "", "none") or facts.weight_dtype != facts.dtype:
        return facts
    weights = quantised_online(method.lower()) if isinstance(method, str) else None
    if weights is not None:
        dense = facts.dtype if weights.experts_only else None
        return replace(facts, weight_dtype=weights.dtype, dense_weight_dtype=dense)
    doubt = f"how wide weights are with quantization={method!r}"
    note = f"{facts.note}; {doubt}" if facts.note else f"it is not known {doubt}"
    return replace(facts, known=False, spread=max(facts.spread, _UNKNOWN_WIDTH_SPREAD), note=note)


def _is_there(path: Path) -> bool:
    """Also where the system does not let one look: reading it says why."""
    try:
        return path.is_file()
    except OSError:
        return True


def bundled(name: str) -> ModelFacts | None:
    """Facts of a well-known model by its name on Hugging Face; ``None`` for any other.

    The organisation, the case and what says how it was tuned do not matter; weights are as wide as the name says, or
    else as in the checkpoint that the config is of.

    >>> bundled("nvidia/Llama-3.1-8B-Instruct-FP8").layers
    32
    """
    stem = re.sub(r"^(meta-)+", "", name.rsplit("/", 1)[-1].lower())
    while (shorter := re.sub(_VARIANT, "", stem)) != stem:
        stem = shorter
    path = _bundled().get(stem)
    if path is None:
        return None
    facts, width = read_config(path, name), width_of(name)
    return facts if width is None else replace(facts, weight_dtype=width, dense_weight_dtype=None)


def bundled_names() -> tuple[str, ...]:
    """The names of the bundled configs."""
    return tuple(sorted(_bundled()))


@cache
def _bundled() -> dict[str, Path]:
    folder = Path(str(files("orchestrator.planner") / "model_configs"))
    return {path.stem: path for path in folder.glob("*.json")}


def unknown(name: str, problem: str = "") -> ModelFacts:
    """Assumed facts about a model of which only the name is known; ``problem``: why its config says nothing."""
    named, dtype = size_of(name), width_of(name) or "bf16"
    params, active = (named.params, named.active) if named else (ASSUMED_PARAMS, ASSUMED_PARAMS)
    # Llama-3.1-8B has 32 layers of width 4096; width and depth both grow about with the cube root of the size, in a
    # mixture of what a token uses.
    scale = (active / 8.0e9) ** (1 / 3)
    layers = max(1, round(32 * scale))
    experts = named.experts if named else 0
    origin = named.said if named else "because its name tells no size"
    using = f", of which a token uses {active / 1e9:.3g} billion," if active < params else ""
    narrow = "" if dtype == "bf16" else f" in {dtype}"
    return ModelFacts(
        name=name,
        params=params,
        active_params=active,
        layers=layers,
        hidden=max(128, round(32 * scale) * 128),
        heads=max(1, round(32 * scale)),
        kv_heads=max(1, round(8 * scale)),
        head_dim=128,
        vocab=128_256,
        dtype="bf16",
        weight_dtype=dtype,
        context_tokens=None,
        known=False,
        spread=named.spread if named else _ASSUMED_SPREAD,
        note=f"{problem or f'no config.json for {name!r}'}: {params / 1e9:.3g} billion parameters{using}{narrow} "
        f"assumed {origin}",
        experts=experts,
        experts_per_token=named.experts_per_token if named else 0,
        expert_params=round(named.routed / (layers * experts)) if named and experts else 0,
        lookup_params=round(named.lookup) if named else 0,
    )


def _config_paths(engine: EngineSpec) -> Iterator[Path]:
    if engine.config:
        yield Path(engine.config)
        return
    yield Path(engine.model) / "config.json"
    revision = engine.option("revision")
    yield from hub_cache.cached(engine.model, "config.json", revision if isinstance(revision, str) else None)
