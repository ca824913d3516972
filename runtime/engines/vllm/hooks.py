"""What the scheduler relies on in vLLM, verified before it is made.

vLLM's scheduler is documented as not public. So every method that is extended or called is looked up, with the names
of the parameters that are passed, and every setting that the scheduler cannot work with is looked for. Anything that
is missing is a *problem*, in one sentence for the log; with problems the engine runs vLLM's own scheduler.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from inspect import signature
from typing import Any, Final

from orchestrator.errors import EngineError
from orchestrator.runtime.engines.vllm import version

_CORE: Final = "vllm.v1.core"
_SCHEDULER: Final = f"{_CORE}.sched.scheduler.Scheduler"
_QUEUE: Final = f"{_CORE}.sched.request_queue.RequestQueue"
_MANAGER: Final = f"{_CORE}.kv_cache_manager.KVCacheManager"
_POOL: Final = f"{_CORE}.block_pool.BlockPool"

METHODS: Final[tuple[tuple[str, str, tuple[str, ...]], ...]] = (
    (_SCHEDULER, "__init__", ("vllm_config", "kv_cache_config", "block_size", "log_stats")),
    (_SCHEDULER, "schedule", ()),
    (_SCHEDULER, "add_request", ("request",)),
    (_SCHEDULER, "finish_requests", ("request_ids", "finished_status")),
    (_SCHEDULER, "_free_blocks", ("request",)),
    (_SCHEDULER, "reset_prefix_cache", ()),
    (_SCHEDULER, "get_request_counts", ()),
    (f"{_CORE}.sched.async_scheduler.AsyncScheduler", "schedule", ()),
    (_MANAGER, "allocate_slots", ("request", "num_new_tokens")),
    (_MANAGER, "pop_blocks_for_free", ("request",)),
    (_MANAGER, "get_blocks", ("request_id",)),
    (_POOL, "free_blocks", ("ordered_blocks",)),
    (_POOL, "get_num_free_blocks", ()),
    (_POOL, "get_cached_block", ("block_hash", "kv_cache_group_ids")),
    *(
        (_QUEUE, method, parameters)
        for method, parameters in (
            ("add_request", ("request",)),
            ("pop_request", ()),
            ("peek_request", ()),
            ("prepend_request", ("request",)),
            ("prepend_requests", ("requests",)),
            ("remove_request", ("request",)),
            ("remove_requests", ("requests",)),
        )
    ),
)
"""Class, method, and the names of the parameters that the scheduler passes or takes."""

ATTRIBUTES: Final = (
    "vllm_config",
    "cache_config",
    "kv_cache_config",
    "block_size",
    "max_num_running_reqs",
    "max_num_scheduled_tokens",
    "num_lookahead_tokens",
    "kv_cache_manager",
    "requests",
    "running",
    "waiting",
    "create_request_queue",
)
"""That vLLM's scheduler sets when it is made, and what makes its queue of waiting requests."""

OTHERS: Final = (
    (_MANAGER, ("watermark_blocks",)),
    (_POOL, ("hash_block_size",)),
    ("vllm.v1.request.Request", ("block_hashes", "skip_reading_prefix_cache")),
)
"""Attributes that other classes of vLLM's set when they are made."""

KEPT_KINDS: Final = ("FullAttentionSpec", "MLAAttentionSpec")
"""A hit in these kinds of KV cache needs the blocks of the prefix alone, and full blocks stay until the turn ends."""


def problems(vllm_config: Any, kv_cache_config: Any) -> list[str]:
    """Why the scheduler cannot work in this vLLM, with this configuration; empty if it can."""
    return [*interface(), *_settings(vllm_config), *_groups(kv_cache_config)]


def stock(vllm_config: Any) -> Any:
    """The scheduler that vLLM makes where none is named."""
    module, name = "scheduler", "Scheduler"
    if vllm_config.scheduler_config.async_scheduling:
        module, name = "async_scheduler", "AsyncScheduler"
    found = getattr(import_module(f"{_CORE}.sched.{module}"), name)
    if getattr(vllm_config, "diffusion_config", None) is None:
        return found
    with suppress(ImportError):  # since vLLM 0.31, where it had the asynchronous one only
        return getattr(import_module(f"{_CORE}.sched.diffusion_scheduler"), f"Diffusion{name}", found)
    return found


def interface() -> list[str]:
    """What is missing in the installed vLLM itself."""
    try:
        version.require()
    except EngineError as error:
        return [error.message]
    found = [problem for owner, method, parameters in METHODS for problem in _missing(owner, method, parameters)]
    if not found:
        found += [problem for owner, names in ((_SCHEDULER, ATTRIBUTES), *OTHERS) for problem in _unset(owner, names)]
    return found


def _unset(owner: str, attributes: Iterable[str]) -> list[str]:
    module, _, name = owner.rpartition(".")
    try:
        names = getattr(import_module(module), name).__init__.__code__.co_names
    except (ImportError, AttributeError):
        return [f"vLLM has no `{name}`"]
    return [f"vLLM's `{name}` has no `{attribute}`" for attribute in attributes if attribute not in names]


def _missing(owner: str, method: str, parameters: Iterable[str]) -> list[str]:
    module, _, name = owner.rpartition(".")
    try:
        found = getattr(getattr(import_module(module), name), method)
    except (ImportError, AttributeError):
        return [f"vLLM has no `{name}.{method}`"]
    known = signature(found).parameters
    return [f"`{name}.{method}` has no parameter `{parameter}`" for parameter in parameters if parameter not in known]


def _settings(vllm_config: Any) -> list[str]:
    found: list[str] = []
    if not vllm_config.cache_config.enable_prefix_caching:
        found.append("prefix caching is off")
    policy = str(getattr(vllm_config.scheduler_config.policy, "value", vllm_config.scheduler_config.policy))
    if getattr(vllm_config, "diffusion_config", None) is not None:
        found.append("diffusion models have a scheduler of their own")
    if policy != "fcfs":
        found.append(f"the scheduling policy is `{policy}`, not `fcfs`")
    if vllm_config.kv_transfer_config is not None:
        connector = getattr(vllm_config.kv_transfer_config, "kv_connector", None)
        found.append(f"the KV connector `{connector}` may free blocks later than the scheduler does")
    return found


def _groups(kv_cache_config: Any) -> list[str]:
    groups = kv_cache_config.kv_cache_groups
    if not groups:
        return ["the model has no KV cache"]
    kinds = {type(spec).__name__ for group in groups for spec in _specs(group.kv_cache_spec)}
    others = sorted(kinds.difference(KEPT_KINDS))
    if others:
        return [f"layers whose KV cache is of the kind {', '.join(others)} keep other blocks than those of the prefix"]
    if len(groups) > 1:
        return [f"{len(groups)} groups of layers have KV blocks of their own"]
    return []


def _specs(spec: Any) -> list[Any]:
    """The layers' own, where one group holds several that differ."""
    return list(getattr(spec, "kv_cache_specs", {}).values()) or [spec]
