"""What a cluster file may say about a vLLM engine, and the engine arguments that follow from it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from pydantic import JsonValue, TypeAdapter, ValidationError

from orchestrator.runtime.kv.retention_options import RetentionOptions

SCHEDULER: Final = "orchestrator.kv.Scheduler"
KV_KEY: Final = "orchestrator_kv"
"""Where vLLM's ``additional_config`` has the scheduler's options."""
REPORT: Final = "orchestrator_kv_report"
RELEASE: Final = "orchestrator_kv_release"
EXTEND: Final = "orchestrator_kv_extend"
"""Methods that the plugin gives ``EngineCore``."""
CPU_BLOCK_TOKENS = 32
"""The CPU backend's smallest block: short prompts only hit the prefix cache with small blocks."""

ONE_THREAD_BYTES = 64 * 2**20
"""A CPU engine computes a model with smaller weights on one thread: two spend their time waiting for each other, and on
a busy machine ten times as long."""


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """Options of the kind ``vllm``. ``None`` leaves the choice to vLLM."""

    dtype: str | None = None
    max_model_len: int | None = None
    tensor_parallel_size: int = 1
    gpu_memory_utilization: float | None = None
    kv_cache_gib: int = 1
    """KV cache of a CPU engine."""
    max_num_seqs: int | None = None
    seed: int = 0
    start_timeout_s: float = 600.0
    num_gpus: float | None = None
    """GPUs the actor reserves; default: ``tensor_parallel_size`` on a GPU build, 0 on a CPU build."""
    kv: RetentionOptions | bool = True
    """Keep sessions' KV caches between turns, with these options; ``False``: stock vLLM."""
    extra: dict[str, JsonValue] = field(default_factory=dict)
    """Further vLLM engine arguments, passed as they are."""

    @property
    def keeps_kv(self) -> bool:
        """Whether the engine runs the scheduler that keeps KV caches between turns."""
        return self.kv is not False and self.extra.get("scheduler_cls", SCHEDULER) == SCHEDULER


def engine_arguments(model: str, options: VllmOptions, *, on_cpu: bool) -> dict[str, Any]:
    """Keyword arguments for ``AsyncEngineArgs``."""
    wanted: dict[str, Any] = {
        "model": model,
        "dtype": options.dtype,
        "max_model_len": options.max_model_len,
        "tensor_parallel_size": options.tensor_parallel_size,
        "gpu_memory_utilization": None if on_cpu else options.gpu_memory_utilization,
        "max_num_seqs": options.max_num_seqs,
        "seed": options.seed,
        "enable_prefix_caching": True,
        "enable_log_requests": False,
        "structured_outputs_config": {"backend": "xgrammar"},  # whose grammars structure.py writes
    }
    if options.keeps_kv:
        wanted["scheduler_cls"] = SCHEDULER
    if on_cpu:
        wanted |= {"enforce_eager": True, "block_size": CPU_BLOCK_TOKENS}
    wanted |= options.extra
    if options.keeps_kv and (chosen := _chosen(options.kv)):
        more = wanted.get("additional_config") or {}
        wanted["additional_config"] = {KV_KEY: chosen, **more}
    return {name: value for name, value in wanted.items() if value is not None}


def _chosen(kv: RetentionOptions | bool) -> dict[str, JsonValue]:
    """The options that differ from the defaults, as JSON."""
    if isinstance(kv, bool):
        return {}
    plain, values = RetentionOptions(), {each.name: getattr(kv, each.name) for each in fields(kv)}
    return {name: value for name, value in values.items() if value != getattr(plain, name)}


def kv_options(additional_config: object) -> RetentionOptions:
    """What vLLM's ``additional_config`` says under :data:`KV_KEY`; raises ValueError, which names all that is wrong."""
    given = additional_config.get(KV_KEY, {}) if isinstance(additional_config, Mapping) else {}
    try:
        return TypeAdapter(RetentionOptions).validate_python(given, extra="forbid")
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, (KV_KEY, *e['loc'])))}: {e['msg']}" for e in error.errors())
        raise ValueError(f"--additional-config: {'; '.join(problems)}") from None


def environment(model: str, options: VllmOptions, *, on_cpu: bool) -> dict[str, str]:
    """Environment the engine's processes need; what the user set already wins."""
    wanted = {"VLLM_LOGGING_LEVEL": "INFO", "VLLM_NO_USAGE_STATS": "1", "TOKENIZERS_PARALLELISM": "false"}
    if Path(model).is_dir():
        wanted |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if on_cpu:
        wanted |= {"VLLM_CPU_KVCACHE_SPACE": str(options.kv_cache_gib)}
        if (os.cpu_count() or 1) <= 4:
            wanted |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind"}
        if 0 < _weight_bytes(model) < ONE_THREAD_BYTES:
            wanted |= {"OMP_NUM_THREADS": "1"}
    return {name: value for name, value in wanted.items() if name not in os.environ}


def _weight_bytes(model: str) -> int:
    """Size of the weights of a model in a folder; 0 where that is unknown."""
    return sum(file.stat().st_size for file in Path(model).glob("*.safetensors")) if Path(model).is_dir() else 0
