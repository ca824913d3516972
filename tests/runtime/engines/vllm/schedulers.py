"""vLLM's real schedulers over a small KV space, and requests for them; no model, no tokenizer, no network."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any, Final

import torch
from packaging.version import Version
from vllm.config import CacheConfig, ModelConfig, SchedulerConfig, VllmConfig
from vllm.sampling_params import SamplingParams
from vllm.utils.hashing import sha256
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import (
    FullAttentionSpec,
    KVCacheConfig,
    KVCacheGroupSpec,
    KVCacheSpec,
    MambaSpec,
    SlidingWindowSpec,
)
from vllm.v1.request import Request
from vllm.v1.structured_output import StructuredOutputManager

from orchestrator.runtime.engines.vllm import version
from orchestrator.runtime.engines.vllm.scheduler import Scheduler as OurScheduler
from orchestrator.runtime.kv.hints import SESSION_ARGUMENT

logging.getLogger("vllm").setLevel(logging.ERROR)

VOCABULARY = 32000
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "num_hidden_layers": 1,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 65536,
    "torch_dtype": "float32",
    "bos_token_id": 1,
    "eos_token_id": 2,
}


_HAS_SESSIONS: Final = "session_id" in signature(Request.__init__).parameters
"""Older vLLMs have no session header: there an argument names the session."""

_HAS_EQUAL_GROUPS: Final = Version(version.installed() or "0") >= Version("0.29")
"""Older vLLMs have several groups of different kinds only."""


@dataclass(frozen=True, slots=True)
class Shape:
    """An engine's KV space and limits. ``blocks`` are usable ones: vLLM's null block comes on top."""

    blocks: int = 24
    block_tokens: int = 16
    max_requests: int = 8
    max_batch_tokens: int = 64
    groups: tuple[str, ...] = ("full",)
    """Kinds of KV cache groups: ``full``, ``sliding`` or ``mamba``."""
    window: int = 40
    """Tokens that a ``sliding`` group attends to."""
    overlapped: bool = False
    """Asynchronous scheduling: two batches in flight."""
    second_runner: bool = False
    """Scheduler output as vLLM's model runner V2 reads it."""
    priorities: bool = False

    @property
    def longest(self) -> int:
        """Tokens of the longest request that fits an empty cache, whatever the kinds of groups."""
        return (self.blocks // len(self.groups) - (len(self.groups) > 1)) * self.block_tokens


KEPT: Final = {
    "full": Shape(),
    "full-overlapped": Shape(overlapped=True),
    "full-overlapped-v2": Shape(overlapped=True, second_runner=True),
}
"""Engines in which KV is kept between turns."""
REFUSED: Final = {
    "priorities": Shape(priorities=True),
    "sliding": Shape(groups=("sliding",), overlapped=True),
    **({"two-groups": Shape(groups=("full", "full"), blocks=48, overlapped=True)} if _HAS_EQUAL_GROUPS else {}),
    "hybrid-sliding": Shape(groups=("full", "sliding"), blocks=48),
    "hybrid-mamba": Shape(groups=("full", "mamba"), blocks=48),
    "hybrid-mamba-overlapped": Shape(groups=("full", "mamba"), blocks=48, overlapped=True),
}
"""Engines that run stock vLLM, and say so."""
FOREVER: Final = {"budget": 1.0, "ttl_s": 1e9, "longest_ttl_s": 1e9}
"""Every turn's blocks are pinned, all memory may be, and no pin ends by itself."""


@cache
def _model_folder() -> str:
    folder = Path(tempfile.mkdtemp(prefix="tiny-llama-"))
    (folder / "config.json").write_text(json.dumps(LLAMA))
    return str(folder)


@cache
def vllm_config(shape: Shape) -> VllmConfig:
    """The configuration of an engine of that shape; shared, as schedulers only read it."""
    folder = _model_folder()
    model = ModelConfig(
        model=folder,
        tokenizer=folder,
        skip_tokenizer_init=True,
        dtype="float32",
        max_model_len=shape.longest,
        seed=0,
    )
    limits = SchedulerConfig(
        max_num_seqs=shape.max_requests,
        max_num_batched_tokens=shape.max_batch_tokens,
        max_model_len=shape.longest,
        enable_chunked_prefill=True,
        is_encoder_decoder=False,
        async_scheduling=shape.overlapped,
        policy="priority" if shape.priorities else "fcfs",
    )
    kv_cache = CacheConfig(block_size=shape.block_tokens, enable_prefix_caching=True)
    config = VllmConfig(model_config=model, scheduler_config=limits, cache_config=kv_cache)
    config.cache_config.num_gpu_blocks = shape.blocks + 1
    config.scheduler_config.async_scheduling = shape.overlapped  # which the CPU platform turns off
    if "mamba" in shape.groups:
        config.cache_config.mamba_cache_mode = "align"
    return config


def kv_cache_config(shape: Shape) -> KVCacheConfig:
    """One layer for each group."""
    groups = [KVCacheGroupSpec([f"layer.{at}"], _spec(kind, shape)) for at, kind in enumerate(shape.groups)]
    return KVCacheConfig(num_blocks=shape.blocks + 1, kv_cache_tensors=[], kv_cache_groups=groups)


def _spec(kind: str, shape: Shape) -> KVCacheSpec:
    size = {"block_size": shape.block_tokens, "num_kv_heads": 1, "head_size": 1, "dtype": torch.float32}
    if kind == "full":
        return FullAttentionSpec(**size)
    if kind == "sliding":
        return SlidingWindowSpec(**size, sliding_window=shape.window)
    return MambaSpec(block_size=shape.block_tokens, shapes=((1,),), dtypes=(torch.float32,), mamba_cache_mode="align")


@cache
def _grammars(shape: Shape) -> StructuredOutputManager:
    return StructuredOutputManager(vllm_config(shape))


def scheduler_of(kind: Callable[..., Scheduler], shape: Shape, **retention: Any) -> Scheduler:
    """A scheduler as ``EngineCore`` makes it; ``retention`` goes into vLLM's ``additional_config``."""
    config = vllm_config(shape)
    config.additional_config = {"orchestrator_kv": retention}
    scheduler = kind(
        vllm_config=config,
        kv_cache_config=kv_cache_config(shape),
        structured_output_manager=_grammars(shape),
        block_size=shape.block_tokens,
        hash_block_size=shape.block_tokens,
        include_finished_set=False,
        log_stats=False,
    )
    scheduler.use_v2_model_runner = shape.second_runner
    return scheduler


def stock(shape: Shape) -> Scheduler:
    """vLLM's own scheduler."""
    return scheduler_of(AsyncScheduler if shape.overlapped else Scheduler, shape)


def ours(shape: Shape, **retention: Any) -> Scheduler:
    """The one that keeps KV between turns."""
    return scheduler_of(OurScheduler, shape, **retention)


@cache
def _hasher(block_tokens: int) -> Callable[[Request], Any]:
    init_none_hash(sha256)
    return get_request_block_hasher(block_tokens, sha256)


def request_of(
    shape: Shape,
    name: str,
    prompt: Sequence[int],
    max_tokens: int,
    *,
    args: Mapping[str, Any] | None = None,
    session: str | None = None,
    stop: Sequence[int] = (),
    stop_strings: Sequence[str] = (),
    arrival_s: float = 0.0,
    priority: int = 0,
) -> Request:
    """A greedy request for ``max_tokens`` tokens, or up to one of ``stop``; ``args`` are its extra arguments.

    ``stop_strings`` are what vLLM's front end looks for, which no engine sees.
    """
    named = {"session_id": session} if _HAS_SESSIONS else {}
    if session is not None and not _HAS_SESSIONS:
        args = {SESSION_ARGUMENT: session, **(args or {})}
    sampling = SamplingParams(
        temperature=0.0,
        max_tokens=max_tokens,
        ignore_eos=True,
        stop_token_ids=list(stop),
        stop=list(stop_strings),
        extra_args=dict(args) if args else None,
    )
    return Request(
        request_id=name,
        prompt_token_ids=list(prompt),
        sampling_params=sampling,
        pooling_params=None,
        arrival_time=arrival_s,
        block_hasher=_hasher(shape.block_tokens),
        priority=priority,
        **named,
    )
