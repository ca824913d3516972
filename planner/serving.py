"""A serving engine resolved for the cost model: model facts, devices, prices, and what is guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from orchestrator.planner.cluster import Cluster, Device, DeviceKind, EngineSpec
from orchestrator.planner.models import ModelFacts, facts_of
from orchestrator.planner.parallel import Parallel

USABLE_MEMORY: Final[dict[DeviceKind, float]] = {"gpu": 0.9, "cpu": 0.8}
"""Share of a device's memory for weights and KV cache; 0.9 is vLLM's default ``gpu_memory_utilization``."""
GIB: Final = 2**30
CPU_KV_GIB: Final = 1.0
"""KV cache of a local engine on a CPU unless ``kv_cache_gib`` says otherwise."""
MOST_PARALLEL: Final = 4096
"""Devices that a model is split over by one kind of parallelism, at the most."""
MOST_OPTION: Final = 1e15
"""A number beyond that, infinite ones too, is none."""


@dataclass(frozen=True, slots=True)
class Replica:
    """A model on ``parallel`` devices that split it."""

    facts: ModelFacts
    device: Device
    parallel: int = 1
    split: Parallel | None = None
    """How they do; None: each has a part of every tensor."""
    usable: float | None = None
    """Share of the devices' memory for weights and KV cache; None: the usual one."""
    most_kv_bytes: float | None = None
    """What its KV cache has at the most; None: all that the weights leave."""

    @property
    def at(self) -> Parallel:
        """How the devices split the model."""
        return self.split or Parallel.of(self.parallel)

    @property
    def usable_bytes(self) -> float:
        """The bytes of all devices that weights and KV cache may take."""
        share = USABLE_MEMORY[self.device.kind] if self.usable is None else self.usable
        return self.device.memory_bytes * share * self.parallel

    @property
    def weight_bytes(self) -> float:
        """The bytes of weights on all devices together: attention data parallelism holds copies."""
        return self.at.weight_bytes(self.facts) * self.parallel

    @property
    def kv_copies(self) -> float:
        """How often the devices cache each value of a sequence: once, or a head or latent on several of them."""
        return self.at.kv_copies(self.facts)

    @property
    def kv_capacity_bytes(self) -> float:
        """Room for KV over all devices, for one copy of it; negative when the weights do not fit."""
        room = self.usable_bytes - self.weight_bytes
        if room <= 0:
            return room
        room /= self.kv_copies
        return room if self.most_kv_bytes is None else min(room, self.most_kv_bytes)

    def kv_blocks(self, tokens: int, sequence: float | None = None) -> int:
        """Blocks of so many ``tokens`` that there is room for; 0 where not even the weights fit.

        A token takes less of a long ``sequence``, of which layers with a window keep the end; None: as of a short one.
        """
        token_bytes = self.facts.kv_bytes(sequence) / sequence if sequence else self.facts.kv_bytes_per_token
        return max(0, int(self.kv_capacity_bytes // (token_bytes * tokens)))


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
    split = split_of(engine)
    return Serving(engine, replica_of(engine, cluster.device(engine.device), split.tp * split.pp, split))


def split_of(engine: EngineSpec) -> Parallel:
    """How its options split the model; those that vLLM does not take are as if they were not given.

    Each copy of data parallelism counts as a replica of its own, but for the experts, which all of them share.
    """
    sizes = (engine.option(f"{way}_parallel_size") for way in ("tensor", "pipeline", "data"))
    whole = (size if isinstance(size, int) and 0 < size <= MOST_PARALLEL else 1 for size in sizes)
    return Parallel.of(*whole, expert=engine.option("enable_expert_parallel") is True)


def replica_of(engine: EngineSpec, device: Device, parallel: int, split: Parallel | None = None) -> Replica:
    """The engine on so many of these devices; ``split``: in another way than each with a part of every tensor."""
    told = engine.option("gpu_memory_utilization") if device.kind == "gpu" else None
    if isinstance(told, bool) or not isinstance(told, (int, float)) or not 0 < told <= 1:
        told = None
    return Replica(facts_of(engine), device, parallel, split, told, _most_kv_bytes(engine, device))


def _most_kv_bytes(engine: EngineSpec, device: Device) -> float | None:
    """On a CPU, vLLM takes what it is given and not what there is."""
    if engine.kind != "vllm" or device.kind != "cpu":
        return None
    gib = engine.option("kv_cache_gib")
    return (float(gib) if isinstance(gib, (int, float)) and 0 < gib < MOST_OPTION else CPU_KV_GIB) * GIB
