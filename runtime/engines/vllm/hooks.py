"""What the scheduler plugin needs of vLLM, verified before it is used."""

from __future__ import annotations

from typing import Any


def problems(vllm_config: Any, kv_cache_config: Any) -> list[str]:
    """Why the plugin cannot work with this engine; empty when it can."""
    from vllm.v1.kv_cache_interface import FullAttentionSpec

    found: list[str] = []
    if not vllm_config.cache_config.enable_prefix_caching:
        found.append("prefix caching is off")
    if vllm_config.scheduler_config.policy != "fcfs":
        found.append(f"the scheduling policy is {vllm_config.scheduler_config.policy}")
    kinds = {type(group.kv_cache_spec) for group in kv_cache_config.kv_cache_groups}
    if not kinds or not all(issubclass(kind, FullAttentionSpec) for kind in kinds):
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        found.append(f"the model's KV cache is not full attention alone ({names})")
    return found
