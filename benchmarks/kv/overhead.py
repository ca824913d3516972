"""What the scheduler plugin adds to ``schedule()``: vLLM's own scheduler and ours in turns, no model.

    python -m benchmarks.kv.overhead [--repeats N]

Both schedule the same requests in one process, :data:`TURN` steps at a time: Python fits code to the class it last ran
for, so the first steps of each turn do not count. The one that goes first alternates, and a step's output is made up,
so that nothing but the schedulers runs. Where objects lie in memory counts for more than what the plugin does: two of
vLLM's own schedulers differ by tens of microseconds. So both are built anew :data:`BUILDS` times, either one first.

Figures are microseconds of processor time in ``schedule()``: the medians of stock's and ours, and ``added_us``, the
median over builds of the median difference of pairs, with the range over builds. Cases: ``unhinted-1`` and
``unhinted-256`` requests that decode and hint nothing; ``hinted-256`` turns of programs; ``pinned-256``: those, and 256
pins; ``held-256``: those, and 64 turns that wait; ``stock-256``: vLLM's own scheduler in both places, the noise.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from time import thread_time_ns
from typing import Any

BLOCK_TOKENS = 16
PROMPT_TOKENS = 64
WARM_STEPS = 50
TURN = 25
FITTING = 5
"""Steps of each turn that do not count."""
BUILDS = 12
REPEATS = 2400
"""Steps of a case."""
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "num_hidden_layers": 1,
    "vocab_size": 32000,
    "max_position_embeddings": 65536,
    "torch_dtype": "float32",
}


@dataclass(frozen=True, slots=True)
class Case:
    """Requests that decode while steps are timed."""

    name: str
    running: int
    hinted: bool = False
    pins: int = 0
    waiting: int = 0
    ours: bool = True


CASES = (
    Case("unhinted-1", 1),
    Case("unhinted-256", 256),
    Case("hinted-256", 256, hinted=True),
    Case("pinned-256", 256, hinted=True, pins=256),
    Case("held-256", 256, hinted=True, pins=256, waiting=64),
    Case("stock-256", 256, ours=False),
)


class _Engine:
    """A scheduler with the requests of a case running."""

    def __init__(self, scheduler: Any, case: Case, steps: int) -> None:
        self.scheduler = scheduler
        self.case = case
        for number in range(case.pins):
            self._add(f"pinned-{number}", f"pinned-{number}", 2)
        while scheduler.has_requests():
            self.step()
        for number in range(case.running):
            self._add(f"running-{number}", f"session-{number}", steps + WARM_STEPS + 100)
        while len(scheduler.running) < case.running or any(each.is_prefill_chunk for each in scheduler.running):
            self.step()
        for number in range(case.waiting):
            self._add(f"waiting-{number}", f"waiting-{number}", steps)

    def _add(self, name: str, session: str, answer: int) -> None:
        from vllm.sampling_params import SamplingParams
        from vllm.v1.request import Request

        hint = {"orch_session": session, "orch_program": session, "orch_turns_left": 3, "orch_pin_ttl_s": 200.0}
        sampling = SamplingParams(max_tokens=answer, ignore_eos=True, extra_args=hint if self.case.hinted else None)
        start = hash(name) % 30000
        prompt = [(start + at) % 32000 for at in range(PROMPT_TOKENS)]
        self.scheduler.add_request(Request(name, prompt, sampling, None, block_hasher=_hasher()))

    def step(self) -> int:
        """One step; nanoseconds of processor time in ``schedule()``."""
        from vllm.v1.outputs import ModelRunnerOutput

        scheduler = self.scheduler
        begun = thread_time_ns()
        output = scheduler.schedule()
        took = thread_time_ns() - begun
        names = list(output.num_scheduled_tokens)
        sampled: list[list[int]] = [[] if scheduler.requests[name].is_prefill_chunk else [5] for name in names]
        index = {name: at for at, name in enumerate(names)}
        scheduler.update_from_output(
            output, ModelRunnerOutput(req_ids=names, req_id_to_index=index, sampled_token_ids=sampled)
        )
        return took


@cache
def _hasher() -> Callable[[Any], Any]:
    from vllm.utils.hashing import sha256
    from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash

    init_none_hash(sha256)
    return get_request_block_hasher(BLOCK_TOKENS, sha256)


def _scheduler(kind: Any, blocks: int, running: int, folder: str) -> Any:
    import torch
    from vllm.config import CacheConfig, ModelConfig, SchedulerConfig, VllmConfig
    from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
    from vllm.v1.structured_output import StructuredOutputManager

    model = ModelConfig(model=folder, tokenizer=folder, skip_tokenizer_init=True, dtype="float32", max_model_len=8192)
    limits = SchedulerConfig(
        max_num_seqs=running, max_num_batched_tokens=8192, max_model_len=8192, is_encoder_decoder=False
    )
    config = VllmConfig(
        model_config=model,
        scheduler_config=limits,
        cache_config=CacheConfig(block_size=BLOCK_TOKENS, enable_prefix_caching=True),
        additional_config={"orchestrator_kv": {"ttl_s": 250.0}},  # every turn is pinned
    )
    config.cache_config.num_gpu_blocks = blocks
    group = KVCacheGroupSpec(
        ["layer"], FullAttentionSpec(block_size=BLOCK_TOKENS, num_kv_heads=1, head_size=1, dtype=torch.float32)
    )
    return kind(
        vllm_config=config,
        kv_cache_config=KVCacheConfig(num_blocks=blocks, kv_cache_tensors=[], kv_cache_groups=[group]),
        structured_output_manager=StructuredOutputManager(config),
        block_size=BLOCK_TOKENS,
        log_stats=True,
    )


def _measured(case: Case, repeats: int, folder: str) -> dict[str, float]:
    from vllm.v1.core.sched.scheduler import Scheduler

    from orchestrator.runtime.engines.vllm.scheduler import Scheduler as Ours

    kinds = (Scheduler, Ours if case.ours else Scheduler)
    builds = []
    for number in range(BUILDS):
        turned = number % 2 == 1
        pairs = _pairs(case, repeats // BUILDS, folder, kinds[::-1] if turned else kinds)
        builds.append([pair[::-1] for pair in pairs] if turned else pairs)
    return _summary(builds)


def _pairs(case: Case, repeats: int, folder: str, kinds: Sequence[Any]) -> list[tuple[float, float]]:
    turns = -(-repeats // (TURN - FITTING))
    steps = turns * TURN
    sequence = -(-(PROMPT_TOKENS + steps + 2 * WARM_STEPS + 100) // BLOCK_TOKENS)
    blocks = case.running * sequence + 5 * case.pins + 100
    engines = [_Engine(_scheduler(kind, blocks, case.running, folder), case, steps) for kind in kinds]
    for _ in range(WARM_STEPS):
        for engine in engines:
            engine.step()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        pairs = [pair for at in range(turns) for pair in _turn(*engines, turned=at % 2 == 1)]
    finally:
        gc.enable()
        gc.unfreeze()
    for engine in engines:
        assert len(engine.scheduler.running) == case.running
        table = engine.scheduler.retention.table if hasattr(engine.scheduler, "retention") else None
        assert table is None or len(table) == case.pins
    return pairs


def _turn(one: _Engine, other: _Engine, *, turned: bool) -> list[tuple[float, float]]:
    """Microseconds of a turn's steps, of each."""
    if turned:
        return [pair[::-1] for pair in _turn(other, one, turned=False)]
    took = [[engine.step() / 1e3 for _ in range(TURN)][FITTING:] for engine in (one, other)]
    return list(zip(*took, strict=True))


def _summary(builds: list[list[tuple[float, float]]]) -> dict[str, float]:
    stock_us = median(stock for pairs in builds for stock, _ in pairs)
    added_us = [median(ours - stock for stock, ours in pairs) for pairs in builds]
    return {
        "stock_us": round(stock_us, 2),
        "ours_us": round(median(ours for pairs in builds for _, ours in pairs), 2),
        "added_us": round(median(added_us), 2),
        "added_low_us": round(min(added_us), 2),
        "added_high_us": round(max(added_us), 2),
        "added_share": round(median(added_us) / stock_us, 4),
    }


def measure(repeats: int = REPEATS, cases: Iterable[Case] = CASES) -> dict[str, dict[str, float]]:
    """Microseconds of ``schedule()`` by case."""
    logging.getLogger("vllm").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(CONFIG))
        return {case.name: _measured(case, repeats, folder) for case in cases}


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    print(json.dumps(measure(parser.parse_args().repeats), indent=2))


if __name__ == "__main__":
    main()
