"""A serving engine resolved for the cost model: model facts, devices, prices, and what is guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orchestrator.planner.cluster import Cluster, Device, DeviceKind, EngineSpec
from orchestrator.planner.models import ModelFacts, facts_of

USABLE_MEMORY: Final[dict[DeviceKind, float]] = {"gpu": 0.9, "cpu": 0.8}
"""Share of a device's memory for weights and KV cache; 0.9 is vLLM's default ``gpu_memory_utilization``."""
GIB: Final = 2**30
CPU_KV_GIB: Final = 1.0
"""KV cache of a local engine on a CPU unless ``kv_cache_gib`` says otherwise."""
MOST_OPTION: Final = 1e15
"""A number beyond that, infinite ones too, is none."""


@dataclass(frozen=True, slots=True)
class Replica:
    """A model on ``parallel`` devices that split its tensors."""

    facts: ModelFacts
    device: Device
    parallel: int = 1
    usable: float | None = None
    """Share of the devices' memory for weights and KV cache; None: the usual one."""
    most_kv_bytes: float | None = None
    """What its KV cache has at the most; None: all that the weights leave."""

    @property
    def usable_bytes(self) -> float:
        """The bytes of all devices that weights and KV cache may take."""
        share = USABLE_MEMORY[self.device.kind] if self.usable is None else self.usable
        return self.device.memory_bytes * share * self.parallel

    @property
    def kv_capacity_bytes(self) -> float:
        """Room for KV over all devices, for one copy of it; negative when the weights do not fit."""
        room = self.usable_bytes - self.facts.weight_bytes
        if room <= 0:
            return room
        room /= self.facts.kv_copies(self.parallel)
        return room if self.most_kv_bytes is None else min(room, self.most_kv_bytes)

    def kv_blocks(self, tokens: int) -> int:
        """Blocks of so many ``tokens`` that there is room for; 0 where not even the weights fit."""
        return max(0, int(self.kv_capacity_bytes // (self.facts.kv_bytes_per_token * tokens)))


@dataclass(frozen=True, slots=True)
class Serving:
    """One engine of the cluster."""

    engine: EngineSpec
    replica: Replica | None
    """``None``: a service whose hardware is unknown."""

    @property
    def simulated(self) -> bool:
        return self.engine.kind in ("sim", "scripted")

    @property
    def usd_per_s(self) -> float | None:
        """Price of the devices while they work; ``None``: unknown."""
        if self.replica is None or self.replica.device.usd_per_hour is None:
            return None
        return self.replica.device.usd_per_hour * self.replica.parallel / 3600

    def option(self, name: str) -> float | None:
        """A numeric option of the engine; ``None`` when it is not set."""
        value = self.engine.option(name)
        return float(value) if isinstance(value, int | float) and abs(value) < MOST_OPTION else None

    @property
    def context_tokens(self) -> float | None:
        """The longest sequence it takes; ``None``: unknown."""
        limits = (self.replica.facts.context_tokens if self.replica else None, self.option("max_model_len"))
        return min((float(limit) for limit in limits if limit is not None), default=None)

    def warnings(self) -> list[str]:
        """What a reader of the plan must know about this engine's figures."""
        name, found = self.engine.name, []
        if self.simulated:
            found.append(f"engine {name} is simulated: its replies are made up, and a run of it measures nothing")
        if self.replica is None and not self.simulated:
            found.append(f"engine {name}: its hardware is unknown, so its speed is a guess")
        if self.replica is not None and self.replica.facts.note:
            found.append(f"engine {name}: {self.replica.facts.note}")
        return found


def resolve(engine: EngineSpec, cluster: Cluster) -> Serving:
    """Find the engine's device and model facts. Raises :class:`PlanError` as :func:`facts_of` does."""
    if engine.device is None:
        return Serving(engine, None)
    wanted = engine.option("tensor_parallel_size")
    parallel = wanted if isinstance(wanted, int) and wanted > 0 else 1
    return Serving(engine, replica_of(engine, cluster.device(engine.device), parallel))


def replica_of(engine: EngineSpec, device: Device, parallel: int) -> Replica:
    """The engine on these devices."""
    told = engine.option("gpu_memory_utilization") if device.kind == "gpu" else None
    if isinstance(told, bool) or not isinstance(told, (int, float)) or not 0 < told <= 1:
        told = None
    return Replica(facts_of(engine), device, parallel, told, _most_kv_bytes(engine, device))


def _most_kv_bytes(engine: EngineSpec, device: Device) -> float | None:
    """On a CPU, vLLM takes what it is given and not what there is."""
    if engine.kind != "vllm" or device.kind != "cpu":
        return None
    gib = engine.option("kv_cache_gib")
    return (float(gib) if isinstance(gib, (int, float)) and 0 < gib < MOST_OPTION else CPU_KV_GIB) * GIB
