"""A whole config, added up: parameters, what is cached of a token, and what of it was not understood."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.errors import Diagnostic, SourceLoc
from orchestrator.planner.architecture.attention import Attention, usual_attention
from orchestrator.planner.architecture.experts import Experts, experts_of, matrices, mlp_widths
from orchestrator.planner.architecture.fields import MOST_LAYERS, NAMES, Config, Fields, is_known_type, word_set
from orchestrator.planner.architecture.latent import LatentAttention, indexed_layers, is_cached_whole, latent_of
from orchestrator.planner.architecture.mixers import (
    BOTH,
    FULL,
    LINEAR,
    SLIDING,
    head_dims,
    kv_heads,
    plan,
    window_of,
)
from orchestrator.planner.architecture.quantization import Weights, cache_dtype_of, weights_of
from orchestrator.planner.architecture.recurrence import recurrence_params, state_bytes
from orchestrator.planner.datafile import line_of

_TEXT: Final = (
    "text_config",
    "llm_config",
    "language_config",
    "language_model_config",
    "text_model_config",
    "thinker_config",
    "decoder",
)
"""Where a model of several kinds of input keeps its language model."""
_TOWERS: Final = ("vision_config", "vision_tower_config", "audio_config", "vision_encoder_config")
_DTYPES: Final = {"float16": "fp16", "half": "fp16", "bfloat16": "bf16"}
"""Anything else, ``float32`` included, is served in 16 bits: bfloat16 where the device has it."""
_STRETCHING: Final = frozenset({"linear", "dynamic"})
"""Kinds of scaling of positions whose factor is not in their number yet, for vLLM; it is for Gemma 3."""
MOST_FACTOR: Final = 10_000
MOST_PARAMS: Final = 1e14
"""The largest models have a few 10^12."""
_POSITIONS: Final = frozenset({"gpt2", "gpt_bigcode", "gpt_neo", "opt", "gpt-sw3", "biogpt", "openai-gpt"})
"""Architectures that learn an embedding for each position."""


@dataclass(frozen=True, slots=True)
class Read:
    """What a config says. ``None`` of a required number: it is in ``wrong``."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    dtype: str
    weights: Weights | None
    context_tokens: int | None
    params: int
    """But the routed experts."""
    embedding_params: int
    """The table of the vocabulary and the output layer have so many, and a table of positions."""
    lookup_params: int
    """Tables of which a token reads a row in each layer have so many."""
    tower_params: int
    experts: Experts | None
    expert_params: int
    """One expert has so many."""
    latent: LatentAttention | None
    attends: tuple[Attention, ...]
    """The layers that attend, those together that do so alike."""
    state_bytes: int
    """Kept of a sequence by layers that are recurrences."""
    cache_dtype: str | None
    """It is the type of those; None: ``dtype``."""
    index_bytes: int
    """Besides those, of what an indexer keeps."""
    doubts: tuple[str, ...]


@dataclass
class UnreadableError(Exception):
    """The fields without which nothing can be said: those that are missing, and those that are impossible."""

    missing: list[str]
    wrong: dict[str, str] = field(default_factory=dict)

    def diagnostics(self, text: str, file: str) -> list[Diagnostic]:
        """ORCH-P004 for each that is missing, ORCH-P005 for each that is impossible, at its line."""
        absent = [Diagnostic("ORCH-P004", f"`{name}` is missing", SourceLoc(file, 1)) for name in self.missing]
        return absent + [
            Diagnostic("ORCH-P005", f"`{name}`: {what}", SourceLoc(file, line_of(text, name)))
            for name, what in self.wrong.items()
        ]


def read(config: Config) -> Read:
    """Add up a config. Raises :class:`UnreadableError` where not even its shape is told."""
    outer, text, path = config, config, 0
    while path < 3 and (inner := _language_part(text)) is not None:
        text, path = inner, path + 1
    fields = Fields.of({**_inherited(outer, text), **text} if text is not outer else outer)
    missing = [NAMES[name][0] for name in ("hidden", "layers") if not fields.asked(name)]
    listed = fields.words("layers_block_type") or fields.word("hybrid_override_pattern")
    if listed and NAMES["layers"][0] in missing and len(listed) <= MOST_LAYERS:
        fields = Fields.of({**fields.given, "num_hidden_layers": len(listed)})
        missing.remove(NAMES["layers"][0])
    if missing:
        raise UnreadableError([each for each in missing if each not in fields.wrong], fields.wrong)
    return _add_up(outer, fields)


def _language_part(config: Config) -> Config | None:
    for name in _TEXT:
        inner = config.get(name)
        if isinstance(inner, Mapping) and inner:
            return inner
    return None


def _inherited(outer: Config, text: Config) -> dict[str, Any]:
    """What stands beside the language model's part and holds for it, where it says nothing itself."""
    names = ("dtype", "torch_dtype", "quantization_config", "compression_config", "tie_word_embeddings")
    found = {name: outer[name] for name in names if outer.get(name) is not None}
    for mark in ("dtype", "torch_dtype"):
        if text.get(mark) is not None:
            found = {name: value for name, value in found.items() if name not in {"dtype", "torch_dtype"}}
    if text.get("quantization_config") is None and "quantization_config" in text:
        found.pop("quantization_config", None)
    return found


def _add_up(outer: Config, fields: Fields) -> Read:
    hidden, layers = fields.asked("hidden") or 1, fields.asked("layers") or 1
    words = plan(fields, layers)
    heads = _heads(fields, hidden, words)
    head_dim = fields.number(*NAMES["head_dim"], least=0) or max(1, hidden // heads)
    by_layer = kv_heads(fields, layers, heads)
    dims = head_dims(fields, words, head_dim)
    latent = latent_of(fields, hidden, heads)
    mixer = _mixers(fields, words, by_layer, heads=heads, dims=dims, hidden=hidden, latent=latent)
    widths = mlp_widths(fields, hidden, layers)
    experts = experts_of(fields, layers, widths[0])
    dense = _dense_params(fields, hidden, widths, words, experts)
    of_expert = matrices(fields) * hidden * experts.width if experts else 0
    every = hidden * experts.count + matrices(fields) * hidden * experts.shared_width if experts else 0
    embeddings, lookups = _embeddings(fields, hidden), _lookups(fields)
    attends = _attends(fields, words, by_layer, heads=heads, dims=dims, latent=latent)
    recurrent = sum(word in {LINEAR, BOTH} for word in words)
    indexed = indexed_layers(fields, layers) if latent and latent.index_dim else 0
    if latent:
        mixer += indexed * latent.index_params(hidden)
    params = (
        embeddings + lookups + hidden + mixer + 2 * hidden * layers + dense + every * (experts.layers if experts else 0)
    )
    if params + (experts.layers * experts.count * of_expert if experts else 0) > MOST_PARAMS:
        fields.doubt("more parameters than any model has")
    _doubt_the_rest(outer, fields)
    return Read(
        hidden=hidden,
        layers=layers,
        heads=heads,
        kv_heads=Counter(filter(None, by_layer)).most_common(1)[0][0] if any(by_layer) else heads,
        head_dim=head_dim,
        vocab=fields.asked("vocab") or 1,
        dtype=_DTYPES.get(fields.word("dtype", "torch_dtype").removeprefix("torch."), "bf16"),
        weights=weights_of(fields),
        context_tokens=_context_tokens(fields),
        params=params,
        embedding_params=embeddings,
        lookup_params=lookups,
        tower_params=sum(_tower(outer.get(name)) for name in _TOWERS),
        experts=experts,
        expert_params=of_expert,
        latent=None if is_cached_whole(fields) else latent,
        attends=attends,
        state_bytes=recurrent * state_bytes(fields, hidden, heads, head_dim) if recurrent else 0,
        cache_dtype=cache_dtype_of(fields),
        index_bytes=indexed * latent.index_bytes if latent else 0,
        doubts=tuple(fields.doubts),
    )


def _context_tokens(fields: Fields) -> int | None:
    """The positions, by the factor that they are stretched by; what other kinds of scaling give is in them already."""
    positions = fields.asked("positions")
    scaling = fields.value("rope_scaling", "rope_parameters")
    if positions is None or not isinstance(scaling, Mapping) or fields.model_type.startswith("gemma3"):
        return positions
    kind, factor = str(scaling.get("rope_type", scaling.get("type"))), scaling.get("factor")
    if kind in _STRETCHING and isinstance(factor, (int, float)) and 1 <= factor < MOST_FACTOR:
        return int(positions * factor)
    return positions


def _heads(fields: Fields, hidden: int, words: Iterable[str]) -> int:
    heads = fields.asked("heads")
    if heads is None:
        by_layer = fields.value("num_query_heads", "num_attention_heads_per_layer")
        if isinstance(by_layer, (list, tuple)) and by_layer:
            heads = Fields({"n": sum(each for each in by_layer if isinstance(each, int)) // len(by_layer)}).number("n")
    if heads is None and any(word != LINEAR for word in words):
        fields.doubt("how many attention heads it has")
    return heads or max(1, hidden // 128)


def _mixers(
    fields: Fields,
    words: list[str],
    by_layer: list[int],
    *,
    heads: int,
    dims: list[int],
    hidden: int,
    latent: LatentAttention | None,
) -> int:
    """Parameters of what mixes tokens, all layers."""
    recurrence = recurrence_params(fields, hidden, heads, dims[0]) if {LINEAR, BOTH} & set(words) else 0
    gates = 1 if _gated(fields) else 0
    total = recurrence * sum(word in {LINEAR, BOTH} for word in words)
    for word, kv, head_dim in zip(words, by_layer, dims, strict=True):
        if word in {FULL, SLIDING, BOTH}:
            plain = hidden * head_dim * (2 * heads + 2 * kv + gates * heads)
            total += latent.params(hidden, heads) if latent else plain
    return total


def _gated(fields: Fields) -> bool:
    """Attention whose output is gated by as wide a projection."""
    return bool(fields.flag("attn_output_gate")) or fields.model_type in {"qwen3_next", "afmoe"}


def _dense_params(fields: Fields, hidden: int, widths: list[int], words: list[str], experts: Experts | None) -> int:
    """The parameters of the MLPs of layers without experts."""
    if fields.model_type.startswith("nemotron_h"):  # a layer is either a mixer or an MLP
        letters = fields.letters("hybrid_override_pattern", "layers_block_type")
        return sum(each in {"-", "mlp"} for each in letters) * matrices(fields) * hidden * widths[0]
    dense_layers = len(words) - (experts.layers if experts else 0)
    return matrices(fields) * hidden * sum(widths[:dense_layers])


def _embeddings(fields: Fields, hidden: int) -> int:
    vocab = fields.asked("vocab")
    if vocab is None:
        fields.doubt("the size of its vocabulary")
        vocab = 128_256
    tied = fields.flag("tie_word_embeddings", "tie_embedding_weights")
    if tied is None and not fields.model_type:
        tied = True
    total = vocab * hidden * (1 if tied else 2)
    if fields.model_type in _POSITIONS:
        total += (fields.asked("positions") or 0) * hidden
    return total


def _lookups(fields: Fields) -> int:
    per_layer = fields.number("hidden_size_per_layer_input", least=0) or 0
    vocab = fields.number("vocab_size_per_layer_input") or fields.asked("vocab") or 1
    return vocab * per_layer * (fields.asked("layers") or 1)


def _attends(
    fields: Fields,
    words: list[str],
    by_layer: list[int],
    *,
    heads: int,
    dims: list[int],
    latent: LatentAttention | None,
) -> tuple[Attention, ...]:
    """The layers that attend. Those that share another's cache, and recurrences, cache nothing of a token."""
    shared = fields.number("num_kv_shared_layers", least=0) or 0
    every = fields.number("cla_share_factor") if fields.flag("use_cla") else None
    window, whole = window_of(fields) if SLIDING in words else 0, is_cached_whole(fields)
    alike: Counter[tuple[int, int, int]] = Counter()
    caching: Counter[tuple[int, int, int]] = Counter()
    for at, (word, kv) in enumerate(zip(words, by_layer, strict=True)):
        if word in {FULL, SLIDING, BOTH}:
            kind = (heads if whole else kv, dims[at], window if word == SLIDING else 0)
            alike[kind] += 1
            caching[kind] += not (at >= len(words) - shared or (every and at % every))
    found = tuple(
        usual_attention(count, kind[0], kind[1], latent, window=kind[2], caching=caching[kind], whole=whole)
        for kind, count in alike.items()
    )
    if sum(each.values_on(1) for each in found) == 0:
        fields.doubt("what a token adds to its cache: it keeps a state for each sequence")
        return (Attention(0, len(words), 1, 1, 0, 0),)
    return found


def _tower(config: object) -> int:
    """Parameters of an encoder of images or sounds, near enough."""
    fields = Fields(config if isinstance(config, Mapping) else {})
    hidden = fields.asked("hidden")
    layers = fields.asked("layers") or fields.number("depth", "encoder_layers")
    if not hidden or not layers:
        return 0
    return layers * (4 * hidden * hidden + 2 * hidden * (fields.asked("mlp") or 4 * hidden))


def _doubt_the_rest(outer: Config, fields: Fields) -> None:
    if outer.get("is_encoder_decoder") is True or fields.given.get("is_encoder_decoder") is True:
        fields.doubt("its encoder")
    for name, what in fields.wrong.items():
        fields.doubt(f"`{name}`: {what}")
    if {fields.model_type, str(outer.get("model_type"))} & _STRANGE:
        fields.doubt("an architecture that is read in part only")
    elif not fields.model_type and "auto_map" in outer:
        fields.doubt("an architecture of its own code")
    elif fields.model_type and not is_known_type(fields.model_type) and fields.model_type not in _READ_ALIKE:
        fields.doubt(f"an architecture that is not known, `{fields.model_type}`")


_READ_ALIKE: Final = word_set(
    """kimi_k2 internlm internlm2 internlm3 minicpm baichuan yi chatglm qwen mpt deci nemotron-nas openelm dbrx step3
    exaone orion xverse telechat telechat2 aquila solar grok-1 glm_moe_dsa deepseek deepseek_v32 minimax_m2"""
)
"""Architectures that transformers does not have, or has not always had, and that read as they look."""
_STRANGE: Final = word_set(
    """bert bert-generation big_bird blt camembert cosmos3_edge ctrl data2vec-text deepseek_v4 electra ernie git glm_ocr
    hrm_text idefics instructblip instructblipvideo inkling_mm_model jetmoe kosmos-2 longcat_flash megatron-bert mllama
    moshi qwen2_5_omni_thinker reformer rembert roberta roberta-prelayernorm roc_bert roformer trocr xlm-roberta
    xlm-roberta-xl xlnet xlstm xmod zamba zamba2 zaya"""
)
"""Architectures that share weights, or have parts, in ways that are not read here."""
