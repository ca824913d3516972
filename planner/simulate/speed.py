"""How fast a replica is, as a handful of coefficients: all the simulator knows about hardware and model.

An engine step that processes p prompt tokens (q query-key pairs among and before them, r context tokens read for them)
and one token of each of b sequences with k tokens of KV together takes::

    max(token_s (p + b) + pair_s q,                                           compute, or
        min(weight_s, shared_weight_s + token_weight_s (p + b)))              reading the weights
    + kv_token_s (k + r)                                                      reading the KV
    + token_link_s (p + b)                                                    links
    + sequence_s b + step_s + (prefill_step_s if p > 0)                       host

For fixed b and p = 0 that is linear in k, and k grows by b a step, so n steps are an arithmetic series.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import inf, isfinite
from typing import Final, Literal

from orchestrator.errors import PlanError
from orchestrator.planner.cluster import Device
from orchestrator.planner.models import ModelFacts
from orchestrator.planner.parallel import Parallel

TYPICAL_CONTEXT: Final = 4096
"""Tokens of a context, by which the layers with a window count."""


@dataclass(frozen=True, slots=True)
class ReplicaSpeed:
    """Seconds, each per unit of work. Raises :class:`PlanError` ORCH-P060 for a negative or unusable figure."""

    token_s: float
    """Compute of a token outside attention."""
    weight_s: float
    """Reading all weights once."""
    kv_token_s: float
    """Reading one token's KV."""
    step_s: float
    """Of every step, on the host; above 0, so that time passes."""
    pair_s: float = 0.0
    """Compute of a query-key pair of a prefill, all layers and heads."""
    token_weight_s: float = inf
    """Reading the weights one token needs of its own: its experts."""
    shared_weight_s: float = 0.0
    """Reading the weights that all tokens of a step need."""
    token_link_s: float = 0.0
    """All-reduce of a token's activations, and any other cost that grows with the batch."""
    prefill_step_s: float = 0.0
    """More host time of a step that prefills."""
    sequence_s: float = 0.0
    """Host time of each sequence that decodes: scheduling it, sampling, sending its token."""
    call_s: float = 0.0
    """Of a call outside all steps (tokenising, HTTP): adds to its latency and occupies nothing."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            usable = value >= 0 and (isfinite(value) or field.name == "token_weight_s")
            if not usable or (field.name == "step_s" and value == 0):
                raise PlanError(
                    "ORCH-P060",
                    f"ReplicaSpeed.{field.name} is {value!r}",
                    why="a step must take a finite, positive time",
                    fix="give seconds: 0 or more, and more than 0 for step_s",
                )

    def mixed_s(self, prefill_tokens: float, pairs: float, read: float, decodes: float, context: float) -> float:
        """Seconds of one step: p, q, r, b and k above."""
        tokens = prefill_tokens + decodes
        if not tokens:
            return 0.0
        compute = self.token_s * tokens + self.pair_s * pairs
        weights = min(self.weight_s, self.shared_weight_s + self.token_weight_s * tokens)
        host = self.sequence_s * decodes + self.step_s + (self.prefill_step_s if prefill_tokens else 0.0)
        return max(compute, weights) + self.kv_token_s * (context + read) + self.token_link_s * tokens + host

    def decode_base_s(self, decodes: int) -> float:
        """Seconds of a step that only decodes, but for reading the KV."""
        weights = min(self.weight_s, self.shared_weight_s + self.token_weight_s * decodes)
        return max(self.token_s * decodes, weights) + (self.token_link_s + self.sequence_s) * decodes + self.step_s

    def alone_s(self, prompt_tokens: float, output_tokens: float, cached_tokens: float, step_tokens: int) -> float:
        """Seconds of a call with nothing beside it, its prompt prefilled ``step_tokens`` at a time."""
        new = max(prompt_tokens - cached_tokens, 1.0)
        prefill_s = self.call_s
        chunks = new // step_tokens
        if chunks:
            whole = chunks * step_tokens
            pairs = step_tokens * (cached_tokens + whole / 2)
            prefill_s += chunks * self.mixed_s(step_tokens, pairs, cached_tokens + (whole + step_tokens) / 2, 0, 0)
            new -= whole
        if new:
            cached = prompt_tokens - new
            prefill_s += self.mixed_s(new, new * (cached + new / 2), cached + new, 0, 0)
        steps = output_tokens - 1
        if steps <= 0:
            return prefill_s
        context = prompt_tokens + (steps - 1) / 2
        return prefill_s + steps * (self.decode_base_s(1) + self.kv_token_s * context)


def roofline_speed(
    facts: ModelFacts, device: Device, *, parallel: int = 1, compute: float = 0.45, bandwidth: float = 0.70,
    step_s: float = 0.003, prefill_step_s: float = 0.0, call_s: float = 0.0,
) -> ReplicaSpeed:  # fmt: skip
    """The speed a data sheet suggests, with ``compute`` and ``bandwidth`` the shares of the peaks that are reached.

    The same roofline as :mod:`orchestrator.planner.cost.call`, without calibration and without all-reduces.
    """
    peaks = device.flops
    peak = peaks.get(facts.weight_dtype) or peaks.get(facts.dtype) or max(peaks.values())
    flops_per_s = peak * parallel * compute
    bytes_per_s = device.memory_bytes_per_s * parallel * bandwidth
    copies = Parallel.of(parallel).kv_copies(facts)
    return ReplicaSpeed(
        token_s=2 * facts.active_params / flops_per_s,
        weight_s=facts.weight_bytes / bytes_per_s,
        kv_token_s=facts.kv_bytes(TYPICAL_CONTEXT) * copies / TYPICAL_CONTEXT / bytes_per_s,
        step_s=step_s,
        pair_s=facts.prompt_attention_flops(TYPICAL_CONTEXT, 0) / (TYPICAL_CONTEXT**2 / 2) / flops_per_s,
        token_weight_s=(facts.active_weight_bytes - facts.shared_weight_bytes) / bytes_per_s,
        shared_weight_s=facts.shared_weight_bytes / bytes_per_s,
        prefill_step_s=prefill_step_s,
        call_s=call_s,
    )


Role = Literal["whole", "prefill", "decode"]
Scheduler = Literal["reserving", "vllm"]


@dataclass(frozen=True, slots=True)
class ReplicaSpec:
    """One replica of the simulated cluster. Raises :class:`PlanError` ORCH-P061 for a figure that cannot be."""

    name: str
    speed: ReplicaSpeed
    kv_blocks: int
    """Blocks of KV it has room for."""
    block_tokens: int = 16
    max_batch: int = 256
    """Sequences at the same time (vLLM's ``max_num_seqs``)."""
    step_tokens: int = 2048
    """Tokens of a step: longer prompts are prefilled in chunks (vLLM's ``max_num_batched_tokens``)."""
    model: str = ""
    kv_bytes_per_token: float = 131072.0
    link_bytes_per_s: float = 2.5e10
    watermark: float = 0.01
    """Share of the blocks that an admission leaves free while others run, so that they can grow."""
    prefix_cache: bool = True
    role: Role = "whole"
    """``prefill`` replicas write a reply's first token and send the prompt's KV to a ``decode`` replica of their model,
    which writes the rest."""
    scheduler: Scheduler = "reserving"
    """How memory is given out. ``reserving``: a prompt takes the memory of all its tokens when it is admitted; who is
    last in the policy's order is preempted, and waits in its place again. ``vllm``, as vLLM's scheduler does: a prompt
    is admitted when all of it fits, and takes memory chunk by chunk; who was admitted last is preempted, and waits
    before all others."""

    def __post_init__(self) -> None:
        whole = ("kv_blocks", "block_tokens", "max_batch", "step_tokens")
        wrong = [name for name in whole if getattr(self, name) < 1]
        wrong += [name for name in ("kv_bytes_per_token", "link_bytes_per_s") if not getattr(self, name) > 0]
        wrong += [] if 0 <= self.watermark < 1 else ["watermark"]
        if not wrong and self.max_batch > self.step_tokens:
            wrong = ["max_batch"]
        if wrong:
            raise PlanError(
                "ORCH-P061",
                f"replica {self.name!r}: {wrong[0]} is {getattr(self, wrong[0])!r}",
                why="counts and bytes are above 0, watermark is below 1, and max_batch is step_tokens at most",
                fix=f"change {wrong[0]}",
            )
