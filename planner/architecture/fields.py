"""Values of a config under all the names that architectures give them.

``null`` means "not given", as in transformers: a value that is null is taken from no default, since that is how a
config switches something off (``"sliding_window": null``, ``"q_lora_rank": null``). What is left out has the
architecture's default. What cannot be understood becomes a *doubt*, never an exception.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final

Config = Mapping[str, Any]

NAMES: Final[dict[str, tuple[str, ...]]] = {
    "hidden": ("hidden_size", "n_embd", "d_model", "model_dim", "embedding_dim", "embed_dim", "n_embed"),
    "layers": (
        "num_hidden_layers",
        "n_layer",
        "n_layers",
        "num_layers",
        "decoder_layers",
        "num_decoder_layers",
        "num_transformer_layers",
        "num_blocks",
        "layers",
    ),
    "heads": (
        "num_attention_heads",
        "n_head",
        "n_heads",
        "num_heads",
        "decoder_attention_heads",
        "num_decoder_attention_heads",
        "num_query_heads",
        "attention_heads",
    ),
    "kv_heads": (
        "num_key_value_heads",
        "num_kv_heads",
        "n_head_kv",
        "n_kv_heads",
        "kv_n_heads",
        "multi_query_group_num",
        "num_query_groups",
        "num_attention_groups",
    ),
    "head_dim": ("head_dim", "attention_head_dim", "kv_channels", "hidden_size_per_head", "d_kv", "dim_head"),
    "mlp": (
        "intermediate_size",
        "n_inner",
        "ffn_dim",
        "ffn_hidden_size",
        "decoder_ffn_dim",
        "d_ff",
        "dim_ff",
        "d_inner",
    ),
    "vocab": ("vocab_size", "padded_vocab_size", "n_vocab"),
    "positions": (
        "max_position_embeddings",
        "n_positions",
        "max_seq_len",
        "seq_length",
        "model_max_length",
        "max_sequence_length",
        "max_target_positions",
        "n_ctx",
        "max_context_length",
    ),
    "window": ("sliding_window", "attention_window_size", "sliding_window_size", "attention_chunk_size"),
    "experts": (
        "num_local_experts",
        "num_experts",
        "n_routed_experts",
        "moe_num_experts",
        "num_moe_experts",
        "moe_num_primary_experts",
    ),
    "experts_per_token": (
        "num_experts_per_tok",
        "num_experts_per_token",
        "moe_topk",
        "moe_top_k",
        "moe_k",
        "top_k_experts",
        "num_selected_experts",
    ),
    "expert_mlp": ("moe_intermediate_size", "expert_ffn_hidden_size", "expert_intermediate_size"),
    "shared_experts": (
        "n_shared_experts",
        "num_shared_experts",
        "moe_num_shared_experts",
        "num_shared_expert",
    ),
    "shared_mlp": (
        "shared_expert_intermediate_size",
        "shared_intermediate_size",
        "moe_shared_expert_intermediate_size",
        "share_expert_dim",
    ),
    "dense_layers": ("first_k_dense_replace", "num_dense_layers", "n_dense_layers", "moe_layer_start_index"),
    "tied": ("tie_word_embeddings", "tie_embedding_weights"),
}
"""What is asked for, and the fields that may hold it, in order."""
MOST_LAYERS: Final = 10_000
MOST_FIGURE: Final = 1e6
"""A factor may be so large."""


def word_set(words: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(words.split())


@cache
def _table() -> dict[str, dict[str, Any]]:
    text = (files("orchestrator.planner") / "architecture" / "defaults.json").read_text(encoding="utf-8")
    table: dict[str, dict[str, Any]] = json.loads(text)["types"]
    return table


def is_known_type(model_type: str) -> bool:
    """Whether transformers has this architecture, so that its defaults are known."""
    return model_type in _table()


@dataclass(slots=True)
class Fields:
    """One config, or one part of it, with the defaults of its architecture."""

    given: Config
    model_type: str = ""
    doubts: list[str] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)
    """Fields with impossible values, and what is wrong with them."""

    @classmethod
    def of(cls, given: Config) -> Fields:
        """The fields of one part."""
        named = given.get("model_type")
        return cls(given, named if isinstance(named, str) else "")

    def part(self, *names: str) -> Fields:
        """A nested part (``attn_config``), or an empty one; doubts are shared, and one that is no object is one."""
        for name in names:
            found = self.value(name)
            if isinstance(found, Mapping):
                return self.within(found)
            if found:
                self.doubt(f"`{name}`, which is no object")
        return self.within({})

    def within(self, part: object) -> Fields:
        """The fields of an object inside, of none where it is no object; doubts are shared."""
        return Fields(part if isinstance(part, Mapping) else {}, "", self.doubts, self.wrong)

    def value(self, *names: str) -> Any:
        """The first that is given; None if one is null or there is none; a default only where all are left out."""
        present = [name for name in names if name in self.given]
        for name in present:
            if self.given[name] is not None:
                return self.given[name]
        if present:
            return None
        defaults = _table().get(self.model_type, {})
        return next((defaults[name] for name in names if defaults.get(name) is not None), None)

    def number(self, *names: str, least: int = 1, most: int = 10**9) -> int | None:
        """A whole number; a list of equal ones counts as one."""
        value = self.value(*names)
        if isinstance(value, (list, tuple)) and value:
            value = value[0] if all(each == value[0] for each in value) else None
        if value is None:
            return None
        number = _whole(value)
        if number is None or not least <= number <= most:
            self.wrong[self._name(names)] = f"{_shown(value)} is no whole number from {least} to {most}"
            return None
        return number

    def numbers(self, count: int, *names: str, least: int = 0) -> list[int] | None:
        """A number for each layer, from a list of that length."""
        value = self.value(*names)
        if not isinstance(value, (list, tuple)):
            return None
        found = [_whole(each) for each in value]
        if len(found) != count or any(each is None or each < least for each in found):
            self.doubt(f"`{self._name(names)}` does not fit {count} layers")
            return None
        return [each for each in found if each is not None]

    def figure(self, *names: str) -> float | None:
        """A number above 0 that need not be whole, a factor for example."""
        value = self.value(*names)
        if value is None:
            return None
        if not _is_figure(value):
            self.wrong[self._name(names)] = f"{_shown(value)} is no number above 0"
            return None
        return float(value)

    def figures(self, count: int, *names: str) -> list[float] | None:
        """Such a number for each layer, from a list of that length."""
        value = self.value(*names)
        if not isinstance(value, (list, tuple)):
            return None
        if len(value) != count or not all(map(_is_figure, value)):
            self.doubt(f"`{self._name(names)}` does not fit {count} layers")
            return None
        return [float(each) for each in value]

    def asked(self, what: str) -> int | None:
        """A number by its entry in :data:`NAMES`."""
        return self.number(*NAMES[what], most=MOST_LAYERS if what == "layers" else 10**9)

    def flag(self, *names: str) -> bool | None:
        """True or false; anything else counts as not given."""
        value = self.value(*names)
        return value if isinstance(value, bool) else None

    def word(self, *names: str) -> str:
        """A word in lower case; empty where there is none."""
        value = self.value(*names)
        return value.lower() if isinstance(value, str) else ""

    def words(self, *names: str) -> Sequence[str]:
        """A list of words; empty where there is none."""
        value = self.value(*names)
        return [str(each) for each in value] if isinstance(value, (list, tuple)) else ()

    def letters(self, *names: str) -> list[str]:
        """What a pattern says of each layer, a letter or a word in lower case; empty where there is none."""
        value = self.value(*names)
        return [str(each).lower() for each in value] if isinstance(value, (str, list, tuple)) else []

    def doubt(self, said: str) -> None:
        """Note what was not understood."""
        if said not in self.doubts:
            self.doubts.append(said)

    def _name(self, names: Sequence[str]) -> str:
        return next((name for name in names if self.given.get(name) is not None), names[0])


def _whole(value: object) -> int | None:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        return int(value) if len(value) < 20 else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return int(value) if abs(value) < 10**15 else None


def _is_figure(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < MOST_FIGURE


def _shown(value: object) -> str:
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**15 else "a huge number"
    return text if len(text) <= 40 else text[:39] + "…"
