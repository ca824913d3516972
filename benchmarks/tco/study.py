"""The formulation: the fewest device-seconds a request needs in each phase, and what a pair of devices then costs.

A request of ISL prompt and OSL output tokens is prefilled by a group of ``parallel`` devices of one type and decoded by
a group of another. With pools large enough that their sizes need not be whole multiples of each other, a request costs

    usd = price(P) * t_prefill(b) * parallel / b  +  price(D) * OSL * t_step(b') * parallel' / b'

where each phase chooses its batch and parallelism: t_prefill <= 250 ms and t_step <= 20 ms, weights and KV cache fit
into nine tenths of the memory, and the KV cache keeps up with the links out of the node,

    egress  = KV(ISL) * b  / (t_prefill * parallel)       <= link(P)
    ingress = KV(ISL) * b' / (OSL * t_step * parallel')   <= link(D)

which is the paper's KV/(TTFT N) with its batch, and its KV/(TBT N) spread over the OSL steps in which a batch is
replaced. ``links="one step"`` takes the latter at its word for each request: its KV arrives within one TBT of the SLA.

Prices do not enter the choice, since a phase runs on one type: it minimises device-seconds, and prices are multiplied
on afterwards. So one pass answers every price.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Final, Literal

from benchmarks.tco.speed import SPEEDS
from orchestrator.planner.catalogue import load
from orchestrator.planner.cluster import Device
from orchestrator.planner.models import ModelFacts
from orchestrator.planner.serving import Replica

Figures = Literal["printed", "catalogue"]
Links = Literal["sustained", "one step", "unlimited"]
Basis = Literal["operating", "annuity"]
Precision = Literal["bf16", "fp8"]

TTFT_S: Final = 0.250
TBT_S: Final = 0.020
PRECISIONS: Final[tuple[Precision, ...]] = ("bf16", "fp8")
PARALLEL: Final = (1, 2, 4, 8)
USABLE_MEMORY: Final = 0.9
LARGEST_BATCH: Final = 4096
ASSUMED_FABRIC_BYTES_PER_S: Final = 2.5e10
"""Out of the node where the catalogue does not know (A40): 200 Gb/s."""

CATALOGUE: Final = {
    "A40": "a40",
    "A100": "a100-sxm-80gb",
    "Gaudi3": "gaudi3",
    "MI300X": "mi300x",
    "H100": "h100-sxm",
    "B200": "b200-sxm",
}
PRINTED: Final = {
    "A40": (48e9, 696e9, 75e12),
    "A100": (80e9, 2039e9, 322e12),
    "Gaudi3": (128e9, 3700e9, 1678e12),
    "MI300X": (192e9, 5300e9, 1307e12),
    "H100": (80e9, 3350e9, 1979e12),
    "B200": (192e9, 8000e9, 2250e12),
}
"""The paper's device table: bytes, bytes/s, FP16 FLOP/s as printed (H100's is with sparsity, A40's is TF32's)."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One of the eight: a model in one precision with one shape."""

    facts: ModelFacts
    isl: int
    osl: int

    @property
    def label(self) -> str:
        return f"{self.facts.name} {'FP8' if self.facts.weight_dtype == 'fp8' else 'FP16'} {self.isl}/{self.osl}"


@dataclass(frozen=True, slots=True)
class Phase:
    """The best configuration of one phase on one device type."""

    device_s: float
    """Device-seconds a request."""
    parallel: int
    batch: int
    seconds: float
    """Of a prefill of the batch, or of a decode step."""
    link_share: float
    """Of the link out of the node, while KV moves at the sustained rate."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a cell of the study assumes beside the workload and the price."""

    speed: str = "planner"
    figures: Figures = "catalogue"
    links: Links = "sustained"


Tried = Callable[[Replica, int], Phase | None]
"""A replica and a batch as a phase, or ``None`` where the SLA or a link forbids it."""


def llama(name: str, precision: Precision) -> ModelFacts:
    """Llama-3 8B or 70B (their ``config.json``); FP8 stands for weights, activations and KV cache alike."""
    large = name.endswith("70B")
    params = 70.55e9 if large else 8.03e9
    return ModelFacts(
        name=name,
        params=params,
        active_params=params,
        layers=80 if large else 32,
        hidden=8192 if large else 4096,
        heads=64 if large else 32,
        kv_heads=8,
        head_dim=128,
        vocab=128_256,
        dtype=precision,
        weight_dtype=precision,
        context_tokens=8192,
        known=True,
    )


def workloads() -> list[Workload]:
    """Llama-3 8B and 70B, FP16 and FP8, 512/4096 and 4096/512."""
    shapes = ((512, 4096), (4096, 512))
    models = [llama(name, dtype) for name in ("Llama-3-8B", "Llama-3-70B") for dtype in PRECISIONS]
    return [Workload(facts, isl, osl) for facts in models for isl, osl in shapes]


@cache
def device(name: str, figures: Figures, efficiency: float = 1.0) -> Device:
    """The device with the catalogue's dense figures or the paper's; ``efficiency`` scales its FLOP/s and bandwidth.

    Without FP8 arithmetic (A40, A100) FP8 weights are multiplied in 16 bits. The paper prints FP16 alone, so its FP8
    column is as many times faster as in the catalogue: twice for all but Gaudi 3, and not at all for A40 and A100.
    """
    base = load(CATALOGUE[name]).device(name)
    memory, bandwidth, fp16 = base.memory_bytes, base.memory_bytes_per_s, base.flops["bf16"]
    faster = base.flops.get("fp8", fp16) / fp16
    if figures == "printed":
        memory, bandwidth, fp16 = PRINTED[name]
    return base.model_copy(
        update={
            "memory_bytes": memory,
            "memory_bytes_per_s": bandwidth * efficiency,
            "flops": {"bf16": fp16 * efficiency, "fp8": fp16 * faster * efficiency},
            "inter_node_bytes_per_s": base.inter_node_bytes_per_s or ASSUMED_FABRIC_BYTES_PER_S,
        }
    )


@cache
def prices(basis: Basis) -> dict[str, float]:
    """USD per hour of each device."""
    found = {name: load(kind).price(basis) for name, kind in CATALOGUE.items()}
    return {name: figure.value for name, figure in found.items() if figure}


@cache
def prefill(name: str, workload: Workload, setting: Setting, efficiency: float = 1.0) -> Phase | None:
    """The prefill with the fewest device-seconds a request; ``None``: no configuration meets the SLA."""
    on, speed = device(name, setting.figures, efficiency), SPEEDS[setting.speed]
    kv = workload.facts.kv_bytes_per_token * workload.isl

    def tried(replica: Replica, batch: int) -> Phase | None:
        seconds = speed.prefill_s(replica, workload.isl, batch)
        share = kv * batch / (seconds * replica.parallel) / _link(on)
        if seconds > TTFT_S or (share > 1 and setting.links != "unlimited"):
            return None
        return Phase(seconds * replica.parallel / batch, replica.parallel, batch, seconds, share)

    return _best(on, workload.facts, kv, tried)


@cache
def decode(name: str, workload: Workload, setting: Setting, efficiency: float = 1.0) -> Phase | None:
    """The decode with the fewest device-seconds a request; ``None``: no configuration meets the SLA."""
    on, speed = device(name, setting.figures, efficiency), SPEEDS[setting.speed]
    facts, context = workload.facts, workload.isl + workload.osl / 2
    kv = facts.kv_bytes_per_token * workload.isl

    def tried(replica: Replica, batch: int) -> Phase | None:
        seconds = speed.decode_step_s(replica, context, batch)
        share = kv * batch / (workload.osl * seconds * replica.parallel) / _link(on)
        at_once = kv / (TBT_S * replica.parallel) / _link(on)
        late = at_once if setting.links == "one step" else share
        if seconds > TBT_S or (late > 1 and setting.links != "unlimited"):
            return None
        return Phase(seconds * workload.osl * replica.parallel / batch, replica.parallel, batch, seconds, share)

    return _best(on, facts, facts.kv_bytes_per_token * (workload.isl + workload.osl), tried)


def usd(name: str, phase: Phase, basis: Basis, factor: float = 1.0) -> float:
    """USD a request in one phase; ``factor`` scales the price."""
    return prices(basis)[name] * factor / 3600 * phase.device_s


def tokens_per_usd(workload: Workload, setting: Setting, basis: Basis) -> dict[tuple[str, str], float | None]:
    """Output tokens per USD of each prefill::decode pair; ``None``: a phase cannot meet the SLA.

    Tokens/s over USD/s: the paper's tokens/s/$ but for a constant, which the ratio to H100::H100 cancels.
    """
    found: dict[tuple[str, str], float | None] = {}
    for first, second in product(CATALOGUE, CATALOGUE):
        one, two = prefill(first, workload, setting), decode(second, workload, setting)
        found[first, second] = (
            workload.osl / (usd(first, one, basis) + usd(second, two, basis)) if one and two else None
        )
    return found


def _link(on: Device) -> float:
    assert on.inter_node_bytes_per_s is not None
    return on.inter_node_bytes_per_s


def _best(on: Device, facts: ModelFacts, kv_bytes: float, tried: Tried) -> Phase | None:
    """The configuration with the fewest device-seconds, on the fewest devices where several tie."""
    found: list[Phase] = []
    for parallel in PARALLEL:
        replica = Replica(facts, on, parallel)
        room = on.memory_bytes * USABLE_MEMORY * parallel - facts.weight_bytes
        most = min(int(room / kv_bytes), LARGEST_BATCH) if room > 0 else 0
        phases = [phase for phase in (tried(replica, batch) for batch in batches(most)) if phase]
        found.extend(phases)
        if phases:
            found.append(_largest(replica, max(phases, key=lambda phase: phase.batch), most, tried))
    return min(found, key=lambda phase: (phase.device_s, phase.parallel), default=None)


def batches(most: int) -> Iterator[int]:
    """1, 2, 3, … then steps of an eighth, and ``most`` itself."""
    batch = 1
    while batch < most:
        yield batch
        batch += max(1, batch // 8)
    if most > 0:
        yield most


def _largest(replica: Replica, reached: Phase, most: int, tried: Tried) -> Phase:
    """The largest feasible batch between a feasible one and ``most``, by bisection."""
    low, high = reached.batch, min(most, reached.batch + max(1, reached.batch // 8)) + 1
    while high - low > 1:
        middle = (low + high) // 2
        phase = tried(replica, middle)
        if phase:
            low, reached = middle, phase
        else:
            high = middle
    return reached
