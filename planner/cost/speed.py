"""How fast a replica is against its roofline, by the calibration: one factor for prefill and one for decoding.

A plan prices thousands of calls of all lengths, and more tokens must never take less time. So the calibration is asked
about a few reference requests, and its answers over the roofline's, as an interval, scale the roofline of every call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from orchestrator.planner.catalogue import catalogue
from orchestrator.planner.cluster import Device
from orchestrator.planner.interval import Interval
from orchestrator.planner.models import ModelFacts
from orchestrator.planner.serving import Replica

PROMPTS: Final = (512, 2048, 8192)
BATCHES: Final = (1, 8)
OUTPUT: Final = 512
BACKEND: Final = "vllm"


@dataclass(frozen=True, slots=True)
class Reference:
    """One reference request: seconds by the roofline at its middle efficiency, and how it is asked about."""

    prompt: int
    batch: int
    prefill_s: float
    step_s: float


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds over the roofline's, as 80 % intervals over the reference requests."""

    prefill: Interval
    decode: Interval
    measured: bool
    """Whether this model was measured on this device under vLLM."""


def speed_of(replica: Replica, references: Sequence[Reference]) -> Speed | None:
    """Factors for a GPU of the catalogue; ``None`` for a CPU and for devices whose figures the user gave."""
    device = replica.device
    known = catalogue().get(device.type)
    if device.kind != "gpu" or known is None or dict(known.device(device.name).flops) != dict(device.flops):
        return None
    return _speed(replica.facts, device.type, replica.parallel, tuple(references))


@lru_cache(maxsize=256)
def _speed(facts: ModelFacts, device_type: str, parallel: int, references: tuple[Reference, ...]) -> Speed:
    # NumPy and the measurements take a second to load, and a plan for CPUs or services needs neither.
    from orchestrator.planner.cost.deployment import Deployment
    from orchestrator.planner.cost.rows import as_measured
    from orchestrator.planner.cost.store import of_today, predict
    from orchestrator.planner.parallel import Parallel

    device: Device = catalogue()[device_type].device(device_type)
    split = Parallel(tp=parallel, moe_tp=parallel)
    asked = [
        Deployment(
            facts=as_measured(facts),
            device=device,
            backend=BACKEND,
            isl=each.prompt,
            osl=OUTPUT,
            concurrency=each.batch,
            prefill=split,
            decode=split,
            weights=facts.weight_dtype,
        )
        for each in references
    ]
    found = predict([of_today(each) for each in asked])
    return Speed(
        _factor([each.ttft for each in found], [each.prefill_s for each in references]),
        _factor([each.tpot for each in found], [each.step_s for each in references]),
        found[0].measured,
    )


def _factor(predicted: Sequence[Interval], ideal: Sequence[float]) -> Interval:
    pairs = list(zip(predicted, ideal, strict=True))
    middle = math.exp(sum(math.log(each.mid / base) for each, base in pairs) / len(pairs))
    low, high = min(each.lo / base for each, base in pairs), max(each.hi / base for each, base in pairs)
    return Interval(min(low, middle), middle, max(high, middle))
