"""Cluster files: TOML with ``[[device]]`` and ``[[engine]]`` tables, as shown in :mod:`orchestrator.planner.cluster`.

A device of a catalogued type takes its figures from there; any figure given in the file replaces the catalogue's and is
marked so in ``Device.sources``. Relative ``config`` paths of engines are taken from the cluster file's folder.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.errors import PlanError, SourceLoc
from orchestrator.planner.catalogue import load
from orchestrator.planner.cluster import Cluster, Device, DeviceKind, EngineSpec
from orchestrator.planner.datafile import line_of, parse_toml, read_text, validate

OWN_SOURCE = "the cluster file"


class _DeviceEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    type: str | None = None
    kind: DeviceKind | None = None
    count: int = Field(default=1, ge=1)
    cores: int = Field(default=0, ge=0)
    flops: dict[str, float] | None = None
    memory_bytes: float | None = Field(default=None, gt=0)
    memory_bytes_per_s: float | None = Field(default=None, gt=0)
    link_bytes_per_s: float | None = Field(default=None, gt=0)
    usd_per_hour: float | None = Field(default=None, gt=0)

    def figures(self) -> dict[str, object]:
        """What the entry itself says about the hardware."""
        fields = ("kind", "flops", "memory_bytes", "memory_bytes_per_s", "link_bytes_per_s", "usd_per_hour")
        return {field: getattr(self, field) for field in fields if getattr(self, field) is not None}


class _ClusterEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    device: tuple[_DeviceEntry, ...] = ()
    engine: tuple[EngineSpec, ...] = ()


def read_cluster(path: Path) -> Cluster:
    """Read a cluster file. Raises :class:`PlanError`: ORCH-P001, P002, P004 to P007; see ``datafile``."""
    text, file = read_text(path), str(path)
    entry = validate(_ClusterEntry, parse_toml(text, file), text, file)
    devices = [_device(each, index, text, file) for index, each in enumerate(entry.device)]
    engines = [_with_absolute_config(each, path.parent) for each in entry.engine]
    return validate(Cluster, {"devices": devices, "engines": engines}, text, file)


def _device(entry: _DeviceEntry, index: int, text: str, file: str) -> Device:
    own = entry.figures()
    known: dict[str, object] = {"type": "custom", "sources": {}}
    if entry.type is not None:
        try:
            base = load(entry.type).device(entry.name, cores=entry.cores, memory_bytes=entry.memory_bytes)
        except PlanError as error:
            where = SourceLoc(file, line_of(text, "device", index, "type"))
            fix = error.diagnostics[0].fix
            raise PlanError(error.code, error.message, where=where, why=error.diagnostics[0].why, fix=fix) from error
        known = base.model_dump()
    sources = {**_strings(known["sources"]), **dict.fromkeys(own, OWN_SOURCE)}
    merged = {**known, **own, "name": entry.name, "count": entry.count, "cores": entry.cores, "sources": sources}
    return validate(Device, merged, text, file, ("device", index))


def _strings(mapping: object) -> dict[str, str]:
    return dict(mapping) if isinstance(mapping, dict) else {}


def _with_absolute_config(engine: EngineSpec, folder: Path) -> EngineSpec:
    return engine.model_copy(update={"config": str(folder / engine.config)}) if engine.config else engine
