"""Clusters the planner's tests share: round figures, so that expectations can be worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from orchestrator.planner.cluster import Cluster, Device, EngineSpec
from orchestrator.planner.models import ModelFacts

LLAMA_8B: dict[str, object] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "max_position_embeddings": 131072,
}


def gpu(**changes: Any) -> Device:
    """1 PFLOP/s, 1 TB/s, 80 GB, $3.60 an hour (a tenth of a cent a second)."""
    figures: dict[str, Any] = {
        "name": "gpu",
        "type": "round",
        "kind": "gpu",
        "flops": {"bf16": 1e15},
        "memory_bytes": 80e9,
        "memory_bytes_per_s": 1e12,
        "link_bytes_per_s": 1e11,
        "usd_per_hour": 3.6,
    }
    return Device(**{**figures, **changes})


def cpu(**changes: Any) -> Device:
    """Four cores at $0.36 an hour."""
    figures: dict[str, Any] = {
        "name": "cpu",
        "type": "round",
        "kind": "cpu",
        "cores": 4,
        "flops": {"fp32": 4e11},
        "memory_bytes": 32e9,
        "memory_bytes_per_s": 4e10,
        "usd_per_hour": 0.36,
    }
    return Device(**{**figures, **changes})


def tiny(**changes: Any) -> ModelFacts:
    """A model of 1 GB weights and 1 kB of KV a token."""
    figures: dict[str, Any] = {
        "name": "tiny",
        "params": 5e8,
        "active_params": 5e8,
        "layers": 10,
        "hidden": 1000,
        "heads": 10,
        "kv_heads": 1,
        "head_dim": 25,
        "vocab": 1000,
        "dtype": "bf16",
        "weight_dtype": "bf16",
        "context_tokens": 8000,
        "known": True,
    }
    return ModelFacts(**{**figures, **changes})


def config_file(folder: Path, **changes: object) -> str:
    """Path of a Llama-3.1-8B config.json, changed where asked."""
    path = folder / f"config-{len(list(folder.iterdir()))}.json"
    path.write_text(json.dumps({**LLAMA_8B, **changes}))
    return str(path)


def one_engine(folder: Path, **changes: Any) -> Cluster:
    """One GPU with Llama-3.1-8B, and a CPU."""
    engine = {"name": "main", "kind": "vllm", "model": "llama", "device": "gpu", "config": config_file(folder)}
    return Cluster(devices=(cpu(), gpu()), engines=(EngineSpec(**{**engine, **changes}),))
