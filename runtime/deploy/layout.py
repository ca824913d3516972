"""What a plan would start, as plain data: groups of equal engine replicas, CPU pools, and the tools' workers.

A replica takes ``tensor * pipeline * data`` parallel devices. What Ray reserves for it stands with it: so many of the
custom resource that nodes have under the device's name, and as many GPUs where the device is one.

>>> layout = layout_of(plan)                                              # doctest: +SKIP
>>> [(group.name, group.replicas, group.devices) for group in layout.groups]     # doctest: +SKIP
[('main', 2, 4)]
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator.planner.cluster import Cluster, Device, DeviceKind, EngineSpec
from orchestrator.planner.plan import OpPlan, Plan, Role, Site
from orchestrator.runtime.deploy import errors

REMOTE: Final = "openai"
"""The kind of engine that somebody else runs."""
GIB: Final = 2**30
_TENSOR, _PIPELINE, _DATA = "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"
_NUMBER: Final = re.compile(r"-\d+$")
TOOLS: Final = ("inline", "async", "thread", "process", "ray-task", "ray-actor")
"""Where tools run; what has no such place is a model call, a region or a person."""


class Reserved(BaseModel):
    """What Ray keeps for one replica."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str | None
    """The custom resource of the nodes that have the device; None: any node will do."""
    device_type: str | None = None
    """The same for nodes that are labelled by the type of their device and not by its name in the cluster file."""
    count: int = Field(default=0, ge=0)
    """Devices."""
    gpus: int = Field(default=0, ge=0)
    memory_bytes: int = Field(default=0, ge=0)
    """Of the node, beside the device's own."""


class EngineGroup(BaseModel):
    """Equal replicas of one engine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: EngineSpec
    """How each replica is started: its options say what the plan chose."""
    device_kind: DeviceKind | None
    node_devices: int = Field(default=1, ge=1)
    """Devices that one node has."""
    role: Role = "both"
    tensor_parallel: int = Field(default=1, ge=1)
    pipeline_parallel: int = Field(default=1, ge=1)
    expert_parallel: int = Field(default=1, ge=1)
    data_parallel: int = Field(default=1, ge=1)
    replicas: int = Field(ge=1)
    batch: int | None = Field(default=None, ge=1)
    """Calls that a replica holds at once; None: not limited."""
    reserved: Reserved

    @property
    def name(self) -> str:
        """The engine's name; with the phase where a replica does only one of them."""
        return self.engine.name if self.role == "both" else f"{self.engine.name}-{self.role}"

    @property
    def devices(self) -> int:
        """Devices of one replica."""
        return self.tensor_parallel * self.pipeline_parallel * self.data_parallel

    @property
    def fingerprint(self) -> str:
        """It is the same for groups whose replicas can stand for each other; how many there are is no part of it."""
        text = self.model_copy(update={"replicas": 1}).model_dump_json()
        return sha256(text.encode()).hexdigest()[:12]

    def cannot_start(self) -> Iterator[str]:
        """Why replicas of this group are planned and not started, in sentences without a stop."""
        if self.role != "both":
            yield f"`{self.engine.name}` does {self.role} alone, and no KV cache is moved between engines yet"
        if self.devices > self.node_devices and self.reserved.device is not None:
            yield (
                f"a replica of `{self.engine.name}` takes {self.devices} devices, and a node of "
                f"`{self.reserved.device}` has {self.node_devices}"
            )
        if self.expert_parallel not in (1, self.tensor_parallel * self.data_parallel):
            yield (
                f"`{self.engine.name}` shares experts out over {self.expert_parallel} devices, and vLLM over all "
                f"{self.tensor_parallel * self.data_parallel} that hold a layer"
            )


class CpuPool(BaseModel):
    """CPUs that ops of a plan run on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    count: int = Field(ge=1)
    cores: int = Field(ge=0)
    """Of each; 0: unknown."""
    ops: tuple[str, ...]


class ToolWorkers(BaseModel):
    """A tool's workers, which a run starts when it needs them; a deployment makes room for them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: str
    place: str
    device: str | None
    ops: tuple[str, ...]
    busy: float | None = Field(default=None, ge=0)
    """Calls that are under way at once on average, at the plan's rate; None: no rate was given."""
    limit: int | None = Field(default=None, ge=1)
    """Calls that run at once at most; None: as many as there are CPUs."""


class Layout(BaseModel):
    """All that a plan would start."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    """Of the deployment: the workflow's, unless another is given."""
    groups: tuple[EngineGroup, ...] = ()
    services: tuple[EngineSpec, ...] = ()
    """Engines that somebody else runs."""
    pools: tuple[CpuPool, ...] = ()
    tools: tuple[ToolWorkers, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [group.name for group in self.groups]
        if len(set(names)) != len(names):
            raise ValueError("two groups of engines have the same name")
        return self

    @property
    def by_name(self) -> dict[str, EngineGroup]:
        """The groups by name."""
        return {group.name: group for group in self.groups}

    def require_startable(self) -> None:
        """Raise ``RunError`` ORCH-R120 where there is nothing to start, and R121 for what cannot be started."""
        if not self.groups:
            raise errors.nothing_to_start(self.name)
        if reasons := [reason for group in self.groups for reason in group.cannot_start()]:
            raise errors.not_executable(reasons)


def layout_of(plan: Plan, name: str | None = None) -> Layout:
    """What the plan would start; ``name`` is the deployment's, the workflow's by default."""
    used = _engines_used(plan)
    sites: dict[str, list[Site]] = {}
    for site in plan.sites:
        sites.setdefault(site.engine, []).append(site)
    groups = []
    for spec in plan.cluster.engines:
        if spec.name not in used or spec.kind == REMOTE:
            continue
        groups += [_group(spec, plan, site) for site in sites.get(spec.name) or (None,)]
    return Layout(
        name=name or plan.workflow,
        groups=tuple(groups),
        services=tuple(each for each in plan.cluster.engines if each.kind == REMOTE and each.name in used),
        pools=tuple(_pools(plan)),
        tools=tuple(_tools(plan)),
    )


def scaled(layout: Layout, counts: Mapping[str, int]) -> Layout:
    """The layout with other counts of replicas, by engine. Raises ``RunError`` ORCH-R128."""
    for engine in counts:
        if engine not in layout.by_name:
            raise errors.no_such_engine(engine, list(layout.by_name))
    groups = tuple(
        group.model_copy(update={"replicas": counts.get(group.name, group.replicas)}) for group in layout.groups
    )
    return layout.model_copy(update={"groups": groups})


def _engines_used(plan: Plan) -> set[str]:
    """Those that ops are placed on, and those that the planner has given devices."""
    places = {op.place.removeprefix("engine:") for op in plan.ops if op.place.startswith("engine:")}
    return places | {each.engine for op in plan.ops for each in op.shares} | {site.engine for site in plan.sites}


def _group(spec: EngineSpec, plan: Plan, site: Site | None) -> EngineGroup:
    """A group as the planner has chosen it, and what it has not chosen as the cluster file has it."""
    split = {name: _count(spec, name) for name in (_TENSOR, _PIPELINE, _DATA)}
    experts, replicas = _experts(spec, split), _count(spec, "replicas")
    role: Role = "both"
    batch = _count(spec, "max_num_seqs", 0) or None
    if site is not None:
        spec = spec.model_copy(update={"device": site.device})
        split |= {_TENSOR: site.tensor_parallel, _PIPELINE: site.pipeline_parallel}
        experts, replicas, role, batch = site.expert_parallel, site.replicas, site.role, site.batch or batch
    device = None if spec.device is None else plan.cluster.device(spec.device)
    return EngineGroup(
        engine=_started_so(spec, split, batch, experts),
        device_kind=None if device is None else device.kind,
        node_devices=1 if device is None else min(device.node_devices, device.count),
        role=role,
        tensor_parallel=split[_TENSOR],
        pipeline_parallel=split[_PIPELINE],
        data_parallel=split[_DATA],
        expert_parallel=experts,
        replicas=replicas,
        batch=batch,
        reserved=_reserved(spec, device, plan.cluster, split[_TENSOR] * split[_PIPELINE] * split[_DATA]),
    )


def _experts(spec: EngineSpec, split: Mapping[str, int]) -> int:
    """Devices that share a layer's experts, where the cluster file says that they do."""
    return split[_TENSOR] * split[_DATA] if spec.option("enable_expert_parallel") is True else 1


def _started_so(spec: EngineSpec, split: Mapping[str, int], batch: int | None, experts: int) -> EngineSpec:
    """The engine of one replica, whose options say what was chosen for it."""
    options = {name: value for name, value in spec.options.items() if name not in ("replicas", *split)}
    if spec.kind != "vllm":
        return spec.model_copy(update={"options": options})
    given = options.get("extra")
    extra = {name: value for name, value in given.items() if name not in split} if isinstance(given, dict) else {}
    extra |= {name: value for name, value in split.items() if name != _TENSOR and value > 1}
    extra |= {"enable_expert_parallel": True} if experts > 1 else {}
    options |= {_TENSOR: split[_TENSOR]} | ({"extra": extra} if extra else {})
    options |= {"max_num_seqs": batch} if batch else {}
    return spec.model_copy(update={"options": options})


def _reserved(spec: EngineSpec, device: Device | None, cluster: Cluster, count: int) -> Reserved:
    if device is None:
        return Reserved(device=None)
    kv_gib = _count(spec, "kv_cache_gib") if spec.kind == "vllm" and device.kind == "cpu" else 0
    gpus = count if device.kind == "gpu" and spec.kind == "vllm" else 0
    return Reserved(
        device=_as_labelled(device, cluster),
        device_type=device.type,
        count=count,
        gpus=gpus,
        memory_bytes=kv_gib * GIB,
    )


def _as_labelled(device: Device, cluster: Cluster) -> str:
    """The device's name in the cluster file: a plan that uses it in several ways numbers its parts ``gpu-1``, …."""
    base = _NUMBER.sub("", device.name)
    parts = [each for each in cluster.devices if each.type == device.type and _NUMBER.sub("", each.name) == base]
    return base if len(parts) > 1 and base not in {each.name for each in cluster.devices} else device.name


def _count(spec: EngineSpec, option: str, default: int = 1) -> int:
    found = spec.option(option)
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else default


def _pools(plan: Plan) -> Iterator[CpuPool]:
    for device in plan.cluster.devices:
        ops = tuple(op.id for op in plan.ops if op.device == device.name and op.place in TOOLS)
        if device.kind == "cpu" and ops:
            yield CpuPool(device=device.name, count=device.count, cores=device.cores, ops=ops)


def _tools(plan: Plan) -> Iterator[ToolWorkers]:
    found: dict[tuple[str, str, str | None], list[OpPlan]] = {}
    for op in plan.ops:
        if op.place in TOOLS and op.place != "inline" and op.kind in ("tool", "retrieve"):
            found.setdefault((op.what or op.id, op.place, op.device), []).append(op)
    for (tool, place, device), ops in found.items():
        busy = None
        if plan.rate_per_s is not None:
            busy = plan.rate_per_s * sum(op.count.mid * op.seconds.mid for op in ops)
        limit = 1 if place == "ray-actor" else None
        yield ToolWorkers(
            tool=tool, place=place, device=device, ops=tuple(op.id for op in ops), busy=busy, limit=limit
        )  # fmt: skip
