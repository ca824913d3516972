"""A plain model's config, to be changed, and what it comes to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from orchestrator.planner.models import ModelFacts, read_config

YI: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 2048,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "intermediate_size": 5632,
    "vocab_size": 64_000,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
PARAMS = 64_000 * 2048 * 2 + 2048 + 24 * (2048 * 128 * 2 * 20 + 3 * 2048 * 5632 + 2 * 2048)
KV = 24 * 2 * 4 * 128


def facts(config: object, folder: Path) -> ModelFacts:
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return read_config(path, "m")


def without(*names: str, **more: Any) -> dict[str, Any]:
    return {name: value for name, value in {**YI, **more}.items() if name not in names}
