"""What one step of a model costs in an ideal world: seconds at the device's peak figures, term by term.

A step takes ``tokens`` new tokens on each attention rank, whose ``sequences`` have ``context`` tokens each. With F the
peak FLOP/s of the weights' precision, B the peak bytes/s and W the bytes that one device reads::

    shared   = sum over matrices of max(W / B,  2 P n / F) * measured ratio     all but the routed experts
    experts  = max(W_hit / B,  3 * 2 P_hit n / F)               the experts that n tokens are routed to
    kv       = sequences * KV bytes of a context / B             added, not inside the maximum (arXiv 2506.05333)
    attention= 2 * scores and values FLOPs / F_16
    exchange = bytes sent in two all-reduces a layer (and all-to-all with expert and data parallelism) / link
    rounds   = all-reduces * (1 + log2 ranks) / 2                a count: each pays a latency

A token passes the stages of a pipeline one after the other, so all layers count, whichever device has them, and the
requests in flight are spread over the stages. The ratios are those of :mod:`orchestrator.planner.cost.kernels`; a
device without any takes 1, and 1.5 on the arithmetic. The factor 3 stands for grouped kernels, which reach a third of
the peak. How far reality is from each term is fitted, not assumed: :mod:`orchestrator.planner.cost.calibration`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from orchestrator.planner.cluster import Device
from orchestrator.planner.cost.deployment import Deployment
from orchestrator.planner.cost.kernels import table
from orchestrator.planner.models import DTYPE_BYTES, ModelFacts
from orchestrator.planner.parallel import Parallel

DENSE_KERNEL_SHARE, GROUPED_KERNEL_SHARE = 1.5, 3.0
ASSUMED_LINK_BYTES_PER_S: Final = 1.6e10
"""Between devices whose link is unknown: PCIe 3.0 x16, one direction."""


@dataclass(frozen=True, slots=True)
class Step:
    """Ideal seconds of one step, and counts of what pays a latency."""

    shared_s: float
    experts_s: float
    kv_s: float
    attention_s: float
    exchange_s: float
    rounds: float
    layers: int
    expert_layers: int

    @property
    def work_s(self) -> float:
        """All but latencies."""
        return self.shared_s + self.experts_s + self.kv_s + self.attention_s + self.exchange_s


def decode_step(of: Deployment, sequences: float, context: float) -> Step:
    """One token for each of the ``sequences`` in one stage together, on every attention rank of a decode worker."""
    flops = sequences * of.facts.step_attention_flops(context)
    kv_bytes = sequences * of.kv_bytes(context)
    return _step(of, of.decode, sequences, ranks=of.decode.dp, kv_bytes=kv_bytes, attention_flops=flops)


def prefill_step(of: Deployment, tokens: float, cached: float = 0.0, ranks: int | None = None) -> Step:
    """A prompt of ``tokens`` after ``cached`` ones on each of ``ranks`` (by default all) attention ranks of a prefill
    worker."""
    flops = of.facts.prompt_attention_flops(tokens, cached)
    kv_bytes = of.kv_bytes(cached + tokens / 2)
    return _step(of, of.prefill, tokens, ranks=ranks or of.prefill.dp, kv_bytes=kv_bytes, attention_flops=flops)


def _step(of: Deployment, at: Parallel, tokens: float, *, ranks: int, kv_bytes: float, attention_flops: float) -> Step:
    """``kv_bytes`` are those of one stage's layers."""
    facts, device = of.facts, of.device
    all_tokens = tokens * ranks
    reducing = max(at.tp, at.expert_shards)
    rounds = facts.layers * (1 + math.log2(reducing)) if reducing > 1 else 0.0
    return Step(
        shared_s=_shared_s(of, at, tokens),
        experts_s=_experts_s(facts, device, at, all_tokens),
        kv_s=kv_bytes * of.decode.pp / device.memory_bytes_per_s,
        attention_s=2 * attention_flops / at.tp / peak_flops(device, "bf16"),
        exchange_s=_exchange_s(facts, device, at, tokens),
        rounds=rounds,
        layers=facts.layers,
        expert_layers=facts.expert_layers,
    )


def _shared_s(of: Deployment, at: Parallel, tokens: float) -> float:
    """Attention's projections in and out, the other matrices of a layer as a wide and a narrow one, and the head."""
    facts = of.facts
    head = facts.vocab * facts.hidden
    layer = max(facts.shared_params - 2 * head, facts.layers) / facts.layers
    heads = facts.heads + facts.kv_heads
    latent = facts.latent.params(facts.hidden, facts.heads) if facts.latent else None
    attention = min(latent or 2 * facts.hidden * facts.head_dim * heads, layer)
    matrices = (attention * 0.55, attention * 0.45, (layer - attention) * 2 / 3, (layer - attention) / 3)
    dtype = facts.dense_weight_dtype or facts.weight_dtype
    one_layer = sum(_matrix_s(of, dtype, params / at.tp, tokens) for params in matrices if params > 0)
    return facts.layers * one_layer + _matrix_s(of, facts.dtype, head / at.tp, 1.0)


def _matrix_s(of: Deployment, dtype: str, params: float, tokens: float) -> float:
    device, weight_bytes = of.device, params * DTYPE_BYTES[dtype]
    read_s, compute_s = weight_bytes / device.memory_bytes_per_s, 2 * params * tokens / peak_flops(device, dtype)
    measured = table(device.type, of.architecture, dtype)
    if measured is None:
        return max(read_s, DENSE_KERNEL_SHARE * compute_s)
    return max(read_s, compute_s) * measured.ratio(tokens, weight_bytes)


def _experts_s(facts: ModelFacts, device: Device, at: Parallel, tokens: float) -> float:
    if not facts.experts:
        return 0.0
    hit = hit_share(facts, tokens)
    routed = facts.routed_params / at.expert_shards
    per_token = routed * facts.experts_per_token / facts.experts
    return max(
        routed * hit * DTYPE_BYTES[facts.weight_dtype] / device.memory_bytes_per_s,
        GROUPED_KERNEL_SHARE * 2 * per_token * tokens / peak_flops(device, facts.weight_dtype),
    )


def hit_share(facts: ModelFacts, tokens: float) -> float:
    """Each token picks its experts independently, so n tokens hit ``1 - (1 - k/E)^n`` of them."""
    return 1 - math.pow(1 - facts.experts_per_token / facts.experts, tokens) if facts.experts else 0.0


def _exchange_s(facts: ModelFacts, device: Device, at: Parallel, tokens: float) -> float:
    ranks = max(at.tp, at.moe_ep)
    if ranks == 1 and at.expert_shards == 1:
        return 0.0
    activations = tokens * facts.hidden * 2.0
    reduced = 2 * facts.layers * activations * 2 * (ranks - 1) / ranks
    routed = 0.0
    if at.moe_ep > 1 and at.dp > 1:
        routed = facts.expert_layers * 2 * activations * facts.experts_per_token * 0.75
    return (reduced + 0.3 * routed) / link_bytes_per_s(device, at.devices)


def link_bytes_per_s(device: Device, devices: int) -> float:
    """Of the slowest hop between ``devices`` of this kind."""
    fast = device.link_bytes_per_s or ASSUMED_LINK_BYTES_PER_S
    if devices <= device.node_devices:
        return fast
    return device.inter_node_bytes_per_s or min(fast, ASSUMED_LINK_BYTES_PER_S)


def peak_flops(device: Device, dtype: str) -> float:
    """In ``dtype`` where the device computes in it, else in 16 bits (weights are then unpacked on the fly)."""
    peaks = device.flops
    return peaks.get(dtype) or peaks.get("bf16") or peaks.get("fp16") or max(peaks.values())
