"""One way of serving one model under one load: what the calibrated model is asked about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from orchestrator.planner.cluster import Device
from orchestrator.planner.models import DTYPE_BYTES, ModelFacts
from orchestrator.planner.parallel import Parallel

USABLE_MEMORY: Final = 0.93
"""Share of a GPU's memory that recipes give to the engine: vLLM's default is 0.9, tuned ones use up to 0.95."""
ENGINE_BYTES: Final = 2e9
"""Activations, CUDA graphs and the runtime itself, per GPU."""
LEAST_FREE: Final = 0.03
"""Share of the memory that is taken to be free however large the weights are."""
KV_BYTES: Final = {"trtllm": 1.0}
"""Bytes of one cached value by backend, where it is not two: TensorRT-LLM's recipes store FP8."""

BLACKWELL, HOPPER, ADA, AMPERE = "blackwell", "hopper", "ada", "ampere"
ARCHITECTURES: Final = {
    "b": BLACKWELL,
    "gb": BLACKWELL,
    "h": HOPPER,
    "l": ADA,
    "a": AMPERE,
    "rtx-a": AMPERE,
}
"""It has the architectures by the letters before the first digit of a device type's name."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model on devices, served by ``backend`` to ``concurrency`` clients that each always have one request open."""

    facts: ModelFacts
    device: Device
    backend: str
    isl: float
    """Input tokens of a request that are processed: those whose KV is cached are in ``cached``."""
    osl: float
    concurrency: float
    """Requests in flight over all workers."""
    prefill: Parallel = field(default_factory=Parallel)
    decode: Parallel = field(default_factory=Parallel)
    """The same as ``prefill`` unless ``disaggregated``."""
    disaggregated: bool = False
    prefill_workers: int = 1
    decode_workers: int = 1
    cached: float = 0.0
    """Input tokens found in the prefix cache: attended to, not processed."""
    weights: str = "bf16"
    """Precision as it was asked for: a label of the measurement, ``fp8`` | ``fp4`` | ``int4`` | ``bf16``."""
    campaign: str = ""
    """Who measured: conventions differ (lengths drawn from 0.8 to 1 of the nominal ones or not, warm-up, bursts)."""
    day: float = 0.0
    """When, in days since 2025-01-01: software gets faster. 0: unknown."""

    @property
    def architecture(self) -> str:
        """The device's generation; its own name where that is unknown."""
        name = self.device.type
        digit = next((at for at, letter in enumerate(name) if letter.isdigit()), len(name))
        return ARCHITECTURES.get(name[:digit], name)

    @property
    def group(self) -> str:
        """What calibration calls a group: measurements of one group say most about one another."""
        return f"{self.facts.name}|{self.device.type}|{self.backend}"

    @property
    def configuration(self) -> tuple[object, ...]:
        """What was asked of the hardware: measurements that share it, whenever they were made, are repeats."""
        lengths = (self.isl, self.cached, self.osl, self.concurrency)
        workers = (self.prefill_workers, self.prefill, self.decode_workers, self.decode)
        return (self.group, self.weights, self.disaggregated, *lengths, *workers)

    @property
    def per_rank(self) -> float:
        """Requests that one attention rank of one decode worker decodes at a time, if all of them fit."""
        return max(self.concurrency / (self.decode_workers * self.decode.dp), 1.0)

    def kv_bytes(self, tokens: float) -> float:
        """What one device of a decode worker caches of a sequence of ``tokens``."""
        usual = KV_BYTES.get(self.backend, min(DTYPE_BYTES[self.facts.dtype], 2.0))
        return self.decode.kv_bytes(self.facts, tokens, None if self.facts.cache_dtype else usual)

    @property
    def weight_bytes(self) -> float:
        """The bytes of weights on one device of a decode worker."""
        return self.decode.weight_bytes(self.facts)

    @property
    def fits(self) -> bool:
        """Whether a device's memory holds its share of the weights."""
        return self.weight_bytes < self.device.memory_bytes

    @property
    def capacity(self) -> float:
        """Requests whose KV cache one attention rank holds, each half way through its answer on average."""
        memory = self.device.memory_bytes
        free = max(memory * USABLE_MEMORY - self.weight_bytes - ENGINE_BYTES, memory * LEAST_FREE)
        return free / self.kv_bytes(self.isl + self.cached + self.osl / 2)

    @property
    def load(self) -> float:
        """Requests in flight over those that fit; above 1 they queue for memory."""
        return self.per_rank / self.capacity
