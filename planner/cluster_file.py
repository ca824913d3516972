"""Cluster files: TOML with ``[[device]]`` and ``[[engine]]`` tables, as shown in :mod:`orchestrator.planner.cluster`.

A device of a catalogued type takes its figures from there, and a ``type`` that ends in ``.toml`` is a device file of
the user's own. Any figure given in the cluster file replaces the type's and is marked so in ``Device.sources``; a
purchase price or a power given there gives a new annuity price. Plans pay ``usd_per_hour`` if it is given, else the
price named by ``price``. Relative paths, of device files and of engines' ``config``, are taken from the cluster file's
folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.errors import Diagnostic, PlanError, SourceLoc
from orchestrator.planner.catalogue import load, read_device_type
from orchestrator.planner.cluster import MOST, Cluster, Device, DeviceKind, EngineSpec, Positive
from orchestrator.planner.datafile import closest, line_of, parse_toml, read_text, validate
from orchestrator.planner.prices import DEFAULT_BASIS, PriceBasis, derived_annuity

OWN_SOURCE: Final = "the cluster file"


class _DeviceEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    type: str | None = None
    kind: DeviceKind | None = None
    count: int = Field(default=1, ge=1, le=MOST)
    cores: int = Field(default=0, ge=0, le=MOST)
    price: PriceBasis = DEFAULT_BASIS
    flops: dict[str, Positive] | None = None
    memory_bytes: Positive | None = None
    memory_bytes_per_s: Positive | None = None
    link_bytes_per_s: Positive | None = None
    inter_node_bytes_per_s: Positive | None = None
    node_devices: int | None = Field(default=None, ge=1, le=MOST)
    pcie_bytes_per_s: Positive | None = None
    power_w: Positive | None = None
    capex_usd: Positive | None = None
    operating_usd_per_hour: Positive | None = None
    annuity_usd_per_hour: Positive | None = None
    usd_per_hour: Positive | None = None

    def figures(self) -> dict[str, object]:
        """What the entry itself says about the hardware."""
        return self.model_dump(exclude_none=True, exclude={"name", "type", "count", "cores", "price"})


class _ClusterEntry(BaseModel):
    model_config = ConfigDict(extra="forbid")

    device: tuple[_DeviceEntry, ...] = ()
    engine: tuple[EngineSpec, ...] = ()


def read_cluster(path: Path) -> Cluster:
    """Read a cluster file. Raises :class:`PlanError`: ORCH-P001, P002, P004 to P007; see ``datafile``."""
    text, file = read_text(path), str(path)
    raw = parse_toml(text, file)
    problems = list(_unresolved(raw, text, file))
    try:
        entry = validate(_ClusterEntry, raw, text, file)
    except PlanError as wrong:
        raise PlanError.collect([*wrong.diagnostics, *problems]) from wrong
    if not entry.device and not entry.engine:
        raise PlanError(
            "ORCH-P004",
            "the cluster is empty: `device` and `engine` are missing",
            where=SourceLoc(file, 1),
            fix="add a [[device]] table, for example with `name` and `type`, or an [[engine]] table",
        )
    if problems:
        raise PlanError.collect(problems)
    devices = list(_devices(entry, text, file))
    engines = [_with_absolute_config(each, path.parent) for each in entry.engine]
    return validate(Cluster, {"devices": devices, "engines": engines}, text, file)


def _unresolved(raw: Mapping[str, object], text: str, file: str) -> Iterator[Diagnostic]:
    """What is wrong with the names by which tables are told apart, and by which engines name their devices."""
    devices, engines = (_tables(raw.get(table)) for table in ("device", "engine"))
    for table, entries in (("device", devices), ("engine", engines)):
        names = [each.get("name") for each in entries]
        for index, name in enumerate(names):
            if name is not None and name in names[:index]:
                where = SourceLoc(file, line_of(text, table, index, "name"))
                yield Diagnostic("ORCH-P005", f"two {table}s have the same name: {name}", where, fix="rename one")
    known = _known_devices(raw)
    for index, engine in enumerate(engines):
        device = engine.get("device")
        if known is not None and isinstance(device, str) and device not in known:
            where = SourceLoc(file, line_of(text, "engine", index, "device"))
            message = f"engine {engine.get('name')!r} runs on {device!r}, which is not one of the devices"
            yield Diagnostic("ORCH-P005", message, where, fix=closest(device, known) if known else None)


def _known_devices(raw: Mapping[str, object]) -> list[str] | None:
    """The devices' names; None where something is wrong with them, or with the name of their table: any other may have
    been meant."""
    given = raw.get("device")
    if given is None:
        return [] if raw.keys() <= _ClusterEntry.model_fields.keys() else None
    known = [name for each in _tables(given) if isinstance(name := each.get("name"), str) and name]
    return known if isinstance(given, list) and len(known) == len(given) else None


def _tables(value: object) -> list[Mapping[str, object]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _devices(entry: _ClusterEntry, text: str, file: str) -> Iterator[Device]:
    """Raises :class:`PlanError` with what is wrong with any of them."""
    problems: list[Diagnostic] = []
    for index, each in enumerate(entry.device):
        try:
            yield _device(each, index, text, file)
        except PlanError as wrong:
            problems += wrong.diagnostics
    if problems:
        raise PlanError.collect(problems)


def _device(entry: _DeviceEntry, index: int, text: str, file: str) -> Device:
    own = entry.figures()
    known: dict[str, object] = {"type": "custom", "sources": {}}
    if entry.type is not None:
        known = _of_type(entry, entry.type, SourceLoc(file, line_of(text, "device", index, "type")))
    sources = {**_strings(known["sources"]), **dict.fromkeys(own, OWN_SOURCE)}
    merged = {**known, **own, "name": entry.name, "count": entry.count, "cores": entry.cores, "sources": sources}
    priced = _priced(merged, entry, own)
    return validate(Device, priced, text, file, ("device", index))


def _of_type(entry: _DeviceEntry, name: str, where: SourceLoc) -> dict[str, object]:
    """The figures of the entry's type. What is wrong inside a device file is reported at that file's own lines."""
    try:
        kind = read_device_type(Path(where.file).parent / name) if name.endswith(".toml") else load(name)
        return kind.device(entry.name, cores=entry.cores, memory_bytes=entry.memory_bytes).model_dump()
    except PlanError as error:
        raise PlanError.collect([replace(each, where=each.where or where) for each in error.diagnostics]) from error


def _priced(merged: Mapping[str, object], entry: _DeviceEntry, own: Mapping[str, object]) -> dict[str, object]:
    """``merged`` with the annuity that follows from a purchase price or power of the user's, and what plans pay."""
    figures, sources = dict(merged), _strings(merged["sources"])
    if "annuity_usd_per_hour" not in own and {"capex_usd", "power_w"} & own.keys():
        derived = derived_annuity(_number(figures.get("capex_usd")), _number(figures.get("power_w")))
        if derived:
            figures["annuity_usd_per_hour"], sources["annuity_usd_per_hour"] = derived
    if "usd_per_hour" not in own:
        chosen = f"{entry.price}_usd_per_hour"
        figures["usd_per_hour"] = figures.get(chosen)
        if figures["usd_per_hour"] is not None:
            sources["usd_per_hour"] = sources[chosen]
    return {**figures, "sources": sources}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _strings(mapping: object) -> dict[str, str]:
    return dict(mapping) if isinstance(mapping, dict) else {}


def _with_absolute_config(engine: EngineSpec, folder: Path) -> EngineSpec:
    return engine.model_copy(update={"config": str(folder / engine.config)}) if engine.config else engine
