"""The engine under test: vLLM with a small random model and little KV memory, on a CPU or a GPU."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orchestrator.runtime.engines.vllm import version

VOCABULARY = 2048
BLOCK_TOKENS = 32
SMALL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-5,
    "torch_dtype": "float32",
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
    "hidden_act": "silu",
    "rope_theta": 10000.0,
}
"""4 layers, 5 M parameters."""
LLAMA_8B = {
    **SMALL,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "torch_dtype": "bfloat16",
}
"""The shape of Llama-3.1-8B."""
ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}
CPU_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "4",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, and how much of the prompt was cached."""

    tokens: tuple[int, ...]
    cached_tokens: int


@dataclass
class Serving:
    """One engine; ``scheduler`` is the ``--scheduler-cls``, None for vLLM's own. ``kv_blocks`` 0: as many as fit."""

    kv_blocks: int
    scheduler: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    """Of our scheduler."""
    arguments: Mapping[str, object] = field(default_factory=dict)
    """More of vLLM's."""
    on_cpu: bool = field(default_factory=version.on_cpu)
    _folder: tempfile.TemporaryDirectory[str] = field(default_factory=tempfile.TemporaryDirectory)
    _llm: Any = None
    _requests: int = 0

    async def __aenter__(self) -> Serving:
        wanted_environment = ENVIRONMENT | (CPU_ENVIRONMENT if self.on_cpu else {})
        os.environ.update({name: value for name, value in wanted_environment.items() if name not in os.environ})
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        config = SMALL if self.on_cpu else LLAMA_8B
        longest = int(config["max_position_embeddings"])  # type: ignore[call-overload]
        folder = Path(self._folder.name)
        (folder / "config.json").write_text(json.dumps(config))
        wanted: dict[str, object] = {
            "model": str(folder),
            "load_format": "dummy",
            "skip_tokenizer_init": True,
            "enforce_eager": self.on_cpu,
            "block_size": BLOCK_TOKENS,
            "max_model_len": min(longest, self.kv_blocks * BLOCK_TOKENS or longest),
            "max_num_batched_tokens": 2048 if self.on_cpu else 8192,
            "max_num_seqs": 64,
            "enable_prefix_caching": True,
            "seed": 0,
        }
        if self.kv_blocks:
            wanted["num_gpu_blocks_override"] = self.kv_blocks + 1  # one is vLLM's own
        if self.scheduler is not None:
            wanted |= {"scheduler_cls": self.scheduler, "additional_config": {"orchestrator_kv": dict(self.options)}}
        self._llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**(wanted | dict(self.arguments))))
        await self.generate([5] * 64, 4, {})
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._llm.shutdown)
        self._folder.cleanup()

    async def generate(self, prompt: Sequence[int], output_tokens: int, hint: Mapping[str, object]) -> Reply:
        """``output_tokens`` tokens, always as many."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        self._requests += 1
        parameters = SamplingParams(
            max_tokens=output_tokens,
            ignore_eos=True,
            temperature=0.0,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
            extra_args=dict(hint) or None,
        )
        last: Any = None
        async for output in self._llm.generate({"prompt_token_ids": list(prompt)}, parameters, str(self._requests)):
            last = output
        return Reply(tuple(last.outputs[0].token_ids), last.num_cached_tokens or 0)

    async def release(self, session: str) -> None:
        """Tell our scheduler that the session is over; vLLM's own cannot be told."""
        if self.scheduler is not None:
            await self._llm.engine_core.call_utility_async("orchestrator_kv_release", session)

    async def report(self) -> dict[str, Any]:
        """What our scheduler says of its pins."""
        found: dict[str, Any] = await self._llm.engine_core.call_utility_async("orchestrator_kv_report")
        return found

    async def reset(self) -> bool:
        """Empty the prefix cache; only an idle engine can."""
        return bool(await self._llm.reset_prefix_cache())
