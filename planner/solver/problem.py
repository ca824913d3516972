"""The placement problem as plain data: pools of equal devices, engine configurations, ops with their choices.

A *configuration* is one way of running an engine on a pool (model, parallelism, mode, batch cap); its replicas are
alike and shared by all ops that choose it. A *choice* is what one op costs on one configuration. Identical devices are
one pool with a count, so the size of a problem does not depend on how many devices there are.

>>> gpu = Pool("h100", "h100-sxm", count=8, usd_per_device_hour=1.12, watts=700.0, memory_bytes=80e9)
>>> engine = Configuration("llama-tp2", "h100", devices=2, tensor=2)
>>> op = Op("answer", (Choice("llama-tp2", seconds=1.5, busy_s=0.2),))
>>> Problem((gpu,), (engine,), (op,)).pool_of["llama-tp2"].name
'h100'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from orchestrator.cached import cached_property

Mode = Literal["aggregated", "prefill", "decode"]
Objective = Literal["cost", "latency", "throughput", "energy"]
Goal = Objective | Literal["devices"]
"""An objective, or the number of devices, which decides between plans that are as good in all else."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Equal devices that are rented, filled and linked alike."""

    name: str
    device: str
    """The type, for messages."""
    count: int
    usd_per_device_hour: float | None
    """``None``: unknown, which is not the same as free."""
    watts: float | None = None
    """One busy device takes so many; ``None``: unknown."""
    memory_bytes: float = float("inf")
    """One device has so many."""


@dataclass(frozen=True, slots=True)
class Link:
    """From the devices of one pool to those of another, or to others of the same pool; one direction.

    Two pools without a link cannot exchange anything. Inside a pool no link means that moving is free.
    """

    src: str
    dst: str
    bytes_per_s: float
    """One transfer has so many."""
    latency_s: float = 0.0
    capacity_bytes_per_s: float | None = None
    """All transfers together have so many; ``None``: not a limit."""
    usd_per_byte: float | None = 0.0

    def seconds(self, moved_bytes: float) -> float:
        """One transfer, alone on the link."""
        return self.latency_s + moved_bytes / self.bytes_per_s


@dataclass(frozen=True, slots=True)
class Configuration:
    """One way of running an engine on a pool."""

    name: str
    pool: str
    devices: int = 1
    """A replica has so many."""
    tensor: int = 1
    pipeline: int = 1
    expert: int = 1
    mode: Mode = "aggregated"
    batch: float | None = None
    """Executions a replica can hold at once; ``None``: not a limit."""
    memory_bytes: float = 0.0
    """What each device must hold: weights, activations and its share of ``kv_bytes``."""
    kv_bytes: float | None = None
    """KV budget of a replica; ``None``: not a limit."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What one execution of an op takes on one configuration."""

    configuration: str
    seconds: float
    """Latency."""
    busy_s: float
    """Seconds of a whole replica it uses up: with 20 executions in the batch, a twentieth of its latency."""
    held_s: float | None = None
    """How long it occupies a batch slot and its KV; ``None``: as long as ``seconds``."""
    kv_bytes: float = 0.0
    energy_j: float | None = None
    """``None``: the pool's watts x devices x ``busy_s``."""
    usd: float | None = 0.0
    """Charged per execution on top of the devices' price (an endpoint that charges by the token); ``None``: unknown."""

    @property
    def residence_s(self) -> float:
        return self.seconds if self.held_s is None else self.held_s


@dataclass(frozen=True, slots=True)
class Op:
    """One node of the workflow."""

    id: str
    choices: tuple[Choice, ...]
    executions: float = 1.0
    """It is done so often in a run, on average."""
    serial: float | None = None
    """How many of them come one after the other; ``None``: all, as in a loop. A map has 1."""

    @property
    def rounds(self) -> float:
        return self.executions if self.serial is None else self.serial


@dataclass(frozen=True, slots=True)
class Transfer:
    """``dst`` needs what ``src`` made."""

    src: str
    dst: str
    moved_bytes: float = 0.0
    """So many are moved in a run."""
    pair: bool = False
    """``src`` is the prefill and ``dst`` the decode of one call: both take the same aggregated configuration and
    nothing moves, or a prefill and a decode configuration and the KV crosses the link, also within a pool."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What the plan has to sustain, and what it may take and cost."""

    rate_per_s: float | None = None
    """Runs that arrive; ``None``: one run at a time."""
    throughput_per_s: float | None = None
    """Runs that must be possible, whatever arrives."""
    sla_s: float | None = None
    """Along the critical path."""
    budget_usd_per_hour: float | None = None
    utilisation: float = 0.8
    """Share of a replica's or a link's time that may be planned."""

    @property
    def sizing_per_s(self) -> float | None:
        """The rate replicas are counted for."""
        rates = [rate for rate in (self.rate_per_s, self.throughput_per_s) if rate is not None]
        return max(rates) if rates else None


@dataclass(frozen=True)
class Problem:
    """Everything the solver knows. Order matters for nothing but the order of results."""

    pools: tuple[Pool, ...]
    configurations: tuple[Configuration, ...]
    ops: tuple[Op, ...]
    transfers: tuple[Transfer, ...] = ()
    links: tuple[Link, ...] = ()
    workload: Workload = field(default_factory=Workload)

    @cached_property
    def pool(self) -> Mapping[str, Pool]:
        return {pool.name: pool for pool in self.pools}

    @cached_property
    def configuration(self) -> Mapping[str, Configuration]:
        return {each.name: each for each in self.configurations}

    @cached_property
    def pool_of(self) -> Mapping[str, Pool]:
        """Pool by configuration."""
        return {each.name: self.pool[each.pool] for each in self.configurations}

    @cached_property
    def op(self) -> Mapping[str, Op]:
        return {op.id: op for op in self.ops}

    @cached_property
    def link(self) -> Mapping[tuple[str, str], Link]:
        return {(link.src, link.dst): link for link in self.links}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Op ids, each after those it depends on. Only for a checked problem."""
        waiting = {op.id: 0 for op in self.ops}
        for transfer in self.transfers:
            waiting[transfer.dst] += 1
        ready = [op_id for op_id, count in waiting.items() if count == 0]
        for op_id in ready:
            for transfer in self.leaving[op_id]:
                waiting[transfer.dst] -= 1
                if waiting[transfer.dst] == 0:
                    ready.append(transfer.dst)
        return tuple(ready)

    @cached_property
    def leaving(self) -> Mapping[str, tuple[Transfer, ...]]:
        """Transfers by source."""
        found: dict[str, list[Transfer]] = {op.id: [] for op in self.ops}
        for transfer in self.transfers:
            found[transfer.src].append(transfer)
        return {op_id: tuple(each) for op_id, each in found.items()}

    @cached_property
    def entering(self) -> Mapping[str, tuple[Transfer, ...]]:
        """Transfers by destination."""
        found: dict[str, list[Transfer]] = {op.id: [] for op in self.ops}
        for transfer in self.transfers:
            found[transfer.dst].append(transfer)
        return {op_id: tuple(each) for op_id, each in found.items()}

    def stays(self, transfer: Transfer, src: Choice, dst: Choice) -> bool:
        """Whether nothing has to move: the two halves of one aggregated call."""
        return (
            transfer.pair
            and src.configuration == dst.configuration
            and self.configuration[src.configuration].mode == "aggregated"
        )

    def pairs_with(self, src: Choice, dst: Choice) -> bool:
        """Whether a prefill and a decode may go together: one aggregated engine, or one of each kind."""
        modes = self.configuration[src.configuration].mode, self.configuration[dst.configuration].mode
        return modes == ("prefill", "decode") or (
            modes == ("aggregated", "aggregated") and src.configuration == dst.configuration
        )

    def usd_per_execution(self, choice: Choice) -> float | None:
        """Device time at the pool's price plus the charge per execution; ``None`` where either is unknown."""
        price = self.pool_of[choice.configuration].usd_per_device_hour
        if price is None or choice.usd is None:
            return None
        return choice.busy_s * self.configuration[choice.configuration].devices * price / 3600 + choice.usd

    def joules_per_execution(self, choice: Choice) -> float | None:
        """``None`` where neither the choice's energy nor the pool's power is known."""
        if choice.energy_j is not None:
            return choice.energy_j
        watts = self.pool_of[choice.configuration].watts
        return None if watts is None else watts * self.configuration[choice.configuration].devices * choice.busy_s


def figures(part: object) -> list[tuple[str, float]]:
    """Name and value of each number a part of the problem holds."""
    values = [(each.name, getattr(part, each.name)) for each in fields(part)]  # type: ignore[arg-type]
    return [(name, value) for name, value in values if isinstance(value, int | float) and not isinstance(value, bool)]
